"""Every integer of a network from its float weights and calibration statistics."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from algo.quant.calibrate import Statistics
from algo.quant.fixed_point import (
    Codes,
    activation_table,
    exp_table,
    multiplier,
    quantize_linear,
    quantize_norm,
)
from algo.quant.scales import (
    INT16_MAX,
    Settings,
    channel_codes,
    common_scale,
    context_codes,
    hidden_codes,
    pre_activation_codes,
    query_key_codes,
    score_scale,
)
from flows.contracts.artifact import Block, Linear, Norm, TokenDrop
from flows.contracts.numerics import CONTEXT_FRACTION, INT8_MAX

Masks = Mapping[str, np.ndarray]


@dataclass(frozen=True, eq=False)
class Quantized:
    """The integer parts of an artifact; field names as in :class:`flows.contracts.artifact.SparseVit`."""

    input_scale: float
    embed: Linear
    residual_init: np.ndarray
    blocks: tuple[Block, ...]
    norm: Norm
    head: Linear
    scales: dict[str, float]


def quantize(
    model: nn.Module,
    statistics: Statistics,
    mean: tuple[float, ...],
    std: tuple[float, ...],
    drops: Mapping[int, TokenDrop],
    masks: Masks,
    settings: Settings | None = None,
) -> Quantized:
    """Quantize a (pruned) network.

    Parameters
    ----------
    model : VisionTransformer
    statistics : of its activations with ``drops`` active
    mean, std : normalisation of the pixels
    drops : token drop per block
    masks : kept blocks per layer name; layers not named are dense
    settings : how ranges become scales

    Raises
    ------
    ConfigError
        When a scale factor cannot be represented.
    """
    return _Quantizer(model, statistics, masks, settings or Settings()).run(mean, std, drops)


class _Quantizer:
    def __init__(self, model: nn.Module, statistics: Statistics, masks: Masks, settings: Settings) -> None:
        self.model: Any = model
        self.statistics, self.masks, self.settings = statistics, masks, settings
        self.residual_scale = common_scale(self._residual_reach(), settings)
        self.scales = {"residual": self.residual_scale}

    def run(self, mean: tuple[float, ...], std: tuple[float, ...], drops: Mapping[int, TokenDrop]) -> Quantized:
        input_scale = pixel_scale(mean, std)
        self.scales["input"] = input_scale
        blocks = tuple(self._block(layer, drops.get(layer)) for layer in range(len(self.model.blocks)))
        norm_codes = channel_codes(self.statistics, "norm", self.settings, self.settings.channel_power)
        logit_scale = common_scale(self.statistics.largest("logits"), self.settings)
        self.scales["logits"] = logit_scale
        return Quantized(
            input_scale=input_scale,
            embed=self._embed(input_scale),
            residual_init=self._residual_init(),
            blocks=blocks,
            norm=quantize_norm(_array(self.model.norm.weight), _array(self.model.norm.bias), norm_codes),
            head=self._linear("head", norm_codes, logit_scale),
            scales=self.scales,
        )

    def _residual_reach(self) -> float:
        names = ["residual", *(f"blocks.{layer}.middle" for layer in range(len(self.model.blocks)))]
        return max(self.statistics.largest(name) for name in names)

    def _linear(self, name: str, source: Codes, scale: np.ndarray | float, offset: np.ndarray | float = 0.0) -> Linear:
        module = self.model.get_submodule(name)
        bias = np.zeros(len(module.weight)) if module.bias is None else _array(module.bias)
        return quantize_linear(_array(module.weight), bias, self.masks.get(name), source, scale, offset, name)

    def _embed(self, input_scale: float) -> Linear:
        """Patch embedding; its bias is part of the initial residual."""
        weight = _array(self.model.patch_embed.proj.weight)
        weight = weight.reshape(len(weight), -1)
        zero = np.zeros(weight.shape[1])
        source = Codes(np.full_like(zero, input_scale), zero, zero)
        name = "patch_embed.proj"
        bias = np.zeros(len(weight))
        return quantize_linear(weight, bias, self.masks.get(name), source, self.residual_scale, 0.0, name)

    def _residual_init(self) -> np.ndarray:
        initial = _array(self.model.pos_embed)[0].copy()
        initial[0] += _array(self.model.cls_token)[0, 0]
        if self.model.patch_embed.proj.bias is not None:
            initial[1:] += _array(self.model.patch_embed.proj.bias)
        codes = np.rint(initial / self.residual_scale)
        return np.clip(codes, -INT16_MAX - 1, INT16_MAX).astype(np.int16)

    def _block(self, layer: int, drop: TokenDrop | None) -> Block:
        path, block = f"blocks.{layer}", self.model.blocks[layer]
        statistics, settings = self.statistics, self.settings
        norm1 = channel_codes(statistics, f"{path}.norm1", settings, settings.channel_power)
        query, key = query_key_codes(statistics, path, settings)
        value = channel_codes(statistics, f"{path}.value", settings, settings.value_power)
        context, ratio = context_codes(statistics, path, value, settings)
        norm2 = channel_codes(statistics, f"{path}.norm2", settings, settings.channel_power)
        pre, hidden = pre_activation_codes(statistics, path, settings), hidden_codes(statistics, path, settings)
        score = score_scale(statistics, path, settings)
        product = float(query.scale[0] * key.scale[0]) * block.attn.scale
        score_mult, score_shift = multiplier(product / score, f"{path} scores")
        context_mult, context_shift = multiplier(2.0**-CONTEXT_FRACTION / ratio, f"{path} context")
        self.scales |= {f"{path}.score": score, f"{path}.pre": float(pre.scale[0]),
                        f"{path}.hidden": float(hidden.scale[0])}
        return Block(
            norm1=quantize_norm(_array(block.norm1.weight), _array(block.norm1.bias), norm1),
            qkv=self._linear(f"{path}.attn.qkv", norm1, _join(query.scale, key.scale, value.scale),
                             _join(query.offset, key.offset, value.offset)),
            score_mult=int(score_mult[0]),
            score_shift=score_shift,
            exp=exp_table(score),
            context_mult=int(context_mult[0]),
            context_shift=context_shift,
            proj=self._linear(f"{path}.attn.proj", context, self.residual_scale),
            drop=drop,
            norm2=quantize_norm(_array(block.norm2.weight), _array(block.norm2.bias), norm2),
            fc1=self._linear(f"{path}.mlp.fc1", norm2, pre.scale, pre.offset),
            gelu=activation_table(lambda values: _apply(block.mlp.act, values), pre, hidden),
            fc2=self._linear(f"{path}.mlp.fc2", hidden, self.residual_scale),
        )


def pixel_scale(mean: tuple[float, ...], std: tuple[float, ...]) -> float:
    """Scale at which every normalised pixel fits int8."""
    return max(max(m, 1 - m) / s for m, s in zip(mean, std, strict=True)) / INT8_MAX


def _array(tensor: torch.Tensor) -> np.ndarray:
    return tensor.detach().double().numpy()


def _apply(module: nn.Module, values: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        return module(torch.from_numpy(values)).numpy()


def _join(*parts: np.ndarray) -> np.ndarray:
    return np.concatenate(parts)
