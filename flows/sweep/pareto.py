"""Which points of a sweep nothing beats: latency against quality, and latency against resources."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from flows.pareto import front

Point = dict[str, Any]
Value = Callable[[Point], float | None]


def latency(point: Point) -> float | None:
    """Milliseconds, of what fits."""
    return point["milliseconds"] if point["fits"] else None


def area(point: Point) -> float:
    """Largest share of the board, or LUTs where there is no board."""
    return point["resources"]["lut"] if point["share"] is None else point["share"]


def quality(point: Point) -> float | None:
    """Accuracy, or where nobody measured it the proxy."""
    return point["quality"]["correlation"] if point["accuracy"] is None else point["accuracy"]


def quality_axis(points: Sequence[Point]) -> dict[str, Any]:
    """What quality means in a sweep: the accuracy as soon as any network has one, else the proxy."""
    if any(point["accuracy"] is not None for point in points):
        return {"key": "accuracy", "title": "top-1 accuracy", "proxy": False, "better": "higher"}
    title = points[0]["quality"]["proxy"] if points else ""
    return {"key": "quality.correlation", "title": title, "proxy": True, "better": "higher"}


def fronts(points: Sequence[Point]) -> list[dict[str, Any]]:
    """All Pareto sets, as JSON can hold them.

    Latency against quality over all boards (``board`` is ``"all"``), and on each board; a proxy compares only networks
    with the same reference, so that there is one set per reference (``group``). Latency against resources for each
    network (``group``) on each board. ``points`` are indices, ``x`` and ``y`` name keys of a point.
    """
    axis = quality_axis(points)
    groups = dict.fromkeys(_group(point, axis) for point in points)
    boards = list(dict.fromkeys(point["board"] for point in points))
    found = [_front(points, axis["key"], axis["better"], board, group,
                    lambda point, group=group: _quality_in(point, axis, group))
             for group in groups for board in (("all", *boards) if len(boards) > 1 else ("all",))]
    networks = dict.fromkeys(point["network"] for point in points)
    found += [_front(points, "resources.lut" if board is None else "share", "lower", board, network,
                     lambda point, network=network: -area(point) if point["network"] == network else None)
              for network in networks for board in boards]
    return [entry for entry in found if entry["points"]]


def mark(points: Sequence[Point], found: Sequence[dict[str, Any]]) -> None:
    """Set ``pareto`` of the points on a set of latency against quality over all boards."""
    chosen = {index for entry in found if entry["board"] == "all" and entry["better"] == "higher"
              for index in entry["points"]}
    for index, point in enumerate(points):
        point["pareto"] = index in chosen


def _front(points: Sequence[Point], key: str, better: str, board: str | None, group: str | None, value: Value
           ) -> dict[str, Any]:
    """``value`` is to be high."""
    def first(point: Point) -> float | None:
        return latency(point) if board in ("all", point["board"]) else None

    def second(point: Point) -> float | None:
        worth = value(point)
        return None if worth is None else -worth

    return {"x": "milliseconds", "y": key, "better": better, "board": board, "group": group,
            "points": front(points, first, second)}


def _group(point: Point, axis: dict[str, Any]) -> str | None:
    return point["quality"]["reference"] if axis["proxy"] else None


def _quality_in(point: Point, axis: dict[str, Any], group: str | None) -> float | None:
    if not axis["proxy"]:
        return point["accuracy"]
    return point["quality"]["correlation"] if _group(point, axis) == group else None


def ranks(values: Sequence[tuple[float, ...]]) -> list[int]:
    """Rank of each point by non-dominated sorting (Deb et al., NSGA-II, 2002): 0 for those that none dominates, 1 for
    those that only these do, and so on.

    Parameters
    ----------
    values : what is to be low, as many of each point
    """
    rank = [-1] * len(values)
    left, level = list(range(len(values))), 0
    while left:
        best = [i for i in left if not any(_dominates(values[j], values[i]) for j in left)]
        for index in best:
            rank[index] = level
        left = [index for index in left if rank[index] < 0]
        level += 1
    return rank


def _dominates(first: tuple[float, ...], second: tuple[float, ...]) -> bool:
    return first != second and all(a <= b for a, b in zip(first, second, strict=True))


def spread(chosen: Sequence[int], count: int) -> list[int]:
    """``count`` of the entries, evenly spread, both ends among them as far as there is room."""
    if count >= len(chosen):
        return list(chosen)
    if count <= 1:
        return list(chosen[:count])
    return [chosen[round(step * (len(chosen) - 1) / (count - 1))] for step in range(count)]
