"""The networks in torch whose accuracy is measured: float, and fake-quantized."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from algo.data import normalise
from algo.export import Prepared
from algo.quant.fake import FakeQuantVit
from algo.quant.ranges import Ranges
from algo.tokens.evit import forward_with_drop

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
