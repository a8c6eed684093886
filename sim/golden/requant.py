"""Requantizer, and the rounding and saturation that every unit shares (``docs/numerics.md``, top and section 1)."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

_DTYPES = {8: np.int8, 16: np.int16, 18: np.int32}


def rnd(x: ArrayLike, shift: ArrayLike) -> NDArray[np.int64]:
    """``(x + 2**(shift - 1)) >> shift``: divide by a power of two, halves towards plus infinity.

    Parameters
    ----------
    x : integers of any shape, below 2**62 in magnitude
    shift : 1..47, broadcastable to ``x``
    """
    shift = np.asarray(shift, np.int64)
    wide = np.array(x, np.int64)
    wide += np.left_shift(1, shift - 1)
    wide >>= shift
    return wide


def saturate(x: ArrayLike, bits: int) -> NDArray[np.signedinteger]:
    """Clamp to ``bits`` (8, 16 or 18) bits: 8 bits are symmetric, -127..127, the others full two's complement.

    Returns the narrowest dtype that holds the result: int8, int16, int32.
    """
    high = (1 << (bits - 1)) - 1
    low = -high if bits == 8 else -high - 1
    return np.clip(x, low, high).astype(_DTYPES[bits])


def requant(acc: ArrayLike, bias: ArrayLike, mult: ArrayLike, shift: ArrayLike, bits: int) -> NDArray[np.signedinteger]:
    """``saturate(rnd((acc + bias) * mult, shift), bits)``.

    Parameters
    ----------
    acc : int32 accumulators (or context values of 18 bits), any shape
    bias : int32, broadcastable to ``acc``
    mult : 0..65535, broadcastable to ``acc``
    shift : 1..47, broadcastable to ``acc``
    bits : 8 or 16

    Returns
    -------
    int8 or int16 of the shape of ``acc``. The product stays below 2**49, far from the limits of int64.
    """
    shift = np.asarray(shift, np.int64)
    wide = np.array(acc, np.int64)
    # In place, and the rounding constant not through rnd(): this runs over every activation of the network.
    wide += np.asarray(bias, np.int64)
    wide *= np.asarray(mult, np.int64)
    wide += np.left_shift(1, shift - 1)
    wide >>= shift
    return saturate(wide, bits)
