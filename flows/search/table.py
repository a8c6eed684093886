"""A search as a table, from its report."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Group
from rich.markup import escape
from rich.table import Table

from flows.contracts.resources import KINDS


def search_tables(report: Mapping[str, Any]) -> Group:
    """The Pareto set, the choice marked, and the reasons."""
    table = Table(title=escape(f"{report['model']} on {report['board']} ({report['part']}) at {report['clock_mhz']:g} "
                               f"MHz, memory {report['usable_gbs']:g} GB/s"), title_justify="left")
    table.add_column("")
    for title in ("clusters x groups", "cycles/row", "stream, bus", "ms", "images/s", *KINDS):
        table.add_column(title, justify="right")
    for point in report["pareto"]:
        table.add_row(*_row(point, chosen=point == report["choice"]))
    limits = ", ".join(f"{kind} {share:.0%}" for kind, share in report["limits"].items())
    counts = (f"{report['considered']} configurations, {report['fitting']} within the limits ({limits}), "
              f"{report['evaluated']} judged by the cycle model")
    note = "shares are the largest of any die; clock and resources are targets and estimates, not placed and routed"
    # The first reason of a failure is the error message.
    lines = (counts, note, *report["reasons"][0 if report["choice"] else 1:])
    return Group(*([table] if report["pareto"] else []), *(escape(f"- {line}") for line in lines))


def _row(point: Mapping[str, Any], *, chosen: bool) -> list[str]:
    config = point["config"]
    return ["[bold green]>[/]" if chosen else "", f"{config['clusters']} x {config['groups']}",
            str(config["row_cycles"]), f"{config['stream_bits']}, {config['bus_bits']}",
            f"{point['milliseconds']:.3f}", f"{point['images_per_second']:,.0f}",
            *(f"{point['shares'][kind]:.0%}" for kind in KINDS)]
