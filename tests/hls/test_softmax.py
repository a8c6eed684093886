"""``softmax.hpp`` equals ``sim.golden.softmax``."""

from __future__ import annotations

import numpy as np

from sim.golden.softmax import exponentials, normalise, reciprocal
from tests.hls import units

ROW_SUMS = np.arange(1, 1 << 17)


@units.both_builds
def test_exponential_of_every_pair(build: str) -> None:
    """Every maximum with every score that is not above it."""
    table = np.random.default_rng(3).permutation(256).astype(np.uint8)
    row_max, score = (axis.reshape(-1) for axis in np.meshgrid(np.arange(-128, 128), np.arange(-128, 128)))
    chosen = score <= row_max
    row_max, score = row_max[chosen].astype(np.int8), score[chosen].astype(np.int8)
    want = exponentials(score[:, None], row_max, 1, table)[:, 0]
    assert (units.exponential(build, row_max, score, table) == want).all()


@units.both_builds
def test_every_reciprocal(build: str) -> None:
    """Every row sum that 17 bits hold."""
    mant, exp = units.reciprocal(build, ROW_SUMS)
    want_mant, want_exp = reciprocal(ROW_SUMS)
    assert (mant == want_mant).all()
    assert (exp == want_exp).all()


@units.both_builds
def test_normalise(build: str) -> None:
    """Sums of values weighted with exponentials: up to 127 times the row sum, either sign."""
    rng = np.random.default_rng(4)
    total = np.concatenate([rng.integers(255, 255 * 320 + 1, 20000), [255, 255 * 320] * 50])
    acc = np.rint(total * 127 * rng.uniform(-1, 1, total.size)).astype(np.int64)
    acc[-100::2], acc[-99::2] = 127 * total[-100::2], -127 * total[-99::2]
    mant, exp = reciprocal(total)
    assert (units.normalise(build, acc, mant, exp) == normalise(acc, mant, exp)).all()
