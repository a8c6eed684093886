"""Order in which blocks of a weight matrix go when the others make up for each.

Optimal Brain Surgeon (Hassibi and Stork, 1992) for blocks of inputs, as Optimal Brain Compression does it (Frantar and
Alistarh, NeurIPS 2022): with the input moments ``H``, leaving out the inputs ``c`` of some rows ``W`` of the matrix
costs ``tr(W_c ((H^-1)_cc)^-1 W_c^T)`` after the best change of the other weights. The cheapest block goes, the others
are changed, ``H^-1`` loses its inputs, and so on until nothing is left. Rows of a block row share their mask, so one
inverse per block row is enough.
"""

from __future__ import annotations

import torch
from torch import Tensor

from flows.contracts.hardware import BLOCK


def damped(gram: Tensor, share: float) -> Tensor:
    """``gram`` plus ``share`` of its mean diagonal, which bounds the condition number."""
    size = len(gram)
    level = gram.diagonal().mean().clamp_min(torch.finfo(gram.dtype).tiny)
    return gram + share * level * torch.eye(size, dtype=gram.dtype)


def removal_costs(weight: Tensor, gram: Tensor) -> Tensor:
    """Increase of the error by each block of 16x16 weights when blocks go cheapest first, per block row.

    Parameters
    ----------
    weight : float64 ``(out, in)``, multiples of 16; scale a row by the square root of how much its output counts
    gram : float64 ``(in, in)``, positive definite moments of the inputs

    Returns
    -------
    ``(out / 16, in / 16)``: each row's entries rise in the order in which its blocks go. The removal of a block can
    cost less than the one before it, because that one left it little to do; the entry is then that of the dearer
    removal, so that a threshold over many matrices always takes away a beginning of the order.
    """
    rows, columns = weight.shape[0] // BLOCK, weight.shape[1] // BLOCK
    weights = weight.reshape(rows, BLOCK, columns, BLOCK).transpose(1, 2).clone()  # block row, column, row, input
    inverse = torch.linalg.inv(gram).expand(rows, -1, -1).clone()
    left = torch.ones(rows, columns, dtype=torch.bool)
    costs = torch.zeros(rows, columns, dtype=weight.dtype)
    every, last = torch.arange(rows), torch.zeros(rows, dtype=weight.dtype)
    for _ in range(columns):
        core, price = _prices(weights, inverse)
        price = price.masked_fill(~left, torch.inf)
        chosen = price.argmin(dim=1)
        last = torch.maximum(last, price[every, chosen])
        costs[every, chosen] = last
        _remove(weights, inverse, core[every, chosen], chosen)
        left[every, chosen] = False
    return costs


def _prices(weights: Tensor, inverse: Tensor) -> tuple[Tensor, Tensor]:
    """Inverse diagonal blocks of ``H^-1``, and what the removal of each block costs ``(rows, columns)``."""
    rows, columns = weights.shape[:2]
    tiles = inverse.reshape(rows, columns, BLOCK, columns, BLOCK)
    diagonal = torch.diagonal(tiles, dim1=1, dim2=3).permute(0, 3, 1, 2)
    # Removed inputs have zero rows; their blocks are made invertible and never chosen.
    empty = (diagonal.diagonal(dim1=-2, dim2=-1) <= 0).any(dim=-1)[..., None, None]
    core = torch.linalg.inv(torch.where(empty, torch.eye(BLOCK, dtype=inverse.dtype), diagonal))
    return core, torch.einsum("rcoi,rcij,rcoj->rc", weights, core, weights)


def _remove(weights: Tensor, inverse: Tensor, core: Tensor, chosen: Tensor) -> None:
    """Take the ``chosen`` block of every block row out of ``weights`` and ``inverse``, in place."""
    rows, columns = weights.shape[:2]
    every = torch.arange(rows)
    strip = inverse.reshape(rows, columns, BLOCK, -1)[every, chosen]  # (rows, 16, in)
    solved = core @ strip
    change = weights[every, chosen] @ solved  # (rows, 16 outputs, in)
    weights -= change.reshape(rows, BLOCK, columns, BLOCK).transpose(1, 2)
    weights[every, chosen] = 0
    inverse -= strip.transpose(1, 2) @ solved
    tiles = inverse.reshape(rows, columns, BLOCK, columns, BLOCK)
    tiles[every, chosen] = 0
    tiles[every, :, :, chosen] = 0
