"""Network and masks as one module, which is what gradients are averaged over when several processes train."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from algo.prune.gradual import Magnitude
from algo.prune.importance import channel_order, measure_power
from algo.prune.learned import Learned
from algo.prune.masking import Fixed, Masks
from algo.prune.order import reorder
from algo.quant.fake import FakeQuantVit
from algo.tokens.train import TokenRule
from algo.train.network import forward, plain_weight
from algo.train.recipe import Optimizer, Prune


@dataclass(frozen=True, eq=False)
class Answer:
    """Logits ``(B, classes)``, and the tokens after every block when they were asked for."""

    logits: Tensor
    features: list[Tensor]


class Student(nn.Module):
    """What is trained.

    Parameters
    ----------
    model : VisionTransformer
    masks : None for a dense network
    dtype : of the matrix products
    """

    def __init__(self, model: Any, masks: Masks | None, dtype: torch.dtype) -> None:
        super().__init__()
        self.model, self.masks, self.dtype = model, masks, dtype
        # not a submodule: its parameters are those of the network
        self._integers: list[FakeQuantVit] = []

    def quantize(self, network: FakeQuantVit) -> None:
        """From now on the forward pass is that of the integer network."""
        self._integers = [network]

    @property
    def quantized(self) -> bool:
        """Whether the forward pass is that of the integer network."""
        return bool(self._integers)

    def forward(self, images: Tensor, drops: Mapping[int, TokenRule], *, features: bool = False) -> Answer:
        """One batch; see :func:`algo.train.network.forward`. The integer network has token rules of its own."""
        seen: list[Tensor] = []
        if self._integers:
            with torch.autocast("cpu", self.dtype, enabled=self.dtype != torch.float32):
                return Answer(self._integers[0](images), seen)
        weight_of = self.masks.weight_of if self.masks else plain_weight
        bias_of = self.masks.bias_of if self.masks else plain_weight
        logits = forward(self.model, images, drops=drops, weight_of=weight_of, bias_of=bias_of, dtype=self.dtype,
                         observe=seen.append if features else None)
        return Answer(logits, seen)


def masks_for(model: Any, prune: Prune) -> Masks:
    """The masks of a recipe's pruning method."""
    if prune.method == "fixed":
        return Fixed(model)
    kind = {"learned": Learned, "magnitude": Magnitude}[prune.method]
    return kind(model, prune.pattern, balanced=prune.balanced, attention=prune.attention)


def prepare_channels(model: Any, masks: Masks, images: Tensor) -> None:
    """Put channels of like importance together, which changes nothing else, and let learned scores start from it."""
    power = measure_power(model, images)
    model.load_state_dict(reorder(model.state_dict(), channel_order(model, power)))
    if isinstance(masks, Learned):
        masks.begin(measure_power(model, images))


def optimizer_for(student: Student, settings: Optimizer, prune: Prune | None) -> torch.optim.AdamW:
    """AdamW over matrices (with weight decay), vectors and embeddings (without), and mask scores (at their own rate).

    Each group knows its highest learning rate as ``peak``.
    """
    named = list(student.model.named_parameters())
    matrices = [p for name, p in named if p.dim() > 1 and name not in ("pos_embed", "cls_token")]
    vectors = [p for name, p in named if p.dim() <= 1 or name in ("pos_embed", "cls_token")]
    groups = [{"params": matrices, "peak": settings.lr, "weight_decay": settings.weight_decay},
              {"params": vectors, "peak": settings.lr, "weight_decay": 0.0}]
    scores = list(student.masks.parameters()) if student.masks else []
    if scores and prune is not None:
        groups.append({"params": scores, "peak": prune.score_lr, "weight_decay": 0.0})
    return torch.optim.AdamW(groups, lr=settings.lr, betas=settings.betas, fused=True)
