"""A timm ViT whose forward pass computes the integers of the accelerator, with gradients: quantization-aware training.

Jacob et al. 2018 simulate quantization by rounding floats. Here every operation computes the very integers of
``docs/numerics.md`` (:mod:`algo.quant.integer`), from weights that the exporter's own functions quantize, and borrows
only its gradient from the float operation it stands for (:mod:`algo.quant.straight`). So the logits that a network is
trained on are those of the artifact that is exported afterwards, bit for bit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from algo.prune.blocks import LAYERS
from algo.quant import integer
from algo.quant.fixed_point import Codes
from algo.quant.quantize import Masks, Quantized, input_codes, pixel_scale, quantize_codes
from algo.quant.ranges import Ranges
from algo.quant.scales import BlockCodes, network_codes
from algo.quant.settings import Settings
from algo.quant.straight import LinearNumbers, linear, linear_numbers, lookup, straight
from flows.contracts.artifact import Block, Norm, TokenDrop
from flows.contracts.errors import ConfigError
from flows.contracts.numerics import CONTEXT_FRACTION, GELU_ENTRIES, GELU_OFFSET
from flows.contracts.preprocess import code_table

_NORM_EPSILON = 1.0
"""Added to variances in units of residual codes where gradients are computed: tokens without variance have none."""


WeightOf = Callable[[str, Tensor], Tensor]
"""``(layer name, parameter) -> parameter to compute with``."""


@dataclass(frozen=True, eq=False)
class _Numbers:
    """The parameters of the linear layers by name, and the integers of all layers as tensors, of one step."""

    effective: Mapping[str, Tensor]
    quantized: Quantized
    embed: LinearNumbers
    initial: Tensor
    blocks: tuple[_BlockNumbers, ...]
    head: LinearNumbers
    kind: torch.dtype = torch.float32


@dataclass(frozen=True, eq=False)
class _BlockNumbers:
    block: Block
    codes: BlockCodes
    qkv: LinearNumbers
    proj: LinearNumbers
    fc1: LinearNumbers
    fc2: LinearNumbers
    exp: Tensor
    gelu: Tensor
    slope: Tensor


class FakeQuantVit(nn.Module):
    """A ViT as the accelerator computes it, with gradients to its float parameters.

    Parameters
    ----------
    model : VisionTransformer; its parameters get the gradients. Read anew in every step, so parametrizations work
    ranges : of its activations; the same must be given to :func:`algo.export.export_with`
    mean, std : normalisation of the pixels
    drops : token drop per block; may be assigned anew between steps
    masks_of : called in every step, gives the kept 16x16 blocks per layer name. Weights of pruned blocks count as zero,
        but get the gradient they would have if they were kept
    settings : bits of the weights, and how ranges become scales
    weight_of, bias_of : replace the parameters of the linear layers, by layer name (``"blocks.3.attn.qkv"``): where
        masks that are trained come in

    Notes
    -----
    Under autocast the forward pass stays exact; matrix products of linear layers in the backward pass have its type.
    Masks, weights and drops are looked at in every forward pass, except within :meth:`hold`. Parameters that are
    quantized: all of them. Scales are constants: they follow from the ranges, or from the largest weights of a row.
    """

    def __init__(
        self,
        model: nn.Module,
        ranges: Ranges,
        mean: tuple[float, float, float],
        std: tuple[float, float, float],
        drops: Mapping[int, TokenDrop] | None = None,
        masks_of: Callable[[], Masks] | None = None,
        settings: Settings | None = None,
        weight_of: WeightOf | None = None,
        bias_of: WeightOf | None = None,
    ) -> None:
        super().__init__()
        self.model: Any = model
        self.mean, self.std = tuple(mean), tuple(std)
        self.drops: Mapping[int, TokenDrop] = dict(drops or {})
        self.masks_of = masks_of or dict
        self._change = {"weight": weight_of or _plain, "bias": bias_of or _plain}
        self.settings = settings or Settings()
        self.settings.check()
        self.codes = network_codes(ranges, len(self.model.blocks), self.settings)
        self.input_scale = pixel_scale(self.mean, self.std)
        self._held: _Numbers | None = None
        table = code_table(self.mean, self.std, self.input_scale)
        self.register_buffer("pixel_codes", torch.from_numpy(table.astype(np.float32)), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Logits, ``(B, classes)``: integer logits of the accelerator times their scale.

        Parameters
        ----------
        images : uint8 pixels ``(B, size, size, 3)``, or float ``(B, 3, size, size)``, normalised; these are rounded to
            the 256 values a pixel can have
        """
        return self.logit_codes(images) * self.codes.logits

    def logit_codes(self, images: Tensor) -> Tensor:
        """The int16 logits of the accelerator, as float32 ``(B, classes)``."""
        device = images.device.type
        kind = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else torch.float32
        with torch.autocast(device, enabled=False):
            return self._logits(images, replace(self._held or self._numbers(), kind=kind))

    def _logits(self, images: Tensor, numbers: _Numbers) -> Tensor:
        x = self._embed(self.pixel_planes(images), numbers)
        alive = torch.ones(x.shape[:2], dtype=torch.bool, device=x.device)
        for layer, (block, inner) in enumerate(zip(self.model.blocks, numbers.blocks, strict=True)):
            x, alive = self._block(f"blocks.{layer}", block, numbers, inner, x, alive, self.drops.get(layer))
        y = _norm(x[:, :1], self.model.norm, numbers.quantized.norm, self.codes.norm)
        return _apply(y, "head", numbers, numbers.head)[:, 0]

    def quantized(self) -> Quantized:
        """The integers of the network as it is now."""
        return self._quantize(self._effective())

    def _quantize(self, effective: Mapping[str, Tensor]) -> Quantized:
        return quantize_codes(self.model, self.codes, self.input_scale, self.drops, self.masks_of(), self.settings,
                              effective)

    def _effective(self) -> dict[str, Tensor]:
        """Parameters of all linear layers."""
        layers = [f"blocks.{layer}.{kind}" for layer in range(len(self.model.blocks)) for kind in LAYERS]
        found = {}
        for layer in ["patch_embed.proj", *layers, "head"]:
            module = self.model.get_submodule(layer)
            found |= {f"{layer}.{kind}": change(layer, getattr(module, kind)) for kind, change in self._change.items()
                      if getattr(module, kind) is not None}
        return found

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Quantize the weights once for everything within, as for an evaluation."""
        self.freeze()
        try:
            yield
        finally:
            self._held = None

    def freeze(self) -> None:
        """Keep the integers of the network as it is now, whatever becomes of its weights."""
        with torch.no_grad():
            self._held = self._numbers()

    def pixel_planes(self, images: Tensor) -> Tensor:
        """Patch codes of images, still as planes: float32 ``(B, 3, size, size)``.

        Raises
        ------
        ConfigError
            When the images do not have the model's size.
        """
        if images.dtype == torch.uint8:
            pixels = images.permute(0, 3, 1, 2)
        else:
            mean, std = (torch.tensor(values, device=images.device).view(3, 1, 1) for values in (self.mean, self.std))
            pixels = ((images.float() * std + mean) * 255).round_().clamp_(0, 255)
        size = tuple(self.model.patch_embed.img_size)
        if tuple(pixels.shape[1:]) != (3, *size):
            raise ConfigError(f"images are {tuple(images.shape)}, the model takes {size[0]}x{size[1]} pixels")
        index, table = pixels.to(torch.int32), self.get_buffer("pixel_codes")
        return torch.stack([table[colour][index[:, colour]] for colour in range(3)], dim=1)

    def _numbers(self) -> _Numbers:
        effective, device = self._effective(), self.get_buffer("pixel_codes").device
        quantized = self._quantize(effective)
        residual = self.codes.residual
        inputs = input_codes(self.input_scale, quantized.embed.weight.shape[1])
        blocks = tuple(_block_numbers(block, codes, residual, module.mlp.act, device) for block, codes, module in
                       zip(quantized.blocks, self.codes.blocks, self.model.blocks, strict=True))
        return _Numbers(
            effective=effective,
            quantized=quantized,
            embed=linear_numbers(quantized.embed, inputs, residual, wide=True, device=device),
            initial=torch.from_numpy(quantized.residual_init).float().to(device),
            blocks=blocks,
            head=linear_numbers(quantized.head, self.codes.norm, self.codes.logits, wide=True, device=device),
        )

    def _embed(self, planes: Tensor, numbers: _Numbers) -> Tensor:
        """Section 2: residual stream of all tokens, int16 codes ``(B, N, D)``."""
        net = self.model
        edge = net.patch_embed.patch_size
        patches = functional.unfold(planes, edge, stride=edge).transpose(1, 2)
        weight, bias = (numbers.effective.get(f"patch_embed.proj.{kind}") for kind in ("weight", "bias"))
        assert weight is not None
        x = functional.pad(linear(patches, weight, None, numbers.embed, numbers.kind), (0, 0, 1, 0))
        start = net.cls_token[0] + net.pos_embed[0, :1]
        rest = net.pos_embed[0, 1:]
        if bias is not None:
            rest = rest + bias
        initial = straight(torch.cat([start, rest]) / self.codes.residual, numbers.initial)
        return (x + initial).clamp(*integer.INT16)

    def _block(self, path: str, block: Any, network: _Numbers, numbers: _BlockNumbers, x: Tensor, alive: Tensor,
               drop: TokenDrop | None) -> tuple[Tensor, Tensor]:
        codes = numbers.codes
        y = _norm(x, block.norm1, numbers.block.norm1, codes.norm1)
        dead = None if bool(alive.all()) else ~alive[:, None, None]
        qkv = _apply(y, f"{path}.attn.qkv", network, numbers.qkv)
        context, score, attention = _attention(qkv, numbers, block.attn.num_heads, dead)
        x = (x + _apply(context, f"{path}.attn.proj", network, numbers.proj)).clamp(*integer.INT16)
        if drop is not None:
            x, alive = drop_tokens(x, score, attention, alive, drop, block.attn.num_heads)
        y = _norm(x, block.norm2, numbers.block.norm2, codes.norm2)
        hidden = lookup(_apply(y, f"{path}.mlp.fc1", network, numbers.fc1), numbers.gelu, numbers.slope)
        return (x + _apply(hidden, f"{path}.mlp.fc2", network, numbers.fc2)).clamp(*integer.INT16), alive


def _plain(name: str, parameter: Tensor) -> Tensor:
    """The parameter itself."""
    del name
    return parameter


def _apply(x: Tensor, layer: str, network: _Numbers, numbers: LinearNumbers) -> Tensor:
    weight, bias = network.effective[f"{layer}.weight"], network.effective.get(f"{layer}.bias")
    return linear(x, weight, bias, numbers, network.kind)


def _block_numbers(block: Block, codes: BlockCodes, residual: float, activation: nn.Module,
                   device: torch.device) -> _BlockNumbers:
    targets = np.concatenate([codes.query.scale, codes.key.scale, codes.value.scale])
    return _BlockNumbers(
        block, codes,
        qkv=linear_numbers(block.qkv, codes.norm1, targets, device=device),
        proj=linear_numbers(block.proj, codes.context, residual, wide=True, device=device),
        fc1=linear_numbers(block.fc1, codes.norm2, codes.pre.scale, device=device),
        fc2=linear_numbers(block.fc2, codes.hidden, residual, wide=True, unsigned=True, device=device),
        exp=torch.from_numpy(block.exp).float().to(device),
        gelu=torch.from_numpy(block.gelu).float().to(device),
        slope=activation_slope(activation, codes.pre, codes.hidden).to(device),
    )


def activation_slope(activation: nn.Module, source: Codes, target: Codes) -> Tensor:
    """Derivative of :func:`algo.quant.fixed_point.activation_table`, 0 where it saturates: float32 ``(256,)``."""
    ratio = float(source.scale[0] / target.scale[0])
    real = (torch.arange(GELU_ENTRIES, dtype=torch.float64) - GELU_OFFSET) * source.scale[0] + source.offset[0]
    with torch.enable_grad():
        real.requires_grad_(True)
        value = activation(real)
        (slope,) = torch.autograd.grad(value.sum(), real)
    inside = (value.detach() - target.offset[0]) / target.scale[0] <= 255
    return (slope * inside * ratio).float()


def _norm(x: Tensor, module: Any, norm: Norm, target: Codes) -> Tensor:
    """Section 3; gradients are those of a float layer norm of the codes."""
    gamma, beta = (torch.from_numpy(value.astype(np.float64)).to(x.device) for value in (norm.gamma, norm.beta))
    scale, offset = (torch.from_numpy(value).float().to(x.device) for value in (target.scale, target.offset))
    exact = integer.layer_norm(x.detach(), gamma, beta, norm.shift)
    gain, constant = module.weight / scale, (module.bias - offset) / scale
    surrogate = functional.layer_norm(x, x.shape[-1:], gain, constant, _NORM_EPSILON)
    return straight(surrogate.clamp(*integer.INT8), exact)


def _attention(qkv: Tensor, numbers: _BlockNumbers, heads: int, dead: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    """Section 4 up to the context.

    Parameters
    ----------
    qkv : int8 codes ``(B, N, 3D)``
    dead : bool ``(B, 1, 1, N)``, tokens that take no part

    Returns
    -------
    Context codes ``(B, N, D)``; the scores of the token drop, float64 ``(B, N)``; and the attention of the CLS token
    they stand for, mean over heads, with gradients.
    """
    batch, tokens, width = qkv.shape[0], qkv.shape[1], qkv.shape[2] // 3
    block, codes = numbers.block, numbers.codes
    q, k, v = qkv.reshape(batch, tokens, 3, heads, -1).permute(2, 0, 3, 1, 4)
    integer.check_float32()
    product = q @ k.transpose(-2, -1)  # exact: head width times 127 squared is below 2**24
    factor = block.score_mult * 2.0**-block.score_shift
    exact = integer.requant(product.detach().flatten(0, -2), 0.5, factor, integer.INT8).reshape(product.shape)
    score = straight((product * factor).clamp(*integer.INT8), exact)
    exps = integer.exponentials(score.detach(), numbers.exp, dead)
    mantissa, exponent = integer.reciprocal(exps.sum(dim=-1))
    factor = block.context_mult * 2.0**-block.context_shift
    exact = integer.context(exps, v.detach(), mantissa, exponent, factor)
    real = score * codes.score
    probability = (real if dead is None else real.masked_fill(dead, -torch.inf)).softmax(dim=-1)
    surrogate = (probability @ v) * (factor * 2**CONTEXT_FRACTION)
    context = straight(surrogate.clamp(*integer.INT8), exact).transpose(1, 2).reshape(batch, tokens, width)
    scores = integer.drop_scores(exps[:, :, 0], mantissa[:, :, 0], exponent[:, :, 0])
    return context, scores, probability[:, :, 0].mean(dim=1)


def drop_tokens(x: Tensor, score: Tensor, attention: Tensor, alive: Tensor, drop: TokenDrop,
                heads: int) -> tuple[Tensor, Tensor]:
    """Section 5 for a batch, whose images may keep different numbers of tokens.

    Parameters
    ----------
    x : int16 codes ``(B, N, D)``
    score : integer scores, float64 ``(B, N)``
    attention : what they stand for, mean over heads, with gradients ``(B, N)``
    alive : bool ``(B, N)``; the rest is padding
    drop : mode and limit

    Returns
    -------
    The tokens ``[x_0, kept in their order, fused]`` of every image, padded to the longest, and which of them are alive.
    """
    kept = integer.select(score, alive, drop)
    dropped = alive & ~kept
    some = dropped.any(dim=1, keepdim=True)
    if not bool(some.any()):
        return x, alive
    surrogate = (attention * dropped)[:, None] @ x
    fused = straight(surrogate.clamp(*integer.INT16), integer.fuse(x.detach(), score, dropped, heads))
    live = torch.cat([kept, some], dim=1)
    longest = int(live.sum(dim=1).max())
    order = (~live).to(torch.uint8).sort(dim=1, stable=True).indices[:, :longest]
    tokens = torch.cat([x, fused], dim=1)
    return tokens.gather(1, order[:, :, None].expand(-1, -1, x.shape[2])), live.gather(1, order)
