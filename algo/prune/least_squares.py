"""Best weights of a linear layer whose block mask is given."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from flows.contracts.hardware import BLOCK


@dataclass(eq=False)
class NormalEquations:
    """Moments of inputs and wanted outputs of a layer, float64; the last input is the constant one of the bias.

    Attributes
    ----------
    inputs : ``X^T X``, ``(in + 1, in + 1)``
    products : ``X^T Y``, ``(in + 1, out)``
    """

    width: int
    outputs: int
    inputs: Tensor = field(init=False)
    products: Tensor = field(init=False)

    def __post_init__(self) -> None:
        self.inputs = torch.zeros(self.width + 1, self.width + 1, dtype=torch.float64)
        self.products = torch.zeros(self.width + 1, self.outputs, dtype=torch.float64)

    def add(self, x: Tensor, wanted: Tensor) -> None:
        """Add inputs ``(T, in)`` and what the layer should make of them ``(T, out)``."""
        x = torch.cat([x, x.new_ones(len(x), 1)], dim=1)
        self.inputs += (x.T @ x).double()
        self.products += (x.T @ wanted).double()


def solve(
    equations: NormalEquations, mask: np.ndarray, weight: Tensor, bias: Tensor, damp: float
) -> tuple[Tensor, Tensor]:
    """Weights and bias with the least squared error whose blocks outside ``mask`` are zero.

    The 16 rows of a block row share their mask, so each block row is one system of equations: the kept blocks minimise
    ``|X w - y|^2 + damp * mean diagonal of X^T X * |w - old|^2``; the bias is free.

    Parameters
    ----------
    mask : bool ``(out / 16, in / 16)``
    weight, bias : old ones, ``(out, in)`` and ``(out,)``
    damp : pull towards the old weights, which decides what the images do not

    Returns
    -------
    float64 weight and bias of the same shapes.
    """
    width = equations.width
    level = damp * equations.inputs.diagonal()[:width].mean()
    ridge = torch.full((width + 1,), float(level), dtype=torch.float64)
    ridge[width] = 0
    old = torch.cat([weight.double().T, bias.double()[None]])
    matrix = equations.inputs + torch.diag(ridge)
    right = equations.products + ridge[:, None] * old
    new = torch.zeros_like(old)
    for row, kept in enumerate(mask):
        outputs = slice(row * BLOCK, (row + 1) * BLOCK)
        inputs = np.append(np.flatnonzero(np.repeat(kept, BLOCK)), width)
        index = torch.from_numpy(inputs)
        factor = torch.linalg.cholesky(matrix[index][:, index])
        new[index, outputs] = torch.cholesky_solve(right[index, outputs], factor)
    return new[:width].T.contiguous(), new[width].clone()
