"""Exponentials, reciprocal, deferred division."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from sim.golden.softmax import bit_length, exponentials, normalise, reciprocal
from tests.golden import reference

ROW_SUMS = np.arange(1, 1 << 17)


def test_exponentials_of_every_difference() -> None:
    table = np.random.default_rng(1).permutation(256).astype(np.uint8)
    for largest in (-128, -1, 0, 5, 127):
        scores = np.arange(-128, largest + 1).astype(np.int8)
        got = exponentials(scores[None], np.array([largest], np.int8), len(scores), table)
        assert got.tolist() == [[table[largest - int(score)] for score in scores]]
        assert got.dtype == np.uint8


def test_masked_keys_take_no_part() -> None:
    table = np.full(256, 255, np.uint8)
    scores = np.full((2, 3, 16), -128, np.int8)
    got = exponentials(scores, scores.max(-1), 5, table)
    assert (got[..., :5] == 255).all()
    assert (got[..., 5:] == 0).all()


def test_reciprocal_of_every_row_sum() -> None:
    mant, q = reciprocal(ROW_SUMS)
    want = [reference.reciprocal(total) for total in range(1, 1 << 17)]
    assert list(zip(mant.tolist(), q.tolist(), strict=True)) == want


def test_reciprocal_error() -> None:
    """Within 2**-14.4 of the real quotient; 15 bits where the sum fits 16, one less where a bit is cut off."""
    mant, q = reciprocal(ROW_SUMS)
    error = np.abs(mant * np.exp2(-31.0 - q) * ROW_SUMS - 1)
    assert error[: 1 << 16].max() < 2**-15
    assert error.max() < 2**-14.4
    assert mant.min() >= 1 << 15
    assert mant.max() == 65535


@reference.DETERMINISTIC
@given(st.integers(1, 320).flatmap(lambda n: st.tuples(st.integers(255, 255 * n), st.just(n))), st.data())
def test_normalise_equals_reference(row: tuple[int, int], data: st.DataObject) -> None:
    total, _ = row
    acc = data.draw(st.integers(-127 * total, 127 * total))
    mant, q = reciprocal(total)
    got = int(normalise(acc, mant, q))
    want_mant, want_q = reference.reciprocal(total)
    assert got == reference.rnd(acc * want_mant, 23 + want_q)
    assert abs(got) < 1 << 17
    assert abs(got - 256 * acc / total) <= 0.5 + 127 * 256 * 2**-14.4


def test_normalise_is_one_for_a_constant_value() -> None:
    """All values equal to v must give v again, to within the error of the reciprocal."""
    totals = np.array([255, 256, 4000, 32768, 65535, 65536, 81600])
    mant, q = reciprocal(totals)
    assert np.abs(normalise(totals * 100, mant, q) - 25600).max() <= 2


def test_bit_length() -> None:
    values = [1, 2, 3, 255, 256, 2**31 - 1, 2**31, 2**52 - 1, 2**52, 2**53 - 1]
    assert bit_length(np.array(values)).tolist() == [value.bit_length() for value in values]
