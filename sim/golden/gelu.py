"""GELU as a table (``docs/numerics.md`` section 6)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from flows.contracts.numerics import GELU_OFFSET


def gelu(codes: NDArray[np.int8], table: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """``table[codes + 128]``.

    Parameters
    ----------
    codes : int8 pre-activations, any shape
    table : uint8 ``(256,)``; its zero point is folded into the bias of the layer that follows
    """
    # Adding 128 to a two's complement byte and reading it unsigned flips its top bit.
    index = codes.view(np.uint8) ^ np.uint8(GELU_OFFSET)
    return table.take(index, mode="clip")
