"""``requant.hpp`` equals ``sim.golden.requant``."""

from __future__ import annotations

import numpy as np

from sim.golden.requant import requant
from tests.hls import units

LIMIT = (1 << 30) - 1


@units.both_builds
def test_requant(build: str) -> None:
    """All shifts, both widths, sums and multipliers at their limits among random ones."""
    rng = np.random.default_rng(1)
    rows = 47 * 40
    acc = rng.integers(-LIMIT, LIMIT + 1, (rows, 16)) >> rng.integers(0, 30, (rows, 16))
    bias = rng.integers(-LIMIT, LIMIT + 1, (rows, 16)) >> rng.integers(0, 30, (rows, 16))
    mult = rng.integers(0, 65536, (rows, 16))
    acc[:, 0], bias[:, 0], mult[:, 0] = LIMIT, LIMIT, 65535
    acc[:, 1], bias[:, 1], mult[:, 1] = -LIMIT, -LIMIT, 65535
    mult[:, 2] = 0
    shift = np.arange(rows) % 47 + 1
    for bits in (8, 16):
        want = requant(acc, bias, mult, shift[:, None], bits)
        assert (units.requant(build, acc, bias, mult, shift, bits) == want).all()
        assert want.min() == (-127 if bits == 8 else -32768)
        assert want.max() == (127 if bits == 8 else 32767)


@units.both_builds
def test_halves_round_up(build: str) -> None:
    """``rnd`` rounds halves towards plus infinity, also of negative numbers."""
    acc = np.arange(-8, 8)[None]
    got = units.requant(build, acc, np.zeros_like(acc), np.ones_like(acc), np.array([1]), 8)
    assert got.tolist() == [[(value + 1) >> 1 for value in range(-8, 8)]]
