"""The networks in torch whose accuracy is measured: float, and fake-quantized."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from algo.data import logits_of, normalise
from algo.export import Prepared
from algo.quant.fake import FakeQuantVit
from algo.quant.ranges import Ranges
from algo.tokens.evit import forward_with_drop
from flows.contracts.artifact import TokenDrop
from flows.contracts.images import Pack

WIDE_BATCH = 25
"""Images at once where only speed counts."""

Classify = Callable[[np.ndarray], np.ndarray]
"""uint8 pixels ``(B, size, size, 3)`` to logits ``(B, classes)``."""


def float_network(prepared: Prepared) -> Classify:
    """The float network with its pruning and token drop; logits float32."""

    def classify(pixels: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            images = normalise(pixels, prepared.mean, prepared.std)
            return forward_with_drop(prepared.model, images, prepared.drops).numpy()

    return classify


def fake_network(prepared: Prepared, ranges: Ranges) -> Classify:
    """The fake-quantized network, its weights quantized once; logits int16, as those of the accelerator."""
    network = FakeQuantVit(prepared.model, ranges, prepared.mean, prepared.std, prepared.drops, lambda: prepared.masks,
                           prepared.settings)
    network.freeze()

    def classify(pixels: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return network.logit_codes(torch.from_numpy(pixels)).numpy().astype(np.int16)

    return classify


def network_logits(
    model: Any, pack: Pack, images: list[int], mean: Sequence[float], std: Sequence[float],
    drops: Mapping[int, TokenDrop] | None = None, progress: Callable[[float], None] | None = None,
) -> np.ndarray:
    """Logits of any plain ViT for ``images`` of a pack, quickly: under bfloat16 autocast.

    Good for comparisons of accuracy; :func:`float_network` is the reference.

    Returns
    -------
    float32 ``(images, classes)``
    """
    return logits_of(lambda batch: forward_with_drop(model, batch, drops), pack, images, model.patch_embed.img_size[0],
                     mean, std, batch=WIDE_BATCH, bfloat16=True, progress=progress)
