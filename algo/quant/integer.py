"""The integer arithmetic of ``docs/numerics.md`` on batches of images, in torch.

Integers are held in floats that represent them exactly: codes in float32; products and sums in float64, which has
53 bits, where the widest value (a variance times the squared width) has 51. Multiplying by a power of two is exact, so
``rnd(x, s)`` is ``floor(x * 2**-s + 0.5)``. Nothing here has a gradient.
"""

from __future__ import annotations

import functools

import torch
from torch import Tensor

from flows.contracts.artifact import TokenDrop
from flows.contracts.errors import ConfigError
from flows.contracts.numerics import (
    CONTEXT_FRACTION,
    FUSE_SHIFT,
    INT8_MAX,
    NORM_Z_BITS,
    RECIP_ONE,
    RSQRT_INDEX_MIN,
    inverse_heads,
    rsqrt_table,
)

INT8 = (-INT8_MAX, INT8_MAX)
INT16 = (-(1 << 15), (1 << 15) - 1)
_Z = (-(1 << (NORM_Z_BITS - 1)), (1 << (NORM_Z_BITS - 1)) - 1)
_POWERS = [2.0**-shift for shift in range(48)]
PIECE = 24576
"""Numbers worked on at a time."""
EXACT = 1 << 24
"""float32 represents every integer up to 2**24."""


def rnd(x: Tensor, factor: Tensor | float = 1.0) -> Tensor:
    """``floor(x * factor + 0.5)``; exact for a float64 ``x`` and a factor of at most 16 bits times a power of two."""
    return x.mul(factor).add_(0.5).floor_()


def power(shift: Tensor) -> Tensor:
    """``2**-shift`` for integer shifts 0..47, float64; from a table, as a power function may be off by a bit."""
    return torch.tensor(_POWERS, dtype=torch.float64, device=shift.device)[shift]


@functools.cache
def int_mm_is_exact() -> bool:
    """Whether torch multiplies int8 matrices exactly here; processors without VNNI may saturate on the way."""
    weight = torch.full((16, 64), INT8_MAX, dtype=torch.int8)
    weight[::2] = -INT8_MAX
    codes = torch.cat([weight, torch.full((16, 64), -128, dtype=torch.int8)])
    try:
        product = torch._int_mm(codes, weight.t())  # pyright: ignore[reportPrivateImportUsage]
    except (RuntimeError, AttributeError):
        return False
    return bool((product.double() == codes.double() @ weight.double().t()).all())


def matmul(codes: Tensor, weight: Tensor) -> Tensor:
    """``codes @ weight.T``, exactly.

    Parameters
    ----------
    codes : int8 ``(rows, K)``
    weight : int8 ``(M, K)``

    Returns
    -------
    ``(rows, M)``, int32 or float64
    """
    if codes.device.type == "cpu" and int_mm_is_exact():
        return torch._int_mm(codes, weight.t())  # pyright: ignore[reportPrivateImportUsage]
    # every partial sum of a chunk is an integer that float32 represents
    check_float32()
    chunk = EXACT // (128 * INT8_MAX)
    parts = zip(codes.split(chunk, dim=1), weight.split(chunk, dim=1), strict=True)
    return torch.stack([(part.float() @ other.float().t()).double() for part, other in parts]).sum(dim=0)


def requant(acc: Tensor, constant: Tensor | float, factor: Tensor | float, limits: tuple[int, int]) -> Tensor:
    """Section 1, ``floor((acc + bias) * factor + 0.5)`` within ``limits``, as float32.

    Parameters
    ----------
    acc : integers ``(rows, channels)`` of any type
    constant : ``bias * factor + 0.5``, float64 ``(channels,)`` or a number
    factor : ``m * 2**-s``, float64 ``(channels,)`` or a number

    Notes
    -----
    In pieces that stay in the cache: several times faster than one operation after the other over all of ``acc``.
    """
    out = torch.empty(acc.shape, dtype=torch.float32, device=acc.device)
    constant, factor = (torch.as_tensor(value, dtype=torch.float64, device=acc.device) for value in (constant, factor))
    step = max(1, PIECE // acc.shape[1])
    wide = torch.empty((min(step, len(acc)), acc.shape[1]), dtype=torch.float64, device=acc.device)
    for start in range(0, len(acc), step):
        piece = acc[start:start + step]
        value = wide[:len(piece)].copy_(piece)
        torch.addcmul(constant, value, factor, out=value)
        out[start:start + step] = value.floor_().clamp_(*limits)
    return out


def check_float32() -> None:
    """Refuse to go on where float32 products would be rounded to fewer bits.

    Raises
    ------
    ConfigError
        When torch is set up so.
    """
    if torch.get_float32_matmul_precision() != "highest":
        raise ConfigError("fake quantization needs exact float32 products; leave "
                          "torch.set_float32_matmul_precision at 'highest'")


def rsqrt(variance: Tensor) -> tuple[Tensor, Tensor]:
    """Mantissa and exponent of ``1 / sqrt(variance)``, section 3: int64 tensors of the shape of ``variance``."""
    value = variance.long()
    e = (torch.frexp(variance)[1].long() - 15) >> 1
    mantissa = (value << (-2 * e).clamp_(min=0)) >> (2 * e).clamp_(min=0)
    seed = torch.tensor(rsqrt_table(), device=value.device)[(mantissa >> 8) - RSQRT_INDEX_MIN]
    t = (mantissa * seed) >> 15
    u = (t * seed) >> 15
    return ((seed * (3 * (1 << 16) - u)) >> 17).clamp_(max=65535), e


def layer_norm(x: Tensor, gamma: Tensor, beta: Tensor, shift: int) -> Tensor:
    """Section 3: int16 codes ``(..., D)`` to int8 codes, as float32.

    Parameters
    ----------
    gamma, beta : float64 ``(D,)``
    """
    rows = x.reshape(-1, x.shape[-1])
    out = torch.empty_like(rows)
    step = max(1, PIECE // rows.shape[1])
    for start in range(0, len(rows), step):
        out[start:start + step] = _layer_norm(rows[start:start + step].double(), gamma, beta, shift)
    return out.reshape(x.shape)


def _layer_norm(wide: Tensor, gamma: Tensor, beta: Tensor, shift: int) -> Tensor:
    width = wide.shape[1]
    s1, s2 = wide.sum(dim=1, keepdim=True), wide.square().sum(dim=1, keepdim=True)
    mantissa, e = rsqrt((width * s2 - s1 * s1).clamp_(min=1))
    z = rnd(wide.mul_(width).sub_(s1), mantissa * power(11 + e)).clamp_(*_Z)
    return rnd(z.mul_(gamma).add_(beta), 2.0**-shift).clamp_(*INT8)


def pick(table: Tensor, index: Tensor) -> Tensor:
    """``table[index]`` for a float index of any shape; several times faster on int32 in one dimension."""
    return table.index_select(0, index.to(torch.int32).flatten()).reshape(index.shape)


def exponentials(score: Tensor, table: Tensor, dead: Tensor | None) -> Tensor:
    """``EXP[max - score]``, section 4, 0 for dead keys: float32 ``(B, H, N, N)``.

    Parameters
    ----------
    score : int8 codes as float
    table : float32 ``(256,)``
    dead : bool ``(B, 1, 1, N)``, keys that take no part
    """
    if dead is not None:
        score = score.masked_fill(dead, -128.0)
    values = pick(table, score.amax(dim=-1, keepdim=True) - score)
    return values if dead is None else values.masked_fill_(dead, 0.0)


def reciprocal(row_sum: Tensor) -> tuple[Tensor, Tensor]:
    """Mantissa (float64) and exponent (int64) of ``1 / row_sum``, section 4."""
    q = torch.frexp(row_sum.double())[1].long() - 16
    total = row_sum.long()
    normalised = (total << (-q).clamp_(min=0)) >> q.clamp(min=0)
    return ((1 << RECIP_ONE) // normalised).clamp_(max=65535).double(), q


def context(exps: Tensor, value: Tensor, mantissa: Tensor, q: Tensor, factor: float) -> Tensor:
    """Section 4, last part: context codes as float32 ``(B, H, N, d)``.

    Parameters
    ----------
    exps : float32 ``(B, H, N, N)``
    value : int8 codes as float32 ``(B, H, N, d)``
    mantissa, q : of the row sums, ``(B, H, N)``
    factor : ``m * 2**-s``
    """
    check_float32()
    kind = torch.float32 if 255 * INT8_MAX * exps.shape[-1] <= EXACT else torch.float64
    product = (exps.to(kind) @ value.to(kind)).double()
    scaled = rnd(product, (mantissa * power(RECIP_ONE - CONTEXT_FRACTION + q))[..., None])
    return scaled.mul_(factor).add_(0.5).floor_().clamp_(*INT8).float()


def drop_scores(cls_exps: Tensor, mantissa: Tensor, q: Tensor) -> Tensor:
    """Section 5: attention of the CLS token, 16 fraction bits, summed over heads: float64 ``(B, N)``.

    Parameters
    ----------
    cls_exps : ``(B, H, N)``
    mantissa, q : of their sums, ``(B, H)``
    """
    return cls_exps.double().mul_((mantissa * power(15 + q))[..., None]).floor_().sum(dim=1)


def select(score: Tensor, alive: Tensor, drop: TokenDrop) -> Tensor:
    """Section 5: which of the tokens alive stay, bool ``(B, N)``; CLS always does.

    Parameters
    ----------
    score : float64 ``(B, N)``
    alive : bool ``(B, N)``
    """
    if drop.mode == "threshold":
        kept = (score >= drop.threshold) & alive
    else:
        ranked = score.masked_fill(~alive, -1.0)[:, 1:]
        # a stable sort puts the lower index first among equal scores
        best = ranked.sort(dim=1, descending=True, stable=True).indices[:, : drop.keep] + 1
        kept = torch.zeros_like(alive).scatter_(1, best, True) & alive
    kept[:, 0] = True
    return kept


def fuse(x: Tensor, score: Tensor, dropped: Tensor, heads: int) -> Tensor:
    """Section 5: the token that the dropped ones become, int16 codes as float32 ``(B, 1, D)``.

    Parameters
    ----------
    x : int16 codes ``(B, N, D)``
    score : float64 ``(B, N)``
    dropped : bool ``(B, N)``
    """
    weight = rnd(score * inverse_heads(heads), 2.0**-16).clamp_(max=65535) * dropped
    total = weight[:, None] @ x.double()
    return rnd(total, 2.0**-FUSE_SHIFT).clamp_(*INT16).float()
