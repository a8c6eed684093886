"""Mask rearrangement: swaps within a layer that the diagonal of the Fisher information cannot see."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def rearrange(kept: np.ndarray, gradients: Tensor) -> np.ndarray:
    """Swap kept and pruned units of one layer while that lowers the loss that their Fisher block predicts.

    Kwon et al., NeurIPS 2022, section 4.2: with ``g_i`` the gradients of unit ``i``'s mask over the images, taking the
    set ``P`` away costs ``|sum of g_i over P|^2``. For every kept unit in turn: let it go as well, and take back the
    unit of ``P`` (perhaps itself) whose return leaves the least.

    Parameters
    ----------
    kept : bool ``(units,)``
    gradients : ``(images, units)``

    Returns
    -------
    bool ``(units,)`` with as many units kept; its predicted loss is not above that of ``kept``.
    """
    if kept.all() or not kept.any():
        return kept.copy()
    vectors = gradients.double().T.numpy()
    squares = (vectors**2).sum(axis=1)
    pruned = ~kept
    total = vectors[pruned].sum(axis=0)
    for unit in np.flatnonzero(kept):
        pruned[unit] = True
        total = total + vectors[unit]
        members = np.flatnonzero(pruned)
        # |total - g|^2 without its constant part
        change = squares[members] - 2 * (vectors[members] @ total)
        back = members[int(np.argmin(change))]
        pruned[back] = False
        total = total - vectors[back]
    return ~pruned


def predicted_loss(kept: np.ndarray, gradients: Tensor) -> float:
    """``|sum of gradients over the units that go|^2``."""
    return float(gradients.double()[:, torch.from_numpy(~kept)].sum(dim=1).square().sum())
