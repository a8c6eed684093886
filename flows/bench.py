"""The ``bench`` command: how well schedules fill arrays of several sizes, and what the RTL makes of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from rich.table import Table

from flows.compile import Program, config_for, estimate
from flows.contracts.hardware import HardwareConfig
from flows.sim_flow import ExportOptions, SimOptions, obtain_artifact, obtain_program, simulate_network
from flows.sim_report import report_of

ARRAYS = ((1, 1), (2, 1), (4, 1), (4, 2), (4, 4))
"""Clusters and token groups."""
SPARSITIES = ((1.0, 1.0), (0.5, 0.7))
"""Share of blocks kept, share of tokens kept at every drop."""


def bench_rows(model: str, *, simulate: bool = False, arrays: Sequence[tuple[int, int]] = ARRAYS,
               report: Callable[[str, float], None] | None = None) -> list[dict[str, Any]]:
    """One row per sparsity and array size.

    ``cycles`` are those of the RTL when it is run (``"source": "rtl"``), else of the cycle model (``"model"``).
    ``utilization`` is useful MACs (kept blocks, alive tokens, no padding) over what the array could do in that time.

    Parameters
    ----------
    model : registered name
    simulate : run the RTL, and compare it with the golden model
    arrays : clusters and token groups
    report : called with a stage name and the finished share
    """
    rows = []
    for keep_blocks, keep_tokens in SPARSITIES:
        options = ExportOptions(model=model, keep_blocks=keep_blocks, keep_tokens=keep_tokens)
        artifact = obtain_artifact(SimOptions(export=options))
        for index, (clusters, groups) in enumerate(arrays):
            config = config_for(artifact, clusters=clusters, groups=groups)
            row = {"model": model, "weights": artifact.weights, "keep_blocks": keep_blocks, "keep_tokens": keep_tokens,
                   "clusters": clusters, "groups": groups, **_model_row(obtain_program(artifact, config), config)}
            if simulate:
                row |= _rtl_row(SimOptions(export=options, clusters=clusters, hardware={"groups": groups}))
            rows.append(row | _ratios(row))
            if report is not None:
                report(f"blocks {keep_blocks:g}, tokens {keep_tokens:g}", (index + 1) / len(arrays))
    return rows


def _model_row(program: Program, config: HardwareConfig) -> dict[str, Any]:
    totals = program.manifest["totals"]
    model = estimate(program.stream, config)
    return {"source": "model", "cycles": model.total, "stall_cycles": sum(model.stalls.values()),
            "expected_cycles": model.total, "slots": totals["slots"], "lower_bound_slots": totals["lower_bound_slots"],
            "lower_bound_cycles": totals["lower_bound_cycles"], "useful_macs": totals["useful_macs"],
            "peak_macs_per_cycle": config.macs_per_cycle, "clock_mhz": config.clock_mhz}


def _rtl_row(options: SimOptions) -> dict[str, Any]:
    measured = report_of(simulate_network(options))
    names = ("cycles", "stall_cycles", "bit_exact", "simulation_seconds")
    return {"source": "rtl", **{name: measured[name] for name in names},
            "simulated_cycles_per_second": measured["cycles"] / measured["simulation_seconds"]}


def _ratios(row: dict[str, Any]) -> dict[str, float]:
    return {"utilization": row["useful_macs"] / (row["cycles"] * row["peak_macs_per_cycle"]),
            "cycles_over_lower_bound": row["cycles"] / row["lower_bound_cycles"],
            "slots_over_lower_bound": row["slots"] / row["lower_bound_slots"],
            "milliseconds": row["cycles"] / row["clock_mhz"] / 1000}


def bench_table(model: str, rows: list[dict[str, Any]]) -> Table:
    """Rows for the screen."""
    table = Table(title=f"{model} (memory: 32 bytes a cycle, 100 cycles latency)")
    for heading in ("blocks", "tokens", "clusters x groups", "MACs/cycle", "slots/bound", "cycles", "cycles/bound",
                    "useful/peak", "ms at target clock", "source"):
        table.add_column(heading, justify="right")
    for row in rows:
        exact = {True: ", bit exact", False: ", NOT EXACT"}.get(row.get("bit_exact"), "")  # type: ignore[arg-type]
        table.add_row(f"{row['keep_blocks']:g}", f"{row['keep_tokens']:g}", f"{row['clusters']} x {row['groups']}",
                      str(row["peak_macs_per_cycle"]), f"{row['slots_over_lower_bound']:.3f}", f"{row['cycles']:,}",
                      f"{row['cycles_over_lower_bound']:.3f}", f"{100 * row['utilization']:.1f} %",
                      f"{row['milliseconds']:.3f}", row["source"] + exact)
    return table
