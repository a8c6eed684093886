"""Softmax without a division per element: exponentials by table, the row's reciprocal applied to the context.

``docs/numerics.md`` section 4. The division is deferred past the product with V, as in FlashAttention (Dao et al. 2022,
section 3.1): the exponentials are multiplied with V first, and every row of the result is divided once.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from flows.contracts.numerics import CONTEXT_FRACTION, RECIP_ONE
from sim.golden.requant import rnd


def exponentials(scores: NDArray[np.int8], row_max: NDArray[np.int8], tokens: int,
                 table: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """``EXP[row_max - score]``, 0 for keys from ``tokens`` on.

    Parameters
    ----------
    scores : int8 ``(..., keys)``
    row_max : int8 ``(...)``, the largest score of the row's first ``tokens`` keys
    tokens : keys alive
    table : uint8 ``(256,)``, ``table[0] == 255``
    """
    # The difference is 0..255: its low byte is all of it.
    index = np.subtract(row_max[..., None].view(np.uint8), scores.view(np.uint8))
    values = table.take(index, mode="clip")
    values[..., tokens:] = 0
    return values


def reciprocal(row_sum: ArrayLike) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Mantissa and exponent of ``1 / row_sum``.

    Parameters
    ----------
    row_sum : positive integers below 2**17, any shape

    Returns
    -------
    mant : 2**15..65535
    q : ``bits(row_sum) - 16``, -15..1; ``1 / row_sum`` is about ``mant * 2**-(31 + q)``
    """
    total = np.asarray(row_sum, np.int64)
    q = bit_length(total) - 16
    normalised = (total << np.maximum(-q, 0)) >> np.maximum(q, 0)
    return np.minimum(65535, (1 << RECIP_ONE) // normalised), q


def normalise(acc: ArrayLike, mant: ArrayLike, q: ArrayLike) -> NDArray[np.int64]:
    """``rnd(acc * mant, 23 + q)``: context in value codes with 8 fraction bits, 17 bits signed.

    Parameters
    ----------
    acc : sums of exponentials times values, below 2**24 in magnitude, any shape
    mant, q : of the row's sum (:func:`reciprocal`), broadcastable to ``acc``
    """
    product = np.asarray(acc, np.int64) * np.asarray(mant, np.int64)
    return rnd(product, RECIP_ONE - CONTEXT_FRACTION + np.asarray(q, np.int64))


def bit_length(x: NDArray[np.int64]) -> NDArray[np.int64]:
    """Bits of positive integers below 2**53 (which float64 represents exactly, so its exponent is the answer)."""
    return np.frexp(x.astype(np.float64))[1].astype(np.int64)
