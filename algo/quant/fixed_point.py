"""Real numbers to integers: requantizer multipliers, weight codes, layer norm parameters, tables."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from flows.contracts.artifact import Linear, Norm
from flows.contracts.errors import ConfigError
from flows.contracts.hardware import BLOCK, ceil_div
from flows.contracts.numerics import EXP_ENTRIES, GELU_ENTRIES, GELU_OFFSET, MULT_BITS, NORM_Z_FRACTION

MULT_MAX = (1 << MULT_BITS) - 1
SHIFT_MAX = 47
NORM_SHIFT_MAX = 31
BIAS_MAX = (1 << 29) - 1
"""Half of what ``docs/numerics.md`` allows, which leaves room for the sum of products."""
CLIP_PARTS = np.linspace(1.0, 0.4, 13, dtype=np.float32)
"""Parts of a row's largest weight that the search for its scale tries."""
_ROWS = 32
SCALE_FLOOR = 1024
"""No output channel gets a weight scale below the largest one divided by this: multipliers keep 6 bits at least."""


@dataclass(frozen=True, eq=False)
class Codes:
    """What the codes of a tensor mean: ``real = code * scale + offset``, per channel.

    Attributes
    ----------
    scale, offset : float64 ``(channels,)``, or ``(1,)`` when all channels have the same
    mean : float64 ``(channels,)``, mean real value on the calibration images
    """

    scale: np.ndarray
    offset: np.ndarray
    mean: np.ndarray


def multiplier(real: np.ndarray | float, what: str) -> tuple[np.ndarray, int]:
    """``m`` and ``s`` with ``real ~ m * 2**-s``, ``m`` at most 16 bits, ``s`` 1..47 and as large as possible.

    Raises
    ------
    ConfigError
        When ``real`` is too large or not finite; names ``what``.
    """
    values = np.atleast_1d(np.asarray(real, dtype=np.float64))
    largest = float(values.max())
    if not np.isfinite(values).all() or largest * 2 > MULT_MAX:
        raise ConfigError(f"{what}: scale factor {largest} cannot be represented; the weights are not usable")
    shift = SHIFT_MAX
    while shift > 1 and np.rint(largest * 2.0**shift) > MULT_MAX:
        shift -= 1
    return np.rint(values * 2.0**shift).astype(np.uint16), shift


def quantize_linear(
    weight: np.ndarray,
    bias: np.ndarray,
    mask: np.ndarray | None,
    source: Codes,
    target_scale: np.ndarray | float,
    target_offset: np.ndarray | float,
    what: str,
    bits: int = 8,
    *,
    clip: bool = False,
) -> Linear:
    """Integers of one linear layer.

    The scales of the source channels are folded into the weights and its offsets into the bias (as RepQ-ViT does, Li
    et al. 2023, section 3.2), and the mean error that rounding the weights causes is taken out of the bias (bias
    correction, Nagel et al. 2019, section 4.2).

    Parameters
    ----------
    weight, bias : float ``(out, in)``, ``(out,)``; what is in a pruned block counts as zero
    mask : bool ``(out / 16, in / 16)``; None keeps all
    source : codes of the input
    target_scale, target_offset : codes of the output, per channel or common
    what : name for errors
    bits : of a weight code, 4..8: codes are ``-(2**(bits - 1) - 1)`` to ``2**(bits - 1) - 1``, in int8 all the same
    clip : take the scale of each output channel at which its weights have the least squared error, which clips the
        largest, instead of the smallest at which all fit

    Raises
    ------
    ConfigError
        When a scale factor cannot be represented.
    """
    rows, columns = weight.shape
    grid = (ceil_div(rows, BLOCK), ceil_div(columns, BLOCK))
    if mask is not None:
        weight = weight * np.repeat(np.repeat(mask, BLOCK, 0), BLOCK, 1)[:rows, :columns]
    limit = (1 << (bits - 1)) - 1
    folded = weight * source.scale
    total = bias + weight @ np.broadcast_to(source.offset, columns) - target_offset
    scale = clipped_scale(folded, limit) if clip else np.abs(folded).max(axis=1) / limit
    floor = max(float(scale.max()) / SCALE_FLOOR, np.finfo(np.float64).tiny)
    # a row of (nearly) zero weights must still hold its bias in accumulator units
    scale = np.maximum(np.maximum(scale, floor), np.abs(total) / BIAS_MAX)
    codes = np.clip(np.rint(folded / scale[:, None]), -limit, limit)
    mean_code = (source.mean - source.offset) / source.scale
    total = total + (folded - codes * scale[:, None]) @ mean_code
    mult, shift = multiplier(scale / target_scale, what)
    return Linear(
        weight=codes.astype(np.int8),
        mask=np.ones(grid, dtype=bool) if mask is None else mask,
        bias=np.clip(np.rint(total / scale), -BIAS_MAX, BIAS_MAX).astype(np.int32),
        mult=mult,
        shift=shift,
    )


def clipped_scale(folded: np.ndarray, limit: int) -> np.ndarray:
    """Scale of each row at which codes ``-limit .. limit`` of its values have the least squared error: ``(rows,)``."""
    best = np.empty(len(folded))
    for start in range(0, len(folded), _ROWS):  # as much as stays in the cache
        rows = folded[start:start + _ROWS].astype(np.float32)
        full = np.maximum(np.abs(rows).max(axis=1), np.finfo(np.float32).tiny) / limit
        errors = np.stack([_rounding_error(rows, full * part, limit) for part in CLIP_PARTS])
        best[start:start + _ROWS] = full * CLIP_PARTS[errors.argmin(axis=0)]
    return best


def _rounding_error(rows: np.ndarray, scale: np.ndarray, limit: int) -> np.ndarray:
    values = rows / scale[:, None]
    codes = np.rint(values)
    np.clip(codes, -limit, limit, out=codes)
    codes -= values
    return np.einsum("ij,ij->i", codes, codes) * scale**2


def quantize_norm(gamma: np.ndarray, beta: np.ndarray, target: Codes) -> Norm:
    """Layer norm whose output has the codes ``target``.

    The shift is the largest at which gamma fits 16 and beta 32 bits.
    """
    gain, constant = gamma / target.scale, (beta - target.offset) / target.scale

    def fits(shift: int) -> bool:
        return (np.abs(gain).max() * 2.0 ** (shift - NORM_Z_FRACTION) < (1 << 15) - 1
                and np.abs(constant).max() * 2.0**shift < 1 << 30)

    shift = NORM_SHIFT_MAX
    while shift > 1 and not fits(shift):
        shift -= 1
    limit = (1 << 15) - 1
    gain = np.clip(np.rint(gain * 2.0 ** (shift - NORM_Z_FRACTION)), -limit, limit)
    constant = np.clip(np.rint(constant * 2.0**shift), -(1 << 30), 1 << 30)
    return Norm(gain.astype(np.int16), constant.astype(np.int32), shift)


def exp_table(score_scale: float) -> np.ndarray:
    """``round(255 * exp(-i * score_scale))``, uint8 ``(256,)``."""
    return np.array([round(255 * math.exp(-i * score_scale)) for i in range(EXP_ENTRIES)], dtype=np.uint8)


def activation_table(
    function: Callable[[np.ndarray], np.ndarray], source: Codes, target: Codes
) -> np.ndarray:
    """Table from int8 code + 128 to the uint8 code of ``function`` of the value, uint8 ``(256,)``.

    ``source`` and ``target`` have a single channel.
    """
    real = (np.arange(GELU_ENTRIES) - GELU_OFFSET) * source.scale[0] + source.offset[0]
    codes = np.rint((function(real) - target.offset[0]) / target.scale[0])
    return np.clip(codes, 0, 255).astype(np.uint8)
