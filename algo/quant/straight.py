"""Integer operations with the gradient of what they stand for (the straight-through estimator, Bengio et al. 2013).

All activations are codes, in float32; gradients are those with respect to the codes. Where a code saturates its
gradient is 0, elsewhere rounding is taken for the identity.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from algo.quant import integer
from algo.quant.fixed_point import Codes
from flows.contracts.artifact import Linear
from flows.contracts.numerics import GELU_OFFSET


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
    constant : float64 ``(out,)``, bias (zero point included) times ``factor``, plus 0.5
    factor : float64 ``(out,)``, ``m * 2**-s``
    limits : smallest and largest output code
    zero : what is taken from the input codes so that they fit int8: 128 when they are unsigned
    scale, offset : float32 ``(in,)`` or ``(1,)``, of the input codes
    gain : float32 ``(out,)`` or ``(1,)``, output codes per real unit
    """

    weight: Tensor
    constant: Tensor
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
    constant = bias * factor + 0.5
    return LinearNumbers(weight.to(device), constant.to(device), factor.to(device),
                         integer.INT16 if wide else integer.INT8, zero, scale.to(device), offset.to(device),
                         gain.float().to(device))


class _Linear(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, numbers: LinearNumbers,
                kind: torch.dtype) -> Tensor:
        codes = (x - numbers.zero if numbers.zero else x).to(torch.int8).flatten(0, -2)
        out = integer.requant(integer.matmul(codes, numbers.weight), numbers.constant, numbers.factor, numbers.limits)
        out = out.unflatten(0, x.shape[:-1])
        ctx.save_for_backward(codes, out)
        ctx.numbers, ctx.kind, ctx.shape, ctx.has_bias = numbers, kind, weight.shape, bias is not None
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> tuple[Tensor | None, Tensor | None, Tensor | None, None, None]:
        codes, out = ctx.saved_tensors
        numbers, kind = ctx.numbers, ctx.kind
        grad = (grads[0] * inside(out, numbers.limits)).flatten(0, -2)
        short = grad.to(kind)
        to_input = to_weight = to_bias = None
        if ctx.needs_input_grad[0]:
            to_input = short @ (numbers.weight * numbers.factor.float()[:, None]).to(kind)
            to_input = to_input.float().unflatten(0, out.shape[:-1])
        total = grad.sum(dim=0) * numbers.gain  # with respect to the real output
        if ctx.needs_input_grad[1]:
            moving = codes.to(kind) + numbers.zero  # exact: bfloat16 holds codes of up to 8 bits
            product = (short.t() @ moving).float() * numbers.gain[:, None]
            to_weight = (product * numbers.scale + total[:, None] * numbers.offset).reshape(ctx.shape)
        if ctx.has_bias and ctx.needs_input_grad[2]:
            to_bias = total
        return to_input, to_weight, to_bias, None, None


def inside(codes: Tensor, limits: tuple[int, int]) -> Tensor:
    """1 where a code is within its limits, 0 where it is at one of them and counts as saturated; same type."""
    return (min(-limits[0], limits[1]) - codes.abs()).clamp_(0, 1)


def linear(x: Tensor, weight: Tensor, bias: Tensor | None, numbers: LinearNumbers,
           kind: torch.dtype = torch.float32) -> Tensor:
    """A linear layer (or patch embedding) with its requantizer.

    Parameters
    ----------
    x : codes, float32 ``(..., in)``
    weight, bias : of the float layer; they get the gradients, and nothing else is done with them
    numbers : the layer's integers
    kind : type of the products in the backward pass

    Returns
    -------
    Codes, float32 ``(..., out)``
    """
    return _Linear.apply(x, weight, bias, numbers, kind)  # type: ignore[return-value]


class _Table(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, table: Tensor, slope: Tensor) -> Tensor:
        ctx.save_for_backward(x, slope)
        return integer.pick(table, x + GELU_OFFSET)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> tuple[Tensor, None, None]:
        x, slope = ctx.saved_tensors
        return integer.pick(slope, x + GELU_OFFSET).mul_(grads[0]), None, None


def lookup(x: Tensor, table: Tensor, slope: Tensor) -> Tensor:
    """``table[x + 128]``, whose derivative at ``x`` is ``slope[x + 128]``; float32 tables of 256 entries."""
    return _Table.apply(x, table, slope)  # type: ignore[return-value]
