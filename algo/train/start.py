"""The network a run begins with: weights of another image size or other classes are adapted."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from algo.models import build_like, build_model
from algo.weights import load_weights

State = dict[str, Tensor]


def starting_model(name: str, weights: str | None, image_size: int | None, classes: int, seed: int) -> tuple[Any, str]:
    """A model in training mode, and where its weights came from.

    Parameters
    ----------
    name : registry name
    weights : file with timm names, or None for timm's pretrained weights (made-up ones when they are out of reach)
    image_size : pixels; None keeps that of the weights
    classes : of the data set
    seed : of a new head

    Raises
    ------
    ConfigError, WeightsError
        As :func:`algo.weights.load_weights`.
    """
    state, origin = load_weights(name, None if weights is None else Path(weights), seed)
    like = build_like(name, state)
    hidden = [block.mlp.fc1.out_features for block in like.blocks]
    model = build_model(name, hidden, classes=classes, image_size=image_size or like.patch_embed.img_size[0])
    model.load_state_dict(adapted(state, model, seed))
    return model.train(), origin


def adapted(state: State, model: Any, seed: int) -> State:
    """``state`` with positions interpolated and a new head, where the sizes of ``model`` are others."""
    state = dict(state)
    state["pos_embed"] = resized_positions(state["pos_embed"], model.patch_embed.num_patches)
    if state["head.weight"].shape != model.head.weight.shape:
        generator = torch.Generator().manual_seed(seed)
        deviation = model.head.in_features**-0.5
        state["head.weight"] = torch.randn(model.head.weight.shape, generator=generator) * 0.1 * deviation
        state["head.bias"] = torch.zeros(model.head.bias.shape)
    return state


def resized_positions(positions: Tensor, patches: int) -> Tensor:
    """Position embedding ``(1, 1 + patches, D)`` from that of another square grid, bicubic; CLS keeps its own."""
    if positions.shape[1] == patches + 1:
        return positions
    old, new = math.isqrt(positions.shape[1] - 1), math.isqrt(patches)
    grid = positions[:, 1:].reshape(1, old, old, -1).permute(0, 3, 1, 2)
    grid = functional.interpolate(grid, size=(new, new), mode="bicubic", antialias=True)
    return torch.cat([positions[:, :1], grid.permute(0, 2, 3, 1).reshape(1, patches, -1)], dim=1)
