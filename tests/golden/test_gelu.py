"""The GELU table."""

from __future__ import annotations

import numpy as np

from sim.golden.gelu import gelu


def test_every_code() -> None:
    table = np.random.default_rng(0).permutation(256).astype(np.uint8)
    codes = np.arange(-128, 128).astype(np.int8)
    got = gelu(codes, table)
    assert got.dtype == np.uint8
    assert got.tolist() == [table[code + 128] for code in range(-128, 128)]


def test_keeps_the_shape() -> None:
    table = np.arange(256, dtype=np.uint8)
    codes = np.arange(-12, 12, dtype=np.int8).reshape(2, 3, 4)
    assert (gelu(codes, table) == codes.astype(int) + 128).all()
