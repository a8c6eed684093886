"""A program as a table for the terminal."""

from __future__ import annotations

from rich.table import Table

from flows.compile.program import Program


def summary(program: Program) -> Table:
    """Slots against their lower bound and expected cycles of every step, and the totals."""
    table = Table(title=f"{program.manifest['model']} on {program.config.clusters} clusters")
    table.add_column("step")
    for heading in ("tokens", "columns", "blocks", "slots", "bound", "slots/bound", "cycles", "useful/peak"):
        table.add_column(heading, justify="right")
    peak = program.config.macs_per_cycle
    for entry in program.manifest["steps"]:
        table.add_row(entry["name"], f"{'' if entry['static'] else '<= '}{entry['tokens']}", *_figures(entry, peak))
    totals = program.manifest["totals"]
    table.add_section()
    table.add_row("total", "", *_figures(totals, peak))
    return table


def _figures(entry: dict, peak: int) -> list[str]:
    ratio = (entry["slots"] + entry["wait_slots"] + entry["drain_wait_slots"]) / entry["lower_bound_slots"]
    use = entry["useful_macs"] / (peak * max(entry["expected_cycles"], 1))
    return [f"{entry['columns']:,}", f"{entry['blocks']:,}", f"{entry['slots']:,}",
            f"{entry['lower_bound_slots']:,}", f"{ratio:.3f}", f"{entry['expected_cycles']:,}", f"{use:.1%}"]
