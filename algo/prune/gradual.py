"""Gradual magnitude pruning (Zhu and Gupta 2017): the yardstick of every method that trains."""

from __future__ import annotations

import torch
from torch import Tensor

from algo.prune.magnitude import magnitude
from algo.prune.masking import Masks
from algo.prune.neurons import neuron_norms
from flows.contracts.hardware import BLOCK


class Magnitude(Masks):
    """The smallest weights go: blocks by their root mean square, neurons by the norms of their row and column."""

    def block_scores(self, name: str) -> Tensor:
        """Root mean square of each block."""
        return magnitude(self.network.get_submodule(name).weight.detach(), (BLOCK, BLOCK))

    @torch.no_grad()
    def neuron_scores(self, layer: int) -> Tensor:
        """Norm of the fc1 row times norm of the fc2 column."""
        mlp = self.network.blocks[layer].mlp
        return neuron_norms(mlp.fc1.weight, mlp.fc2.weight)
