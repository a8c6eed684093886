"""Least-squares mask values: the units that stay are scaled so that layers do what they did before.

Kwon et al., NeurIPS 2022, section 4.3: layer after layer, the masks of the kept heads (or neurons) become real numbers
that bring the layer's output nearest to the dense network's. They disappear in the columns of the projection and of
fc2.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from algo.prune.methods import Subject
from algo.prune.streams import Pairs, fit_layers

State = dict[str, Tensor]
Kept = Mapping[int, np.ndarray]

LIMIT = 10.0
"""A layer with a mask value beyond this is left as it was: its equations are too badly conditioned to be believed."""


def rescale(subject: Subject, heads: Kept, neurons: Kept, damp: float) -> State:
    """Weights of the dense network, their kept units scaled; units that go have zero columns.

    Parameters
    ----------
    heads, neurons : block number to bool ``(heads,)`` or ``(hidden,)``; blocks without an entry keep all
    damp : pull of the mask values towards 1, as a share of the mean diagonal of the equations
    """
    pruned = copy.deepcopy(subject.model)
    for index, kept in heads.items():
        attn = pruned.blocks[index].attn
        attn.proj.weight *= torch.from_numpy(kept).repeat_interleave(attn.proj.in_features // len(kept))
    for index, kept in neurons.items():
        pruned.blocks[index].mlp.fc2.weight *= torch.from_numpy(kept)

    def fit(name: str, pairs: Pairs) -> None:
        layer = pruned.get_submodule(name)
        if name.endswith("attn.proj"):
            units = pruned.get_submodule(name.removesuffix(".proj")).num_heads
        elif name.endswith("mlp.fc2"):
            units = layer.in_features
        else:
            return
        values = mask_values(layer, pairs, units, damp)
        layer.weight *= values.repeat_interleave(layer.in_features // units).float()

    fit_layers(subject, pruned, fit, "rescale")
    return {name: tensor.detach().clone() for name, tensor in pruned.state_dict().items()}


def mask_values(layer: Any, pairs: Pairs, units: int, damp: float) -> Tensor:
    """Factors of the layer's inputs that minimise the squared error of its outputs.

    Unit ``u`` adds ``x_u W_u^T`` to the output, so the products of units that the equations need are those of the
    inputs times those of the weight columns: ``A^T A = (X^T X) o (W^T W)``, summed over the channels of a unit.

    Parameters
    ----------
    layer : linear; inputs whose column is zero are gone
    pairs : inputs and wanted outputs
    units : the inputs are that many units of as many channels each

    Returns
    -------
    float64 ``(units,)``; 1 for units that are gone, and for all when a value exceeds :data:`LIMIT`.
    """
    weight, bias = layer.weight.double(), layer.bias.double()
    width = weight.shape[1]
    inputs, products = torch.zeros(width, width, dtype=torch.float64), torch.zeros(width, dtype=torch.float64)
    for given, wanted in pairs:
        x, y = given.flatten(0, 1), wanted.flatten(0, 1) - bias.float()
        inputs += (x.T @ x).double()
        products += ((x.T @ y).double() * weight.T).sum(dim=1)
    size = width // units
    matrix = (inputs * (weight.T @ weight)).reshape(units, size, units, size).sum(dim=(1, 3))
    right = products.reshape(units, size).sum(dim=1)
    alive = weight.reshape(len(weight), units, size).abs().amax(dim=(0, 2)) > 0
    values = torch.ones(units, dtype=torch.float64)
    if not alive.any():
        return values
    matrix, right = matrix[alive][:, alive], right[alive]
    ridge = damp * matrix.diagonal().mean() * torch.eye(len(right), dtype=torch.float64)
    change = torch.linalg.solve(matrix + ridge, right - matrix.sum(dim=1))
    if bool(torch.isfinite(change).all()) and float((1 + change).abs().max()) <= LIMIT:
        values[alive] += change
    return values
