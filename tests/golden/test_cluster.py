"""Matrix products through float32 are exact."""

from __future__ import annotations

import numpy as np
import pytest

from sim.golden.cluster import SIGNED_CHUNK, UNSIGNED_CHUNK, matmul


def exact(codes: np.ndarray, weight: np.ndarray) -> np.ndarray:
    return np.einsum("...nk,...mk->...nm", codes.astype(np.int64), weight.astype(np.int64))


@pytest.mark.parametrize("dtype", [np.int8, np.uint8])
@pytest.mark.parametrize("inputs", [1, 16, 518, 519, 1032, 1033, 3072, 4096])
def test_random_codes(dtype: type, inputs: int) -> None:
    rng = np.random.default_rng(inputs)
    limits = np.iinfo(dtype)
    codes = rng.integers(limits.min, limits.max + 1, (7, inputs)).astype(dtype)
    weight = rng.integers(-127, 128, (5, inputs)).astype(np.int8)
    got = matmul(codes, weight)
    assert got.dtype == np.int32
    assert (got == exact(codes, weight)).all()


@pytest.mark.parametrize(("dtype", "code", "chunk"), [(np.int8, 127, SIGNED_CHUNK), (np.int8, -128, SIGNED_CHUNK),
                                                      (np.uint8, 255, UNSIGNED_CHUNK)])
@pytest.mark.parametrize("sign", [-1, 1])
def test_extreme_codes_with_odd_sums(dtype: type, code: int, chunk: int, sign: int) -> None:
    """Sums beyond 2**24 that float32 could not hold: odd, and as large as they come."""
    for inputs in (chunk, chunk + 1, 2 * chunk + 3, 4096):
        codes = np.full((3, inputs), code, dtype)
        codes[1, 0] -= np.array(1, dtype) if code > 0 else -1
        codes[2, -1] = 1
        weight = np.full((2, inputs), sign * 127, np.int8)
        weight[1, inputs // 2] = sign * 126
        assert (matmul(codes, weight) == exact(codes, weight)).all()


def test_leading_axes_and_converted_weights() -> None:
    rng = np.random.default_rng(0)
    codes = rng.integers(-127, 128, (3, 9, 32)).astype(np.int8)
    weight = rng.integers(-127, 128, (3, 11, 32)).astype(np.int8)
    want = exact(codes, weight)
    assert (matmul(codes, weight) == want).all()
    assert (matmul(codes, weight.astype(np.float32)) == want).all()
    assert (matmul(codes.transpose(1, 0, 2)[:, 0], weight[0]) == want[0]).all()


@pytest.mark.parametrize(("codes", "weight"), [(np.int16, np.int8), (np.float32, np.int8), (np.int8, np.float64),
                                               (np.int8, np.uint8)])
def test_refuses_types_it_would_round(codes: type, weight: type) -> None:
    with pytest.raises(TypeError, match="codes must be int8 or uint8"):
        matmul(np.zeros((2, 16), codes), np.zeros((2, 16), weight))
