"""Thresholds for data-dependent token drop, from calibration images."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from algo.data import batches, normalise
from algo.tokens.evit import forward_with_drop, threshold_drop
from flows.contracts.artifact import TokenDrop

IMAGES = 32
"""Images looked at: one runs at a time, because the number of tokens differs."""


def calibrate_thresholds(
    model: nn.Module,
    pixels: np.ndarray,
    mean: Sequence[float],
    std: Sequence[float],
    layers: Iterable[int],
    keep: float,
) -> dict[int, TokenDrop]:
    """Thresholds at which each layer keeps the share ``keep`` of its patch tokens on average over the images.

    Parameters
    ----------
    model : VisionTransformer
    pixels : uint8 ``(images, size, size, 3)``; the first 32 are used
    mean, std : normalisation per colour channel
    layers : 0-based blocks
    keep : 0..1

    Returns
    -------
    Token drop per block. A layer's threshold accounts for the tokens dropped before it.
    """
    drops: dict[int, TokenDrop] = {}
    for layer in sorted(layers):
        scores: list[Tensor] = []

        def observe(name: str, value: Tensor, wanted: str = f"blocks.{layer}.cls_attention",
                    into: list[Tensor] = scores) -> None:
            if name == wanted:
                into.append(value[:, 1:].flatten())

        for batch in batches(pixels[:IMAGES], 8):
            forward_with_drop(model, normalise(batch, mean, std), drops, observe)
        limit = float(torch.quantile(torch.cat(scores).double(), 1 - keep))
        drops[layer] = threshold_drop(limit, model.blocks[layer].attn.num_heads)  # type: ignore[index,union-attr]
    return drops
