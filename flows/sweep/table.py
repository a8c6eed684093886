"""The Pareto set of a sweep as a table, from its report."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Group
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from flows.contracts.resources import KINDS


def sweep_tables(content: Mapping[str, Any]) -> Group:
    """The points on the sets of latency against quality, over all boards and on each; and the hardware sizes that are
    worth their resources."""
    return Group(_quality_table(content), *_area_tables(content), *(Text(f"- {line}") for line in notes(content)))


def _quality_table(content: Mapping[str, Any]) -> Table:
    points, axis = content["points"], content["axes"]["quality"]
    table = Table(title=f"Pareto set: latency against {axis['title']}", title_justify="left", box=SIMPLE_HEAD,
                  padding=(0, 0, 0, 1))
    table.add_column("best of")
    table.add_column("network")
    for heading in ("blocks", "tokens"):
        table.add_column(heading, justify="right")
    table.add_column("board")
    for heading in ("clusters\nx groups", "ms", "images/s", "proxy" if axis["proxy"] else "accuracy", "share"):
        table.add_column(heading, justify="right")
    table.add_column("cycles by")
    for index, sets in _sets(content).items():
        point = points[index]
        value = point["quality"]["correlation"] if axis["proxy"] else point["accuracy"]
        tokens = "by image" if point["keep_tokens"] is None else f"{point['keep_tokens']:g}"
        table.add_row("[bold green]all[/]" if "all" in sets else escape(sets[0]), escape(point["origin"]),
                      f"{point['keep_blocks']:g}", tokens, escape(point["board"] or "none"), *_speed(point),
                      f"{value:.4f}" if axis["proxy"] else f"{value:.2%}", _share(point), _source(point))
    return table


def _area_tables(content: Mapping[str, Any]) -> list[Table]:
    """For the network of the fastest point, sizes of the hardware by latency and share of each board."""
    points = content["points"]
    fastest = min((point for point in points if point["pareto"]), key=lambda point: point["milliseconds"], default=None)
    chosen = [index for entry in content["fronts"] if entry["better"] == "lower" and fastest is not None
              and entry["group"] == fastest["network"] for index in entry["points"]]
    if fastest is None or len(chosen) < 2:
        return []
    table = Table(title=f"Pareto set: latency against resources, of {escape(fastest['network'])}", title_justify="left",
                  box=SIMPLE_HEAD, padding=(0, 0, 0, 1))
    table.add_column("board")
    for heading in ("clusters\nx groups", "ms", "images/s", "share", *KINDS):
        table.add_column(heading, justify="right")
    for index in chosen:
        point = points[index]
        table.add_row(escape(point["board"] or "none"), *_speed(point), _share(point),
                      *(f"{point['resources'][kind]:,.0f}" for kind in KINDS))
    return [table]


def notes(content: Mapping[str, Any]) -> list[str]:
    """Sentences that belong to the table."""
    points, left, rungs = content["points"], content["left_out"], content["rungs"]
    fitting = sum(point["fits"] for point in points)
    simulated = sum(point["source"] == "rtl" for point in points)
    by_rtl = f"{simulated} measured in RTL, the others by the cycle model" if simulated else "by the cycle model"
    first = (f"{len(points)} points, {fitting} fit; {by_rtl}. Clocks are targets and resources estimates, nothing was "
             "placed and routed")
    lines = [first]
    weights = dict.fromkeys((point["origin"], point["weights"]) for point in points)
    lines += [f"weights of {origin}: {text}" for origin, text in weights]
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


def _speed(point: Mapping[str, Any]) -> list[str]:
    return [f"{point['clusters']} x {point['groups']}", f"{point['milliseconds']:.3f}",
            f"{point['images_per_second']:,.0f}"]


def _share(point: Mapping[str, Any]) -> str:
    """Largest share of the board, and of what."""
    return "" if point["share"] is None else f"{point['share']:.0%} {point['share_of']}"


def _source(point: Mapping[str, Any]) -> str:
    return "RTL" if point["source"] == "rtl" else "model"
