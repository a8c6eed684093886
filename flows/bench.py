"""The ``bench`` command: how well schedules fill arrays of several sizes, and what the RTL makes of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rich.table import Table

from flows.compile import config_for
from flows.sim_flow import ExportOptions, SimOptions, obtain_artifact, obtain_program, simulate_network
from flows.sim_report import report_of

CLUSTERS = (1, 2, 4, 8, 16)
SETTINGS: dict[str, dict[str, float]] = {
    "dense": {"keep_blocks": 1.0, "keep_tokens": 1.0},
    "blocks .5, tokens .7": {"keep_blocks": 0.5, "keep_tokens": 0.7},
}


def bench_rows(model: str, *, simulate: bool = False, clusters: tuple[int, ...] = CLUSTERS,
               report: Callable[[str, float], None] | None = None) -> list[dict[str, Any]]:
    """One row per setting and array size.

    Parameters
    ----------
    model : registered name
    simulate : also run the RTL, and compare it with the golden model
    clusters : array sizes
    report : called with a stage name and the finished share
    """
    rows = []
    for name, values in SETTINGS.items():
        options = ExportOptions(model=model, **values)  # type: ignore[arg-type]
        artifact = obtain_artifact(SimOptions(export=options))
        for index, count in enumerate(clusters):
            config = config_for(artifact, clusters=count)
            totals = obtain_program(artifact, config).manifest["totals"]
            row = {"setting": name, "clusters": count, "macs_per_cycle": config.macs_per_cycle,
                   "slots": totals["slots"], "lower_bound_slots": totals["lower_bound_slots"],
                   "expected_cycles": totals["expected_cycles"], "useful_macs": totals["useful_macs"],
                   "expected_utilization": totals["useful_macs"] / totals["expected_cycles"] / config.macs_per_cycle}
            if simulate:
                measured = report_of(simulate_network(SimOptions(export=options, clusters=count)))
                row |= {key: measured[key] for key in ("cycles", "utilization", "bit_exact", "simulation_seconds")}
            rows.append(row)
            if report is not None:
                report(name, (index + 1) / len(clusters))
    return rows


def bench_table(model: str, rows: list[dict[str, Any]]) -> Table:
    """Rows for the screen."""
    table = Table(title=f"{model} (memory: 32 bytes a cycle, 100 cycles latency)")
    table.add_column("setting")
    simulated = "cycles" in rows[0]
    for heading in ("clusters", "MACs/cycle", "slots", "slots/bound", "model cycles", "useful/peak"):
        table.add_column(heading, justify="right")
    for heading in ("RTL cycles", "useful/peak", "bit exact", "seconds") if simulated else ():
        table.add_column(heading, justify="right")
    for row in rows:
        cells = [row["setting"], str(row["clusters"]), str(row["macs_per_cycle"]), f"{row['slots']:,}",
                 f"{row['slots'] / row['lower_bound_slots']:.3f}", f"{row['expected_cycles']:,}",
                 f"{100 * row['expected_utilization']:.1f} %"]
        if simulated:
            cells += [f"{row['cycles']:,}", f"{100 * row['utilization']:.1f} %", "yes" if row["bit_exact"] else "NO",
                      f"{row['simulation_seconds']:.1f}"]
        table.add_row(*cells)
    return table
