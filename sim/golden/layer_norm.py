"""Layer norm with one inverse square root per token (``docs/numerics.md`` section 3).

The inverse square root is a table seed and one Newton step in integers; mean and variance come from the sums that the
residual adder collects, so no second pass over the token is needed.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from flows.contracts.artifact import Norm
from flows.contracts.numerics import NORM_Z_BITS, RSQRT_INDEX_MIN, rsqrt_table
from sim.golden.requant import rnd, saturate
from sim.golden.softmax import bit_length

_RSQRT = np.array(rsqrt_table(), np.int64)


def statistics(x: NDArray[np.int16]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """``S1`` and ``S2``: sum and sum of squares of each token of ``x`` int16 ``(..., D)``; shape ``(...)``."""
    wide = x.astype(np.int64)
    return wide.sum(-1), np.square(wide).sum(-1)


def variance(s1: ArrayLike, s2: ArrayLike, width: int) -> NDArray[np.int64]:
    """``v = max(D*S2 - S1**2, 1)``: ``D**2`` times the variance, below 2**51 for ``D`` up to 1024."""
    s1, s2 = np.asarray(s1, np.int64), np.asarray(s2, np.int64)
    return np.maximum(width * s2 - s1 * s1, 1)


def rsqrt(v: ArrayLike) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Mantissa and exponent of ``1 / sqrt(v)``.

    Parameters
    ----------
    v : 1 .. 2**51 - 1, any shape

    Returns
    -------
    mant : 16 bits
    e : -7..18; ``1 / sqrt(v)`` is about ``mant * 2**-(23 + e)``
    """
    v = np.asarray(v, np.int64)
    e = (bit_length(v) - 15) >> 1
    vm = (v << np.maximum(-2 * e, 0)) >> np.maximum(2 * e, 0)
    seed = _RSQRT[(vm >> 8) - RSQRT_INDEX_MIN]
    t = (vm * seed) >> 15
    u = (t * seed) >> 15
    return np.minimum(65535, (seed * (3 * (1 << 16) - u)) >> 17), e


def standardise(x: NDArray[np.int16], s1: ArrayLike, mant: ArrayLike, e: ArrayLike, width: int) -> NDArray[np.int32]:
    """``z = sat18(rnd((D*x - S1) * r, 11 + e))``: zero mean, unit variance, 12 fraction bits.

    Parameters
    ----------
    x : int16 ``(..., channels)``, all or some of a token's channels
    s1, mant, e : of the token, ``(...)``
    width : ``D``
    """
    centred = width * x.astype(np.int64) - np.asarray(s1, np.int64)[..., None]
    shift = 11 + np.asarray(e, np.int64)[..., None]
    return saturate(rnd(centred * np.asarray(mant, np.int64)[..., None], shift), NORM_Z_BITS)


def normalize(x: NDArray[np.int16], s1: ArrayLike, mant: ArrayLike, e: ArrayLike, width: int, gamma: ArrayLike,
              beta: ArrayLike, shift: int) -> NDArray[np.int8]:
    """``y = sat8(rnd(z * gamma + beta, shift))``.

    Parameters
    ----------
    x, s1, mant, e, width : as for :func:`standardise`
    gamma : int16 ``(channels,)``
    beta : int32 ``(channels,)``
    shift : 1..31

    Returns
    -------
    int8 ``(..., channels)``
    """
    z = standardise(x, s1, mant, e, width).astype(np.int64)
    return saturate(rnd(z * np.asarray(gamma, np.int64) + np.asarray(beta, np.int64), shift), 8)


def layer_norm(x: NDArray[np.int16], norm: Norm) -> NDArray[np.int8]:
    """Layer norm of whole tokens: ``x`` int16 ``(..., D)`` to int8 codes of the same shape."""
    width = x.shape[-1]
    s1, s2 = statistics(x)
    mant, e = rsqrt(variance(s1, s2, width))
    return normalize(x, s1, mant, e, width, norm.gamma, norm.beta, norm.shift)
