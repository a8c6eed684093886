"""Pareto sets against their definition."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from flows.sweep import pareto

VALUES = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=1, max_size=25)


def beaten(first: tuple[float, ...], second: tuple[float, ...]) -> bool:
    """Whether ``first`` is nowhere better than ``second`` and somewhere worse."""
    return first != second and all(b <= a for a, b in zip(first, second, strict=True))


@given(VALUES)
def test_front_is_what_nothing_beats(values: list[tuple[int, int]]) -> None:
    points = [{"x": x, "y": y} for x, y in values]
    found = pareto.front(points, lambda point: point["x"], lambda point: point["y"])
    chosen = [values[index] for index in found]
    assert set(chosen) == {item for item in values if not any(beaten(item, other) for other in values)}
    assert chosen == sorted(set(chosen)) and all(values.index(values[index]) == index for index in found)


@given(VALUES)
def test_ranks_peel_fronts(values: list[tuple[int, int]]) -> None:
    ranks = pareto.ranks(values)
    for index, item in enumerate(values):
        better = [ranks[other] for other, value in enumerate(values) if beaten(item, value)]
        assert ranks[index] == (max(better) + 1 if better else 0)


def test_spread_has_both_ends() -> None:
    assert pareto.spread([1, 2, 3, 4, 5], 3) == [1, 3, 5]
    assert pareto.spread([1, 2, 3, 4, 5], 2) == [1, 5]
    assert pareto.spread([1, 2], 5) == [1, 2]
    assert pareto.spread([1, 2], 1) == [1] and pareto.spread([1, 2], 0) == []


def point(network: str, board: str | None, ms: float, quality: float, share: float, **more: Any) -> dict[str, Any]:
    return {"network": network, "board": board, "milliseconds": ms, "fits": True, "share": share, "accuracy": None,
            "resources": {"lut": 1000 * share},
            "quality": {"correlation": quality, "reference": network[0], "proxy": "words"}, **more}


def test_fronts_by_reference_board_and_network() -> None:
    points = [point("a1", "small", 4, 1.0, .5), point("a2", "small", 2, .8, .5), point("a2", "large", 1, .8, .1),
              point("b1", "large", 9, .5, .1), point("a1", "large", .1, .9, 2, fits=False)]
    found = pareto.fronts(points)
    by = {(entry["better"], entry["board"], entry["group"]): entry["points"] for entry in found}
    assert by[("higher", "all", "a")] == [2, 0] and by[("higher", "all", "b")] == [3]
    assert by[("higher", "small", "a")] == [1, 0]
    assert by[("lower", "small", "a2")] == [1] and by[("lower", "large", "a2")] == [2]
    assert ("lower", "large", "a1") not in by  # it does not fit
    pareto.mark(points, found)
    assert [entry["pareto"] for entry in points] == [True, False, True, True, False]


def test_accuracy_goes_before_the_proxy() -> None:
    points = [point("a1", None, 1, 1.0, .5), point("b1", None, 2, .1, .5, accuracy=.9),
              point("b2", None, 1, .2, .5, accuracy=.8)]
    assert pareto.quality_axis(points)["key"] == "accuracy"
    higher = [entry for entry in pareto.fronts(points) if entry["better"] == "higher"]
    assert [entry["points"] for entry in higher] == [[2, 1]]
