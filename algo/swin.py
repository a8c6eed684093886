"""Swin Transformers in PyTorch: building, weights, evaluation, and the multiplications of a pruned one.

Their windows and patch merging are not what the accelerator computes, so there is no artifact and no program for them;
pruning methods that support ``"swin"`` work on the same 16x16 blocks, and this module counts what they save.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from algo.data import logits_of
from algo.models import model_spec
from algo.prune.budget import Cost
from algo.prune.plan import kept_weights
from algo.timm_compat import resolve_data_config, timm
from algo.weights import check_state, find_weights
from flows.contracts.errors import ConfigError
from flows.contracts.hardware import ceil_div
from flows.contracts.images import LabelledImages

State = dict[str, Tensor]
Masks = Mapping[str, np.ndarray]

BATCH = 8
DENSE: Masks = {}


@dataclass(frozen=True)
class SwinMacs:
    """Multiplications for one image.

    Attributes
    ----------
    embed : patch embedding
    stages : of each stage: patch merging in front of it, projections, attention in windows, MLPs
    head : classifier
    """

    embed: int
    stages: tuple[int, ...]
    head: int

    @property
    def total(self) -> int:
        """All of them."""
        return self.embed + sum(self.stages) + self.head


def build_swin(name: str, state: Mapping[str, Tensor] | None = None, *, image_size: int | None = None) -> Any:
    """A timm Swin Transformer in evaluation mode, without gradients.

    Parameters
    ----------
    name : registered Swin, or of timm, for example ``"swin_tiny_patch4_window7_224"``
    state : weights, also of another number of classes; as timm initialises them when absent
    image_size : pixels; the model's own by default

    Raises
    ------
    ConfigError
        When there is no such Swin.
    WeightsError
        When ``state`` does not fit.
    """
    model = swin_like(name, state or {}, image_size=image_size)
    if state is not None:
        model.load_state_dict(check_state(dict(state), model.state_dict(), "the given state", name))
    return model


def swin_like(name: str, state: Mapping[str, Tensor], *, image_size: int | None = None) -> Any:
    """An untrained Swin with as many classes as ``state`` has, if it tells; otherwise as :func:`build_swin`."""
    spec = model_spec(name)
    if spec.architecture != "swin":
        raise ConfigError(f"{name!r} is no Swin Transformer; give one such as swin_t")
    head = state.get("head.fc.weight")
    changed = {"num_classes": None if head is None else len(head), "img_size": image_size}
    options: dict[str, Any] = spec.options | {option: value for option, value in changed.items() if value is not None}
    model: Any = timm.create_model(spec.timm_name, pretrained=False, **options)
    return model.eval().requires_grad_(False)


def swin_weights(name: str, file: Path | str | None = None, seed: int = 0, *,
                 synthetic: bool = False) -> tuple[State, str]:
    """Weights and where they came from, as :func:`algo.weights.load_weights` has them for plain ViTs.

    Raises
    ------
    ConfigError
        When there is no such Swin, or for ``file`` together with ``synthetic``.
    WeightsError
        When the file is missing, damaged, or does not fit.
    """
    return find_weights(model_spec(name), partial(swin_like, name), file, seed, synthetic=synthetic)


def swin_logits(model: Any, data: LabelledImages, images: Sequence[int],
                progress: Callable[[float], None] | None = None, *, mean: Sequence[float] | None = None,
                std: Sequence[float] | None = None, bfloat16: bool = False) -> np.ndarray:
    """Logits for some images, float32 ``(images, classes)``; to be ranked by :func:`flows.accuracy.ranking`.

    Parameters
    ----------
    model : Swin in evaluation mode
    data : a folder, or a pack of images at the model's size or slightly larger
    images : indices
    progress : called with the finished share
    mean, std : normalisation of the pixels; timm's for the model by default
    bfloat16 : compute matrix products with 8 bits of mantissa, faster where the processor can
    """
    config = resolve_data_config({}, model=model)
    return logits_of(model, data, images, model.patch_embed.img_size[0], mean or config["mean"], std or config["std"],
                     batch=BATCH, bfloat16=bfloat16, progress=progress)


def swin_macs(model: Any, masks: Masks = DENSE) -> SwinMacs:
    """Multiplications of a Swin for one image of its size.

    Parameters
    ----------
    model : Swin
    masks : kept 16x16 blocks by layer name, of linear layers; a layer that is not named is dense

    Notes
    -----
    As timm computes: projections and attention run on maps padded to whole windows, MLPs on the maps themselves.
    Relative position bias, softmax, norms and GELU multiply nothing here, as is the custom.
    """
    height, width = model.patch_embed.grid_size
    embed = model.patch_embed.proj.weight.numel() * height * width
    stages = []
    for number, stage in enumerate(model.layers):
        path, macs = f"layers.{number}", 0
        if hasattr(stage.downsample, "reduction"):
            height, width = ceil_div(height, 2), ceil_div(width, 2)
            macs += _weights(stage.downsample.reduction, f"{path}.downsample.reduction", masks) * height * width
        for index, block in enumerate(stage.blocks):
            macs += _block_macs(block, f"{path}.blocks.{index}", height, width, masks)
        stages.append(macs)
    return SwinMacs(embed, tuple(stages), model.head.fc.weight.numel() if hasattr(model.head.fc, "weight") else 0)


def swin_parameters(model: Any, masks: Masks = DENSE) -> int:
    """Parameters, weights of pruned blocks left out."""
    gone = sum(model.get_submodule(name).weight.numel() - _weights(model.get_submodule(name), name, masks)
               for name in masks)
    return sum(parameter.numel() for parameter in model.parameters()) - gone


def swin_cost(model: Any) -> Cost:
    """Multiplications as a cost for :func:`algo.prune.budget.fit`."""
    return lambda pruned: swin_macs(model, pruned.masks).total


def _block_macs(block: Any, path: str, height: int, width: int, masks: Masks) -> int:
    rows, columns = block.window_size
    padded = ceil_div(height, rows) * rows * ceil_div(width, columns) * columns
    projections = sum(_weights(getattr(block.attn, name), f"{path}.attn.{name}", masks) for name in ("qkv", "proj"))
    mlp = sum(_weights(getattr(block.mlp, name), f"{path}.mlp.{name}", masks) for name in ("fc1", "fc2"))
    # every token against the tokens of its window, once for scores and once for values
    attention = 2 * block.attn.window_area * block.attn.proj.in_features
    return padded * (projections + attention) + height * width * mlp


def _weights(layer: Any, name: str, masks: Masks) -> int:
    """Weights of a layer in kept blocks."""
    return kept_weights(layer.weight, masks.get(name))
