"""Least-squares compensation of a network pruned in blocks, layer after layer."""

from __future__ import annotations

import copy
from collections.abc import Mapping

import numpy as np
from torch import Tensor

from algo.prune.least_squares import NormalEquations, solve
from algo.prune.methods import Subject
from algo.prune.streams import Pairs, fit_layers
from flows.contracts.hardware import BLOCK

State = dict[str, Tensor]
Masks = Mapping[str, np.ndarray]


def compensate(subject: Subject, masks: Masks, damp: float) -> State:
    """Weights of the dense network with the blocks outside ``masks`` zero and the others made up for it.

    Parameters
    ----------
    masks : layer name to kept blocks; layers without an entry keep all of them, and are fitted nevertheless, because
        their inputs have changed
    damp : see :func:`algo.prune.least_squares.solve`
    """
    pruned = copy.deepcopy(subject.model)

    def fit(name: str, pairs: Pairs) -> None:
        layer = pruned.get_submodule(name)
        equations = NormalEquations(layer.in_features, layer.out_features)
        for x, wanted in pairs:
            equations.add(x.flatten(0, 1), wanted.flatten(0, 1))
        whole = np.ones((layer.out_features // BLOCK, layer.in_features // BLOCK), dtype=bool)
        weight, bias = solve(equations, masks.get(name, whole), layer.weight, layer.bias, damp)
        layer.weight.copy_(weight)
        layer.bias.copy_(bias)

    fit_layers(subject, pruned, fit, "compensate")
    return {name: tensor.detach().clone() for name, tensor in pruned.state_dict().items()}
