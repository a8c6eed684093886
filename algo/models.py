"""Registry of the networks sievit knows, in the style of timm: short names for timm models.

A name that is not registered is taken as the name of a timm model, so that any plain ViT can be tried; whatever the
accelerator cannot compute is refused by :func:`check_supported`. Swins are registered too, for :mod:`algo.swin`.
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
    architecture : ``"vit"``, or ``"swin"``, which is pruned and evaluated in PyTorch only
    """

    name: str
    timm_name: str
    options: dict[str, Any] = field(default_factory=dict)
    pretrained: bool = True
    architecture: str = "vit"


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
    architecture = name.partition(".")[0]
    if timm.is_model(architecture):
        in_swin = timm.models.model_entrypoint(architecture).__module__ == timm.models.swin_transformer.__name__
        return ModelSpec(name, name, architecture="swin" if in_swin else "vit")
    raise ConfigError(f"unknown model {name!r}; known: {', '.join(model_names())}, or a plain ViT of timm by its name")


def vit_spec(name: str) -> ModelSpec:
    """The description of ``name``, for everything that takes only what may run on the accelerator.

    Raises
    ------
    ConfigError
        When the model is unknown, or a Swin.
    """
    spec = model_spec(name)
    if spec.architecture != "vit":
        raise ConfigError(f"model {name!r} cannot run on the accelerator (it is a {spec.architecture.title()}); "
                          "only 'sievit prune' and 'sievit eval' take it")
    return spec


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
    spec = vit_spec(name)
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
    if not state:
        return model
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


@register_model
def swin_t() -> ModelSpec:
    """Swin-Tiny (Liu et al. 2021): 96 wide at first, blocks 2, 2, 6, 2, windows of 7x7, 224x224."""
    return ModelSpec("swin_t", "swin_tiny_patch4_window7_224", architecture="swin")


@register_model
def swin_s() -> ModelSpec:
    """Swin-Small: blocks 2, 2, 18, 2."""
    return ModelSpec("swin_s", "swin_small_patch4_window7_224", architecture="swin")


@register_model
def swin_b() -> ModelSpec:
    """Swin-Base: 128 wide at first, blocks 2, 2, 18, 2."""
    return ModelSpec("swin_b", "swin_base_patch4_window7_224", architecture="swin")


@register_model
def swin_micro() -> ModelSpec:
    """A Swin for tests: 32x32 image, windows of 4x4, 32 wide at first, blocks 2, 2, 10 classes."""
    options = {"img_size": 32, "window_size": 4, "embed_dim": 32, "num_heads": (1, 2), "depths": (2, 2),
               "num_classes": 10}
    return ModelSpec("swin_micro", "swin_tiny_patch4_window7_224", options, pretrained=False, architecture="swin")
