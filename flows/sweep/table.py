"""The Pareto set of a sweep as a table, from its report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Group
from rich.markup import escape
from rich.table import Table
from rich.text import Text


def sweep_tables(content: Mapping[str, Any]) -> Group:
    """The points on the sets of latency against quality: over all boards, and those of single boards."""
    points, axis = content["points"], content["axes"]["quality"]
    table = Table(title=f"Pareto set: latency against {axis['title']}", title_justify="left")
    table.add_column("on")
    table.add_column("network")
    for heading in ("blocks", "tokens"):
        table.add_column(heading, justify="right")
    table.add_column("board")
    for heading in ("clusters\nx groups", "ms", "images/s", "accuracy" if not axis["proxy"] else "proxy", "share"):
        table.add_column(heading, justify="right")
    table.add_column("by")
    for index, sets in _sets(content).items():
        table.add_row(*_row(points[index], axis, sets))
    return Group(table, *(Text(f"- {line}") for line in notes(content)))


def notes(content: Mapping[str, Any]) -> list[str]:
    """Sentences that belong to the table."""
    points, left, rungs = content["points"], content["left_out"], content["rungs"]
    fitting = sum(point["fits"] for point in points)
    simulated = sum(point["source"] == "rtl" for point in points)
    by_rtl = f"{simulated} measured in RTL, the others by the cycle model" if simulated else "by the cycle model"
    first = (f"{len(points)} points, {fitting} fit; {by_rtl}. Clocks are targets and resources estimates, nothing was "
             "placed and routed")
    lines = [first]
    if rungs:
        lines.append(f"halving: {' -> '.join(str(rung['points']) for rung in rungs)} points")
    if left:
        lines.append(f"{len(left)} combinations are no configuration; the first: {left[0]['why']}")
    if content["axes"]["quality"]["proxy"]:
        lines.append("the proxy tells how far pruning moves the answers, not whether they are right, and compares only "
                     "networks with the same weights; --images measures accuracy")
    return lines


def _sets(content: Mapping[str, Any]) -> dict[int, list[str]]:
    """Boards on whose set of latency against quality a point is, ``all`` for that over all boards; fastest first."""
    found: dict[int, list[str]] = {}
    for entry in content["fronts"]:
        if entry["better"] == "higher":
            for index in entry["points"]:
                found.setdefault(index, []).append("" if entry["board"] is None else entry["board"])
    points = content["points"]

    def place(index: int) -> tuple[str, float, int]:
        return points[index]["quality"]["reference"], points[index]["milliseconds"], index

    return {index: found[index] for index in sorted(found, key=place)}


def _row(point: Mapping[str, Any], axis: Mapping[str, Any], sets: Sequence[str]) -> list[str]:
    everywhere = "all" in sets
    value = point["quality"]["correlation"] if axis["proxy"] else point["accuracy"]
    tokens = point["keep_tokens"]
    return ["[bold green]all[/]" if everywhere else "board", escape(_origin(point)), f"{point['keep_blocks']:g}",
            "by image" if tokens is None else f"{tokens:g}", point["board"] or "none",
            f"{point['clusters']} x {point['groups']}", f"{point['milliseconds']:.3f}",
            f"{point['images_per_second']:,.0f}", f"{value:.4f}" if axis["proxy"] else f"{value:.2%}",
            "" if point["share"] is None else f"{point['share']:.0%}", "RTL" if point["source"] == "rtl" else "model"]


def _origin(point: Mapping[str, Any]) -> str:
    """The network's name without the shares, which have columns of their own."""
    return point["network"].split(", ")[0]
