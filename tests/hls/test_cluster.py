"""``cluster.hpp`` equals ``sim.golden.cluster``; in the fast build that is the processor's sum of two products."""

from __future__ import annotations

import numpy as np

from sim.golden.cluster import matmul
from tests.hls import units


def expected(codes: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Golden sums: ``(blocks, tokens, 16)`` codes and ``(blocks, outputs, inputs)`` weights."""
    flat = codes.transpose(1, 0, 2).reshape(codes.shape[1], -1)
    return matmul(flat, weight.transpose(1, 0, 2).reshape(16, -1))


@units.both_builds
def test_sums(build: str) -> None:
    """Signed and unsigned codes, random and at their limits; several blocks into one column."""
    rng = np.random.default_rng(6)
    for low, high, dtype in ((-128, 127, np.int8), (0, 255, np.uint8)):
        for blocks in (1, 20, 64):
            codes = rng.integers(low, high + 1, (blocks, 33, 16)).astype(dtype)
            weight = rng.integers(-127, 128, (blocks, 16, 16)).astype(np.int8)
            codes[:, 0], codes[:, 1], weight[:, 0], weight[:, 1] = low, high, 127, -127
            sums = dtype is np.uint8 and blocks <= 20  # as many exponentials as there can be keys
            acc, row_sum = units.cluster(build, codes, weight, sums=sums)
            assert (acc == expected(codes, weight)).all()
            if sums:
                assert (row_sum == codes.sum((0, 2), dtype=np.int64)).all()


@units.both_builds
def test_transposed(build: str) -> None:
    """A block whose rows are inputs, as values are."""
    rng = np.random.default_rng(7)
    codes = rng.integers(0, 256, (3, 20, 16)).astype(np.uint8)
    weight = rng.integers(-127, 128, (3, 16, 16)).astype(np.int8)
    acc, _ = units.cluster(build, codes, weight.transpose(0, 2, 1), transposed=True)
    assert (acc == expected(codes, weight)).all()


@units.both_builds
def test_row_max(build: str) -> None:
    """``row_max.hpp``: the largest score over all columns, and nothing of the step before."""
    rng = np.random.default_rng(8)
    for low, high in ((-128, 128), (-128, -100), (-5, 0)):
        score = rng.integers(low, high, (5, 40, 16)).astype(np.int8)
        assert (units.row_max(build, score) == score.max((0, 2))).all()
