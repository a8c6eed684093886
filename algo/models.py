"""Registry of the networks sievit knows, in the style of timm: short names for timm models.

A name that is not registered is taken as the name of a timm model, so that any plain ViT can be tried; whatever the
accelerator cannot compute is refused by :func:`check_supported`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from algo.registry import Registry
from algo.timm_compat import timm
from flows.contracts.errors import ConfigError
from flows.contracts.hardware import BLOCK


@dataclass(frozen=True)
class ModelSpec:
    """How to build a network.

    Attributes
    ----------
    name : registry name
    timm_name : architecture in timm
    options : keyword arguments for ``timm.create_model``
    pretrained : timm has trained weights for it
    """

    name: str
    timm_name: str
    options: dict[str, Any] = field(default_factory=dict)
    pretrained: bool = True


_MODELS: Registry[Callable[[], ModelSpec]] = Registry("model")


def register_model(function: Callable[[], ModelSpec]) -> Callable[[], ModelSpec]:
    """Decorator: make the network of ``function`` known under the function's name."""
    _MODELS.add(function.__name__, function)
    return function


def model_names() -> list[str]:
    """Registered names, sorted."""
    return _MODELS.names()


def model_spec(name: str) -> ModelSpec:
    """The description of ``name``, a registered name or a timm architecture.

    Raises
    ------
    ConfigError
        When neither knows it.
    """
    if name in _MODELS:
        return _MODELS[name]()
    if timm.is_model(name.partition(".")[0]):
        return ModelSpec(name, name)
    raise ConfigError(f"unknown model {name!r}; known: {', '.join(model_names())}, or a plain ViT of timm by its name")


def build_model(
    name: str, hidden: list[int] | None = None, *, classes: int | None = None, image_size: int | None = None
) -> Any:
    """An untrained ``timm`` VisionTransformer in evaluation mode.

    Parameters
    ----------
    name : registered name or timm architecture
    hidden : MLP hidden width of each block, when neurons were pruned
    classes : number of classes; the model's own by default
    image_size : pixels; the model's own by default

    Raises
    ------
    ConfigError
        When the model is unknown, or has a part that is not supported.
    """
    spec = model_spec(name)
    changed = {"num_classes": classes, "img_size": image_size}
    options: dict[str, Any] = spec.options | {option: value for option, value in changed.items() if value is not None}
    model: Any = timm.create_model(spec.timm_name, pretrained=False, **options)
    check_supported(model, name)
    for block, width in zip(model.blocks, hidden or [], strict=hidden is not None):
        block.mlp.fc1 = nn.Linear(model.embed_dim, width)
        block.mlp.fc2 = nn.Linear(width, model.embed_dim)
    return model.eval()


def build_like(name: str, state: Mapping[str, Tensor]) -> Any:
    """An untrained model of the sizes that a weights file has: classes, image size, hidden neurons of every MLP.

    What ``state`` does not tell, because it lacks a tensor, is as in the registered model.

    Raises
    ------
    ConfigError
        As :func:`build_model`.
    """
    model = build_model(name)
    head, position = state.get("head.weight"), state.get("pos_embed")
    size = None
    if position is not None and position.dim() == 3:
        grid = math.isqrt(max(position.shape[1] - 1, 0))
        if grid and grid**2 == position.shape[1] - 1:
            size = grid * model.patch_embed.patch_size[0]
    biases = [state.get(f"blocks.{layer}.mlp.fc1.bias") for layer in range(len(model.blocks))]
    hidden = [block.mlp.fc1.out_features if bias is None else len(bias)
              for block, bias in zip(model.blocks, biases, strict=True)]
    return build_model(name, hidden, classes=None if head is None else len(head), image_size=size)


def check_supported(model: nn.Module, name: str) -> None:
    """Refuse what the accelerator cannot compute.

    Raises
    ------
    ConfigError
        Naming the first unsupported part.
    """
    for supported, what in _checks(model):
        if not supported:
            raise ConfigError(f"model {name!r} is not supported: {what}; use a plain ViT such as deit_t")


def _checks(net: nn.Module) -> list[tuple[bool, str]]:
    model: Any = net
    if not isinstance(net, timm.models.vision_transformer.VisionTransformer):
        return [(False, f"it is a {type(model).__name__}, not a VisionTransformer")]
    if type(model) is not timm.models.vision_transformer.VisionTransformer:
        what = "it has a distillation token" if hasattr(model, "dist_token") else f"it is a {type(model).__name__}"
        return [(False, what)]
    identity = nn.Identity
    checks = [
        (model.reg_token is None, "it has register tokens"),
        (model.cls_token is not None and model.num_prefix_tokens == 1, "it has no CLS token of its own"),
        (model.global_pool == "token", f"it pools by {model.global_pool!r}, not by the CLS token"),
        (isinstance(model.norm_pre, identity), "it normalises before the first block"),
        (isinstance(model.fc_norm, identity), "it normalises after pooling"),
        (isinstance(model.norm, nn.LayerNorm), "its last norm is no LayerNorm"),
        (isinstance(model.head, nn.Linear), "it has no linear head"),
        (model.patch_embed.grid_size[0] == model.patch_embed.grid_size[1], "its image is not square"),
        (isinstance(model.patch_embed.norm, identity), "it normalises the patch embedding"),
        (model.pos_embed is not None and not model.no_embed_class, "it has no position embedding for CLS"),
    ]
    for block in model.blocks.children():
        checks += _block_checks(block)
    return checks


def _block_checks(module: nn.Module) -> list[tuple[bool, str]]:
    block: Any = module
    if type(module) is not timm.models.vision_transformer.Block:
        return [(False, f"its blocks are {type(module).__name__}")]
    identity = nn.Identity
    return [
        (isinstance(block.ls1, identity) and isinstance(block.ls2, identity), "it uses LayerScale"),
        (isinstance(block.attn.q_norm, identity), "it normalises queries and keys (qk-norm)"),
        (isinstance(getattr(block.attn, "norm", identity()), identity), "it normalises inside attention"),
        (isinstance(block.norm1, nn.LayerNorm) and isinstance(block.norm2, nn.LayerNorm),
         "its norms are no LayerNorm"),
        (isinstance(block.mlp.act, nn.GELU) and isinstance(getattr(block.mlp, "norm", identity()), identity),
         "its MLP is not linear, GELU, linear"),
        (block.attn.head_dim % BLOCK == 0, f"its head width is no multiple of {BLOCK}"),
        (block.mlp.fc1.out_features % BLOCK == 0, f"its MLP width is no multiple of {BLOCK}"),
    ]


@register_model
def deit_t() -> ModelSpec:
    """DeiT-Tiny (Touvron et al. 2021): 192 wide, 3 heads, 12 blocks, 224x224."""
    return ModelSpec("deit_t", "deit_tiny_patch16_224")


@register_model
def deit_s() -> ModelSpec:
    """DeiT-Small: 384 wide, 6 heads."""
    return ModelSpec("deit_s", "deit_small_patch16_224")


@register_model
def deit_b() -> ModelSpec:
    """DeiT-Base: 768 wide, 12 heads."""
    return ModelSpec("deit_b", "deit_base_patch16_224")


@register_model
def vit_micro() -> ModelSpec:
    """A network for tests: 32x32 image, patch 8, 64 wide, 2 heads, 3 blocks, 10 classes."""
    options = {"img_size": 32, "patch_size": 8, "embed_dim": 64, "num_heads": 2, "depth": 3, "num_classes": 10}
    return ModelSpec("vit_micro", "deit_tiny_patch16_224", options, pretrained=False)
