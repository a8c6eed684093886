"""The residual stream: one int16 scale for the whole network (``docs/numerics.md`` sections 2, 4, 6)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sim.golden.requant import saturate


def add(x: NDArray[np.int16], y: NDArray[np.int16]) -> NDArray[np.int16]:
    """``sat16(x + y)`` of two int16 arrays of the same shape."""
    return saturate(np.add(x, y, dtype=np.int32), 16)
