"""Layouts as Python values, and the comparison helper of benches."""

from __future__ import annotations

from typing import Any

import pytest
from amaranth.hdl import signed, unsigned
from amaranth.lib import data
from hypothesis import given
from hypothesis import strategies as st

from sim.bench import check_equal, decode, encode, pack, unpack

LAYOUT = data.StructLayout({"acc": data.ArrayLayout(signed(13), 3), "count": unsigned(5), "low": signed(2)})


@given(st.lists(st.integers(-4096, 4095), min_size=3, max_size=3), st.integers(0, 31), st.integers(-2, 1))
def test_round_trip(acc: list[int], count: int, low: int) -> None:
    """What goes in comes out, and the bits are those of Amaranth's own packing."""
    value: dict[Any, Any] = {"acc": acc, "count": count, "low": low}
    word = encode(LAYOUT, value)
    assert decode(LAYOUT, word) == value
    assert word == LAYOUT.const(value).as_value().value & ((1 << 46) - 1)
    assert unpack(pack(acc, 13), 13, 3) == acc


def test_defaults_and_padding() -> None:
    """Absent fields are 0; unsigned lanes stay unsigned."""
    assert decode(LAYOUT, encode(LAYOUT, {"count": 3})) == {"acc": [0, 0, 0], "count": 3, "low": 0}
    assert unpack(pack([255, 1], 8), 8, 2, signed=False) == [255, 1]


@pytest.mark.parametrize("value", [{"count": 32}, {"low": -3}, {"acc": [0, 0]}, {"nothing": 1}])
def test_refuses_what_does_not_fit(value: dict[str, object]) -> None:
    """A bench must not wrap a number silently."""
    with pytest.raises(ValueError, match="does not fit|elements for|no such field"):
        encode(LAYOUT, value)


def test_check_equal() -> None:
    """Values, count, extra output, and data that never change."""
    check_equal([1, 2], [1, 2])
    for got, expected in (([1, 3], [1, 2]), ([1], [1, 2]), ([1, 2, 2], [1, 2]), ([4, 4], [4, 4])):
        with pytest.raises(AssertionError, match="output 1|got|never change"):
            check_equal(got, expected)
