"""Points that nothing beats in two respects."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

T = TypeVar("T")


def front(points: Sequence[T], first: Callable[[T], float | None], second: Callable[[T], float | None]) -> list[int]:
    """Indices of the points that none dominates, the lowest ``first`` first.

    Parameters
    ----------
    points : of any kind; those for which a value is None take no part
    first, second : what is to be low; points with equal values are represented by the first of them
    """
    ranked = sorted((x, y, index) for index, point in enumerate(points)
                    if (x := first(point)) is not None and (y := second(point)) is not None)
    found: list[int] = []
    best = float("inf")
    for _, y, index in ranked:
        if y < best:
            best = y
            found.append(index)
    return found
