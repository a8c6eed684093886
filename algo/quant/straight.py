"""Integer operations with the gradient of what they stand for (the straight-through estimator, Bengio et al. 2013).

All activations are codes, in float32; gradients are those with respect to the codes. Where a code saturates its gradient
is 0, elsewhere rounding is taken for the identity.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import Function

from algo.quant import integer
from algo.quant.fixed_point import Codes
from flows.contracts.artifact import Linear


class _Straight(Function):
    @staticmethod
    def forward(ctx: Any, surrogate: Tensor, exact: Tensor) -> Tensor:
        del ctx, surrogate
        return exact

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> tuple[Tensor, None]:
        del ctx
        return grads[0], None


def straight(surrogate: Tensor, exact: Tensor) -> Tensor:
    """The values of ``exact`` with the gradient of ``surrogate``; both of the same shape."""
    return _Straight.apply(surrogate, exact)  # type: ignore[return-value]


@dataclass(frozen=True, eq=False)
class LinearNumbers:
    """A linear layer's integers as tensors, and what its gradients need.

    Attributes
    ----------
    weight : int8 ``(out, in)``
    bias : float64 ``(out,)``, the zero point included
    factor : float64 ``(out,)``, ``m * 2**-s``
    limits : smallest and largest output code
    zero : what is taken from the input codes so that they fit int8: 128 when they are unsigned
    scale, offset : float32 ``(in,)`` or ``(1,)``, of the input codes
    gain : float32 ``(out,)`` or ``(1,)``, output codes per real unit
    """

    weight: Tensor
    bias: Tensor
    factor: Tensor
    limits: tuple[int, int]
    zero: int
    scale: Tensor
    offset: Tensor
    gain: Tensor


def linear_numbers(layer: Linear, source: Codes, target_scale: Any, *, wide: bool = False, unsigned: bool = False,
                   device: torch.device | None = None) -> LinearNumbers:
    """Tensors of a quantized layer.

    Parameters
    ----------
    layer : its integers
    source : codes of its input
    target_scale : of its output codes, float or array
    wide : output codes have 16 bits
    unsigned : input codes are 0..255
    """
    zero = 128 if unsigned else 0
    weight = torch.from_numpy(layer.weight)
    bias = torch.from_numpy(layer.bias).double()
    if zero:
        bias += zero * weight.sum(dim=1, dtype=torch.int64)
    factor = torch.from_numpy(layer.mult.astype("float64")) * 2.0**-layer.shift
    scale, offset = torch.from_numpy(source.scale).float(), torch.from_numpy(source.offset).float()
    gain = 1 / torch.atleast_1d(torch.as_tensor(target_scale, dtype=torch.float64))
    return LinearNumbers(weight.to(device), bias.to(device), factor.to(device),
                         integer.INT16 if wide else integer.INT8, zero, scale.to(device), offset.to(device),
                         gain.float().to(device))


class _Linear(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, numbers: LinearNumbers,
                kind: torch.dtype) -> Tensor:
        codes = (x - numbers.zero if numbers.zero else x).to(torch.int8)
        value = integer.matmul(codes, numbers.weight).add_(numbers.bias).mul_(numbers.factor).add_(0.5).floor_()
        out = value.clamp(*numbers.limits)
        ctx.save_for_backward(codes, value == out)
        ctx.numbers, ctx.kind, ctx.shape, ctx.has_bias = numbers, kind, weight.shape, bias is not None
        return out.float()

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> tuple[Tensor | None, Tensor | None, Tensor | None, None, None]:
        codes, inside = ctx.saved_tensors
        numbers, kind = ctx.numbers, ctx.kind
        grad = (grads[0] * inside).flatten(0, -2)
        to_input = to_weight = to_bias = None
        if ctx.needs_input_grad[0]:
            to_input = (grad * numbers.factor.float()).to(kind) @ numbers.weight.to(kind)
            to_input = to_input.float().unflatten(0, codes.shape[:-1])
        real = grad * numbers.gain  # with respect to the real output
        total = real.sum(dim=0)
        if ctx.needs_input_grad[1]:
            # codes of up to 8 bits are exact in bfloat16
            moving = codes.flatten(0, -2).to(kind) + numbers.zero
            product = (real.to(kind).t() @ moving).float()
            to_weight = (product * numbers.scale + total[:, None] * numbers.offset).reshape(ctx.shape)
        if ctx.has_bias and ctx.needs_input_grad[2]:
            to_bias = total
        return to_input, to_weight, to_bias, None, None


def linear(x: Tensor, module: nn.Module, numbers: LinearNumbers, *, with_bias: bool = True) -> Tensor:
    """A linear layer (or patch embedding) with its requantizer.

    Parameters
    ----------
    x : codes, float32 ``(..., in)``
    module : holds the weight and the bias that get the gradients
    numbers : its integers
    with_bias : the bias belongs to this operation

    Returns
    -------
    Codes, float32 ``(..., out)``. Under autocast the products of the backward pass have its type.
    """
    layer: Any = module
    kind = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else torch.float32
    return _Linear.apply(x, layer.weight, layer.bias if with_bias else None, numbers, kind)  # type: ignore[return-value]


class _Table(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, table: Tensor, slope: Tensor) -> Tensor:
        index = x.to(torch.int32) + 128
        ctx.save_for_backward(index.to(torch.uint8), slope)
        return table[index]

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> tuple[Tensor, None, None]:
        index, slope = ctx.saved_tensors
        return grads[0] * slope[index.to(torch.int32)], None, None


def lookup(x: Tensor, table: Tensor, slope: Tensor) -> Tensor:
    """``table[x + 128]``, whose derivative at ``x`` is ``slope[x + 128]``; float32 tables of 256 entries."""
    return _Table.apply(x, table, slope)  # type: ignore[return-value]
