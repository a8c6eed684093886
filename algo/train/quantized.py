"""The last part of a run on the integers of the accelerator: quantization-aware training.

When it begins, activation ranges are measured once on training images, as post-training calibration does; from then on
the forward pass is that of :class:`algo.quant.fake.FakeQuantVit`. The ranges go into the weights file, so that the
artifact exported from it has the very integers that were trained.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from algo.export import calibrated_ranges
from algo.prune.blocks import LAYERS
from algo.prune.masking import Masks
from algo.quant.fake import FakeQuantVit
from algo.quant.ranges import Ranges
from algo.quant.settings import Settings
from algo.train.batches import Loader
from algo.train.network import plain_weight
from algo.train.recipe import Quantize
from flows.contracts.artifact import TokenDrop


def settings_of(quantize: Quantize) -> Settings:
    """The quantization that a recipe asks for."""
    return Settings(calibrate=quantize.calibrate, weight_bits=quantize.weight_bits)


def measured_ranges(model: Any, masks: Masks | None, loader: Loader, quantize: Quantize,
                    drops: Mapping[int, TokenDrop]) -> Ranges:
    """Activation ranges of the pruned network on the first training images; the same in all processes."""
    whole = replace(loader, rank=0, world=1)
    batches = -(-quantize.images // loader.batch)
    pixels = np.concatenate([whole.at(step).pixels for step in range(batches)])[:quantize.images]
    return calibrated_ranges(masked_copy(model, masks), pixels, tuple(loader.mean), tuple(loader.std), drops,
                             settings_of(quantize))


@torch.no_grad()
def masked_copy(model: Any, masks: Masks | None) -> Any:
    """The network with its masks applied to its weights; nothing is removed."""
    network = copy.deepcopy(model).eval().requires_grad_(False)
    if masks is None:
        return network.cpu()
    for layer in range(len(network.blocks)):
        for kind in LAYERS:
            name = f"blocks.{layer}.{kind}"
            module = network.get_submodule(name)
            module.weight.copy_(masks.weight_of(name, module.weight))
            if module.bias is not None:
                module.bias.copy_(masks.bias_of(name, module.bias))
    return network.cpu()


def fake_quantized(model: Any, masks: Masks | None, ranges: Ranges, loader: Loader, quantize: Quantize,
                   drops: Mapping[int, TokenDrop]) -> FakeQuantVit:
    """The network as the accelerator computes it, with gradients to the same parameters."""
    blocks = masks.block_masks(masks.keep) if masks is not None else {}
    return FakeQuantVit(model, ranges, tuple(loader.mean), tuple(loader.std), drops, lambda: blocks,  # type: ignore[arg-type]
                        settings_of(quantize), masks.weight_of if masks else plain_weight,
                        masks.bias_of if masks else plain_weight)
