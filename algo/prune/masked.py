"""Forward pass whose heads and hidden neurons carry mask variables, and whose gradients flow.

A head's mask multiplies its part of the projection's input, a neuron's mask its input of fc2, as Kwon et al. (NeurIPS
2022, section 3) place them. Zero removes the unit from the network, exactly as :func:`algo.prune.plan.apply_plan` does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor

from algo.data import normalise
from algo.prune.methods import Subject
from algo.tokens.evit import block_with_drop
from flows.contracts.artifact import TokenDrop
from flows.contracts.errors import ConfigError

CHUNK = 10
"""Images at a time."""


@contextmanager
def unit_masks(model: Any, heads: Sequence[Tensor | None], neurons: Sequence[Tensor | None]) -> Iterator[None]:
    """Within the context, ``model`` multiplies its heads and neurons with masks.

    Parameters
    ----------
    model : timm VisionTransformer
    heads : per block ``(heads,)`` or, a mask of its own for every image, ``(B, heads)``; None for ones
    neurons : per block ``(hidden,)`` or ``(B, hidden)``; None for ones
    """
    handles = []
    for block, head, neuron in zip(model.blocks, heads, neurons, strict=True):
        if head is not None:
            width = block.attn.proj.in_features // block.attn.num_heads
            handles.append(block.attn.proj.register_forward_pre_hook(_multiply(head, width)))
        if neuron is not None:
            handles.append(block.mlp.fc2.register_forward_pre_hook(_multiply(neuron, 1)))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _multiply(mask: Tensor, width: int) -> Callable[[Any, tuple[Tensor, ...]], tuple[Tensor, ...]]:
    def hook(module: Any, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        full = mask.repeat_interleave(width, dim=-1)
        return (inputs[0] * (full[:, None] if full.dim() == 2 else full),)

    return hook


def embed(model: Any, images: Tensor) -> Tensor:
    """Tokens that enter the first block: ``(B, N, D)``."""
    return model._pos_embed(model.patch_embed(images))


def blocks_from(
    model: Any, x: Tensor, first: int, drops: Mapping[int, TokenDrop],
    see: Callable[[int, Tensor], None] | None = None,
) -> Tensor:
    """Run the blocks from ``first`` on, and the head: logits ``(B, classes)``; gradients flow.

    Parameters
    ----------
    x : ``(B, N, D)``, the residual stream that enters block ``first``
    drops : token drop per block
    see : called with the number of a block and the residual stream that leaves it
    """
    for index in range(first, len(model.blocks)):
        x = block_with_drop(model.blocks[index], x, drops.get(index), lambda name, value: None)
        if see is not None:
            see(index, x)
    return model.head(model.norm(x[:, 0]))


def image_chunks(subject: Subject, count: int | None = None) -> Iterator[tuple[Tensor, Tensor]]:
    """Normalised calibration images ``(B, 3, size, size)`` and their labels ``(B,)``, a few at a time.

    One by one under threshold drop, where the number of tokens depends on the image.

    Raises
    ------
    ConfigError
        When there are no images.
    """
    if len(subject.pixels) == 0:
        raise ConfigError("the method needs calibration images; give a pack or a folder of images")
    count = len(subject.pixels) if count is None else min(count, len(subject.pixels))
    size = 1 if any(drop.mode == "threshold" for drop in subject.drops.values()) else CHUNK
    for start in range(0, count, size):
        part = slice(start, min(start + size, count))
        labels = torch.from_numpy(np.asarray(subject.labels[part], dtype=np.int64))
        yield normalise(subject.pixels[part], subject.mean, subject.std), labels
