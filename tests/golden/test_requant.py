"""Rounding, saturation, requantizer, residual adder."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.golden import residual
from sim.golden.requant import requant, rnd, saturate
from tests.golden import reference

INT32 = st.integers(-(2**31), 2**31 - 1) | st.sampled_from([-(2**31), 2**31 - 1, 0, -1, 1])
MULT = st.integers(0, 65535) | st.sampled_from([0, 1, 65535])
SHIFT = st.integers(1, 47)


@reference.DETERMINISTIC
@given(st.lists(st.tuples(INT32, INT32, MULT), min_size=1, max_size=8), SHIFT, st.sampled_from([8, 16]))
def test_requant_equals_reference(lanes: list[tuple[int, int, int]], shift: int, bits: int) -> None:
    acc, bias, mult = (np.array(part) for part in zip(*lanes, strict=True))
    got = requant(acc, bias, mult, shift, bits)
    assert got.tolist() == [reference.requant(a, b, m, shift, bits) for a, b, m in lanes]
    assert got.dtype == (np.int8 if bits == 8 else np.int16)


@reference.DETERMINISTIC
@given(st.integers(-300, 300), st.integers(-1, 1), st.integers(20, 40))
def test_requant_near_rounding_points(target: int, offset: int, shift: int) -> None:
    """Products within one of the point where the result steps from ``target`` to ``target + 1``, over the clamps."""
    product = (target << shift) + (1 << (shift - 1)) + offset
    acc, mult = (product, 1) if -(2**31) <= product < 2**31 else (product // 65535, 65535)
    assert requant(acc, 0, mult, shift, 8) == reference.requant(acc, 0, mult, shift, 8)


def test_requant_takes_a_shift_per_element_and_broadcasts() -> None:
    acc = np.arange(-12, 12, dtype=np.int32).reshape(2, 3, 4) * 1000
    mult = np.array([1, 70, 5000, 65535], np.uint16)
    shift = np.array([1, 10, 20, 25])
    got = requant(acc, 7, mult, shift, 8)
    want = [[[reference.requant(int(a), 7, int(m), int(s), 8) for a, m, s in zip(row, mult, shift, strict=True)]
             for row in plane] for plane in acc]
    assert got.tolist() == want


@pytest.mark.parametrize(("bits", "low", "high"), [(8, -127, 127), (16, -32768, 32767), (18, -131072, 131071)])
def test_saturate_limits(bits: int, low: int, high: int) -> None:
    values = np.array([-(2**40), low - 1, low, low + 1, 0, high - 1, high, high + 1, 2**40])
    assert saturate(values, bits).tolist() == [low, low, low, low + 1, 0, high - 1, high, high, high]


@reference.DETERMINISTIC
@given(st.integers(-(2**61), 2**61), SHIFT)
def test_rnd_equals_reference(x: int, shift: int) -> None:
    assert int(rnd(x, shift)) == reference.rnd(x, shift)


def test_rnd_halves_go_up() -> None:
    assert rnd([-6, -5, -3, -2, -1, 1, 2, 3], 2).tolist() == [-1, -1, -1, 0, 0, 0, 1, 1]


def test_rnd_leaves_its_input_alone() -> None:
    x = np.array([100, 200])
    rnd(x, 3)
    requant(x, 1, 1, 1, 16)
    assert x.tolist() == [100, 200]


def test_residual_add_saturates_at_16_bits() -> None:
    x = np.array([32767, -32768, 32767, -32768, 100], np.int16)
    y = np.array([1, -1, -32768, 32767, -300], np.int16)
    got = residual.add(x, y)
    assert got.tolist() == [32767, -32768, -1, -1, -200]
    assert got.dtype == np.int16
