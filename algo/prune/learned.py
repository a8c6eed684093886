"""Learned scores: every block and every hidden neuron has a score that training moves (the default method).

Block movement pruning (Lagunas et al., EMNLP 2021, after Sanh et al., NeurIPS 2020): the best scores are kept, and the
gradient passes the selection unchanged, so that a score falls where taking the weights away would lower the loss.
Parikh et al. (FCCM 2024) train it together with token pruning, a dense teacher and a penalty on the sigmoid of the
scores.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from algo.prune.masking import Masks
from flows.contracts.hardware import BLOCK


class Learned(Masks):
    """Masks with learned scores, which start at 0 (see :class:`algo.prune.masking.Masks` for the parameters)."""

    def __init__(self, model: Any, pattern: str = "alternate", *, balanced: bool = False) -> None:
        super().__init__(model, pattern, balanced=balanced)
        self.scores = nn.ParameterDict()
        for name in self.names():
            rows, columns = model.get_submodule(name).weight.shape
            self.scores[_key(name)] = nn.Parameter(torch.zeros(rows // BLOCK, columns // BLOCK))
        if pattern == "alternate":
            for layer, block in enumerate(model.blocks):
                self.scores[_key(f"blocks.{layer}.mlp")] = nn.Parameter(torch.zeros(block.mlp.fc1.out_features))

    def block_scores(self, name: str) -> Tensor:
        """The learned scores of a layer's blocks."""
        return self.scores[_key(name)]

    def neuron_scores(self, layer: int) -> Tensor:
        """The learned scores of an MLP's hidden neurons."""
        return self.scores[_key(f"blocks.{layer}.mlp")]

    def penalty(self) -> Tensor:
        """Mean over the matrices of the mean sigmoid of their scores."""
        return torch.stack([torch.sigmoid(scores).mean() for scores in self.scores.values()]).mean()

    def weight_of(self, name: str, weight: Tensor) -> Tensor:
        """The masked weights; gradients reach the scores straight through the selection until it is frozen."""
        if self.frozen or name not in self._full:
            return super().weight_of(name, weight)
        if name.endswith(("fc1", "fc2")) and self.pattern == "alternate":
            scores = self.neuron_scores(int(name.split(".")[1]))
            axis = 1 if name.endswith("fc1") else 0
            return _MaskedNeurons.apply(weight, scores, self._full[name], axis)  # type: ignore[no-any-return]
        return _MaskedBlocks.apply(weight, self.block_scores(name), self._full[name])  # type: ignore[no-any-return]


class _MaskedBlocks(torch.autograd.Function):
    """``weight * mask``; the score of a block gets the sum of gradient times weight over the block."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor, scores: Tensor, mask: Tensor) -> Tensor:
        ctx.save_for_backward(weight, mask)
        return weight * mask

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, None]:
        weight, mask = ctx.saved_tensors
        moved = (grads[0] * weight).reshape(weight.shape[0] // BLOCK, BLOCK, weight.shape[1] // BLOCK, BLOCK)
        return grads[0] * mask, moved.sum(dim=(1, 3)), None


class _MaskedNeurons(torch.autograd.Function):
    """``weight * mask``; the score of a neuron gets the sum over its row or column."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor, scores: Tensor, mask: Tensor, axis: int) -> Tensor:
        ctx.save_for_backward(weight, mask)
        ctx.axis = axis
        return weight * mask

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, None, None]:
        weight, mask = ctx.saved_tensors
        return grads[0] * mask, (grads[0] * weight).sum(dim=ctx.axis), None, None


def _key(name: str) -> str:
    return name.replace(".", "_")
