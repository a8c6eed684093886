"""Every integer of a network from its float weights and the ranges of its activations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from algo.quant.fixed_point import (
    Codes,
    activation_table,
    exp_table,
    multiplier,
    quantize_linear,
    quantize_norm,
)
from algo.quant.ranges import Ranges
from algo.quant.scales import INT16_MAX, BlockCodes, NetworkCodes, network_codes
from algo.quant.settings import Settings, kind_of
from flows.contracts.artifact import LAYER_KINDS, Block, Linear, Norm, TokenDrop
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
    weight_bits: dict[str, int]


def quantize(
    model: nn.Module,
    ranges: Ranges,
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
    ranges : of its activations with ``drops`` active
    mean, std : normalisation of the pixels
    drops : token drop per block
    masks : kept blocks per layer name; layers not named are dense
    settings : how ranges become scales, and bits of the weights

    Raises
    ------
    ConfigError
        When a scale factor cannot be represented, or a setting is out of range.
    WeightsError
        When the ranges are of another network.
    """
    settings = settings or Settings()
    network: Any = model
    codes = network_codes(ranges, len(network.blocks), settings)
    return quantize_codes(model, codes, pixel_scale(mean, std), drops, masks, settings)


def quantize_codes(
    model: nn.Module, codes: NetworkCodes, input_scale: float, drops: Mapping[int, TokenDrop], masks: Masks,
    settings: Settings, effective: Mapping[str, torch.Tensor] | None = None,
) -> Quantized:
    """The second half of :func:`quantize`, which depends on the weights: integers for given codes of the activations.

    Parameters
    ----------
    codes : of the activations
    input_scale : real value of one patch code
    effective : tensors by name (``"blocks.3.mlp.fc1.weight"``) that take the place of the model's parameters
    model, drops, masks, settings : as for :func:`quantize`
    """
    settings.check()
    return _Quantizer(model, codes, masks, settings, effective or {}).run(input_scale, drops)


class _Quantizer:
    def __init__(self, model: nn.Module, codes: NetworkCodes, masks: Masks, settings: Settings,
                 effective: Mapping[str, torch.Tensor]) -> None:
        self.model: Any = model
        self.codes, self.masks, self.settings, self.effective = codes, masks, settings, effective

    def run(self, input_scale: float, drops: Mapping[int, TokenDrop]) -> Quantized:
        codes, model = self.codes, self.model
        scales = {"residual": codes.residual, "input": input_scale, "logits": codes.logits}
        for layer, inner in enumerate(codes.blocks):
            scales |= {f"blocks.{layer}.score": inner.score, f"blocks.{layer}.pre": float(inner.pre.scale[0]),
                       f"blocks.{layer}.hidden": float(inner.hidden.scale[0])}
        bits = {kind: self.settings.bits(kind) for kind in LAYER_KINDS}
        return Quantized(
            input_scale=input_scale,
            embed=self._embed(input_scale),
            residual_init=self._residual_init(),
            blocks=tuple(self._block(layer, inner, drops.get(layer)) for layer, inner in enumerate(codes.blocks)),
            norm=quantize_norm(_array(model.norm.weight), _array(model.norm.bias), codes.norm),
            head=self._linear("head", codes.norm, codes.logits),
            scales=scales,
            weight_bits={kind: count for kind, count in bits.items() if count != 8},
        )

    def _linear(self, name: str, source: Codes, scale: np.ndarray | float, offset: np.ndarray | float = 0.0) -> Linear:
        weight, bias = self._parameter(name, "weight"), self._parameter(name, "bias")
        constant = np.zeros(len(weight)) if bias is None else _array(bias)
        return self._integers(name, _array(weight), constant, source, scale, offset)

    def _parameter(self, layer: str, kind: str) -> Any:
        name = f"{layer}.{kind}"
        return self.effective[name] if name in self.effective else getattr(self.model.get_submodule(layer), kind)

    def _integers(self, name: str, weight: np.ndarray, bias: np.ndarray, source: Codes, scale: np.ndarray | float,
                  offset: np.ndarray | float) -> Linear:
        kind = kind_of(name)
        return quantize_linear(weight, bias, self.masks.get(name), source, scale, offset, name,
                               self.settings.bits(kind), clip=self.settings.clips(kind))

    def _embed(self, input_scale: float) -> Linear:
        """Patch embedding; its bias is part of the initial residual."""
        weight = _array(self._parameter("patch_embed.proj", "weight"))
        weight = weight.reshape(len(weight), -1)
        source = input_codes(input_scale, weight.shape[1])
        return self._integers("patch_embed.proj", weight, np.zeros(len(weight)), source, self.codes.residual, 0.0)

    def _residual_init(self) -> np.ndarray:
        initial = _array(self.model.pos_embed)[0].copy()
        initial[0] += _array(self.model.cls_token)[0, 0]
        bias = self._parameter("patch_embed.proj", "bias")
        if bias is not None:
            initial[1:] += _array(bias)
        codes = np.rint(initial / self.codes.residual)
        return np.clip(codes, -INT16_MAX - 1, INT16_MAX).astype(np.int16)

    def _block(self, layer: int, codes: BlockCodes, drop: TokenDrop | None) -> Block:
        path, block = f"blocks.{layer}", self.model.blocks[layer]
        query, key, value = codes.query, codes.key, codes.value
        product = float(query.scale[0] * key.scale[0]) * block.attn.scale
        score_mult, score_shift = multiplier(product / codes.score, f"{path} scores")
        context_mult, context_shift = multiplier(2.0**-CONTEXT_FRACTION / codes.ratio, f"{path} context")
        return Block(
            norm1=quantize_norm(_array(block.norm1.weight), _array(block.norm1.bias), codes.norm1),
            qkv=self._linear(f"{path}.attn.qkv", codes.norm1, _join(query.scale, key.scale, value.scale),
                             _join(query.offset, key.offset, value.offset)),
            score_mult=int(score_mult[0]),
            score_shift=score_shift,
            exp=exp_table(codes.score),
            context_mult=int(context_mult[0]),
            context_shift=context_shift,
            proj=self._linear(f"{path}.attn.proj", codes.context, self.codes.residual),
            drop=drop,
            norm2=quantize_norm(_array(block.norm2.weight), _array(block.norm2.bias), codes.norm2),
            fc1=self._linear(f"{path}.mlp.fc1", codes.norm2, codes.pre.scale, codes.pre.offset),
            gelu=activation_table(lambda values: _apply(block.mlp.act, values), codes.pre, codes.hidden),
            fc2=self._linear(f"{path}.mlp.fc2", codes.hidden, self.codes.residual),
        )


def input_codes(input_scale: float, channels: int) -> Codes:
    """Codes of the pixels of a patch."""
    zero = np.zeros(channels)
    return Codes(np.full_like(zero, input_scale), zero, zero)


def pixel_scale(mean: tuple[float, ...], std: tuple[float, ...]) -> float:
    """Scale at which every normalised pixel fits int8."""
    return max(max(m, 1 - m) / s for m, s in zip(mean, std, strict=True)) / INT8_MAX


def _array(tensor: torch.Tensor) -> np.ndarray:
    return tensor.detach().double().cpu().numpy()


def _apply(module: nn.Module, values: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        return module(torch.from_numpy(values)).numpy()


def _join(*parts: np.ndarray) -> np.ndarray:
    return np.concatenate(parts)
