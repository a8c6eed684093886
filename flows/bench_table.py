"""Tables of the ``bench`` command: measured rows, and published figures beside them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table

from flows.published import System


def bench_tables(rows: Sequence[dict[str, Any]]) -> list[Table]:
    """What depends on the design, and what depends on this machine (when that was measured)."""
    tables = [_design(rows)]
    if any(row[name] is not None for row in rows for name, _, _ in _SPEEDS):
        tables.append(_speed(rows))
    return tables


def published_table(systems: Sequence[System]) -> Table:
    """Published figures; what was computed here and what was not verified is marked."""
    table = Table(title="published figures", box=SIMPLE_HEAD, padding=(0, 0, 0, 1), caption_justify="left",
                  caption="* computed here from published figures, ~ not verified; formulas and full sources: "
                          "flows/published.yaml, or --json")
    for heading in ("system", "model", "type", "platform"):
        table.add_column(heading, no_wrap=True)
    for heading in ("MHz", "DSPs", "GOPS", "GOPS/\nDSP", "MACs/DSP\ncycle", "useful/\npeak", "images\n/s"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("source")
    for system in systems:
        figures = [_figure(system, name, form) for name, form in _FIGURES]
        table.add_row(system.system, system.model, system.precision, system.platform, *figures, system.venue)
    return table


_FIGURES = (("clock_mhz", "{:g}"), ("dsps", "{:,}"), ("gops", "{:.4g}"), ("gops_per_dsp", "{:.3f}"),
            ("macs_per_dsp_cycle", "{:.2f}"), ("utilization", "{:.1%}"), ("images_per_second", "{:.4g}"))

_SPEEDS = (("compile_seconds", "compile s", "{:.2f}"), ("golden_images_per_second", "golden images/s", "{:.1f}"),
           ("hls_images_per_second", "HLS models images/s", "{:.1f}"),
           ("simulated_cycles_per_second", "simulated cycles/s", "{:,.0f}"))


def _figure(system: System, name: str, form: str) -> str:
    value = getattr(system, name)
    if value is None:
        return ""
    text = f"{value:,.0f}" if value >= 1000 else form.format(value)
    return ("~" if name in system.unverified else "") + text + ("*" if name in system.derived else "")


def _design(rows: Sequence[dict[str, Any]]) -> Table:
    rates = sorted({f"{row['memory_bytes_per_cycle']:g}" for row in rows}, key=float)
    latencies = sorted({str(row["memory_latency"]) for row in rows}, key=int)
    memory = f"{' or '.join(rates)} bytes a cycle, latency {' or '.join(latencies)}"
    simulated = any(row["source"] == "rtl" for row in rows)
    table = Table(title=f"memory: {memory}; ms at the target clock, not placed and routed",
                  box=SIMPLE_HEAD, padding=(0, 0, 0, 1))
    _name_columns(table)
    for heading in ("MACs/\ncycle", "slots/\nbound", "cycles", "cycles/\nbound", "useful/\npeak", "MACs/DSP\ncycle",
                    "stalls", "outside\nslots", "ms"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("RTL" if simulated else "")
    for row in rows:
        exact = {True: "exact", False: "NOT EXACT", None: ""}[row["bit_exact"]]
        table.add_row(*_names(row), str(row["peak_macs_per_cycle"]), f"{row['slots_over_lower_bound']:.3f}",
                      f"{row['cycles']:,}", f"{row['cycles_over_lower_bound']:.3f}", f"{row['utilization']:.1%}",
                      f"{row['useful_macs_per_dsp_cycle']:.3f}", f"{row['stall_share']:.1%}",
                      f"{row['outside_slot_share']:.1%}", f"{row['milliseconds']:.3f}", exact)
    return table


def _speed(rows: Sequence[dict[str, Any]]) -> Table:
    table = Table(title="on this machine", box=SIMPLE_HEAD, padding=(0, 0, 0, 1))
    _name_columns(table)
    for _, heading, _ in _SPEEDS:
        table.add_column(heading, justify="right")
    for row in rows:
        table.add_row(*_names(row), *("" if row[name] is None else form.format(row[name])
                                      for name, _, form in _SPEEDS))
    return table


def _name_columns(table: Table) -> None:
    table.add_column("model", no_wrap=True)
    for heading in ("blocks,\ntokens", "clusters\nx groups"):
        table.add_column(heading, justify="right", no_wrap=True)


def _names(row: dict[str, Any]) -> tuple[str, str, str]:
    return (row["model"], f"{row['keep_blocks']:g}, {row['keep_tokens']:g}", f"{row['clusters']} x {row['groups']}")
