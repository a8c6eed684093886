"""The MAC clusters: exact integer matrix products (``docs/numerics.md``: every ``@``)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_EXACT = 1 << 24
"""float32 represents every integer up to 2**24."""
_WEIGHT_MAX = 127
SIGNED_CHUNK = _EXACT // (128 * _WEIGHT_MAX)
"""Products of int8 codes that float32 sums exactly: 1032."""
UNSIGNED_CHUNK = _EXACT // (255 * _WEIGHT_MAX)
"""Products of uint8 codes that float32 sums exactly: 518."""


def matmul(codes: NDArray[np.integer], weight: NDArray[np.number]) -> NDArray[np.int32]:
    """``codes @ weight.T``, exactly.

    Parameters
    ----------
    codes : int8 or uint8 ``(..., N, K)``
    weight : int8 ``(..., M, K)``, -127..127; or the same values as float32, converted once by the caller

    Returns
    -------
    int32 ``(..., N, M)``; below 2**30 in magnitude for ``K`` up to 4096

    Raises
    ------
    TypeError
        For other dtypes, whose products float32 might round.

    Notes
    -----
    float32 BLAS is exact here: within a chunk of ``K`` every product is an integer and the magnitudes of all products
    add up to at most 2**24, so every partial sum, whatever order (or fused multiply-add) BLAS chooses, is an integer
    that float32 represents. Chunks are added as int32.
    """
    if codes.dtype not in (np.int8, np.uint8) or weight.dtype not in (np.int8, np.float32):
        raise TypeError(f"codes must be int8 or uint8 and weight int8 or float32, not {codes.dtype} and {weight.dtype}")
    chunk = SIGNED_CHUNK if codes.dtype == np.int8 else UNSIGNED_CHUNK
    moving = codes.astype(np.float32)
    stationary = np.swapaxes(weight.astype(np.float32, copy=False), -1, -2)
    total = (moving[..., :chunk] @ stationary[..., :chunk, :]).astype(np.int32)
    for start in range(chunk, codes.shape[-1], chunk):
        part = slice(start, start + chunk)
        total += (moving[..., part] @ stationary[..., part, :]).astype(np.int32)
    return total
