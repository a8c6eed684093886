"""Widths and constants of the integer arithmetic. ``docs/numerics.md`` is the normative text."""

from __future__ import annotations

import math

INT8_MAX = 127
"""int8 codes are -127..127: -128 never occurs in stationary operands (DSP packing relies on it)."""
SCORE_MASKED = -128
"""Code stored for the score of a key beyond the last token."""
EXP_ENTRIES = 256
GELU_ENTRIES = 256
GELU_OFFSET = 128
"""GELU table index = pre-activation code + 128."""

SHIFT_BITS = 6
"""Width of a requantizer shift (1..47)."""
MULT_BITS = 16
ACC_BITS = 32

NORM_Z_BITS = 18
NORM_Z_FRACTION = 12
"""Normalised value z: 18 bits signed, 12 of them fraction."""
RSQRT_INDEX_MIN = 64
RSQRT_ENTRIES = 192

CONTEXT_FRACTION = 8
"""Fraction bits of a context value between softmax division and requantization."""
ROW_SUM_BITS = 17
RECIP_ONE = 31
"""reciprocal mantissa = min(65535, 2**31 // M), M the row sum normalised to 16 bits."""

DROP_SCORE_BITS = 21
DROP_WEIGHT_BITS = 16
FUSE_SHIFT = 16


def rsqrt_table() -> list[int]:
    """Seed of the inverse square root: 192 entries of 16 bits, index ``(vm >> 8) - 64``."""
    return [min(65535, round(2**23 / math.sqrt((RSQRT_INDEX_MIN + i + 0.5) * 256))) for i in range(RSQRT_ENTRIES)]


def inverse_heads(heads: int) -> int:
    """``round(65536 / heads)``: turns a sum over heads into a mean with 16 fraction bits."""
    return (65536 + heads // 2) // heads
