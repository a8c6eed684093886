"""Classifier head on the CLS token (``docs/numerics.md`` section 7)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from flows.contracts.artifact import Linear, Norm
from sim.golden.cluster import matmul
from sim.golden.layer_norm import layer_norm
from sim.golden.requant import requant


def norm(x: NDArray[np.int16], parameters: Norm) -> NDArray[np.int8]:
    """Layer norm of token 0 only: int16 ``(N, D)`` to int8 ``(1, D)``."""
    return layer_norm(x[:1], parameters)


def logits(codes: NDArray[np.int8], layer: Linear, weight: NDArray[np.number] | None = None) -> NDArray[np.int16]:
    """Class scores on one common scale.

    Parameters
    ----------
    codes : int8 ``(1, D)``
    layer : the head
    weight : its weight as float32, if already converted

    Returns
    -------
    int16 ``(classes,)``
    """
    acc = matmul(codes, layer.weight if weight is None else weight)
    return requant(acc, layer.bias, layer.mult, layer.shift, 16)[0]
