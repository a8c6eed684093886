"""The arithmetic of ``docs/numerics.md`` once more, for the interpreter: plain int64 arrays, Python integers."""

from __future__ import annotations

import math

import numpy as np

RSQRT = [min(65535, round(2**23 / math.sqrt((64 + i + 0.5) * 256))) for i in range(192)]


def rnd(x: np.ndarray, shift: int) -> np.ndarray:
    """Rounding shift."""
    return (x + (1 << shift >> 1)) >> shift


def requant(acc: np.ndarray, bias: np.ndarray, mult: np.ndarray, shift: int, bits: int) -> np.ndarray:
    """Section 1."""
    y = rnd((acc.astype(np.int64) + bias) * mult, shift)
    return np.clip(y, -127, 127) if bits == 8 else np.clip(y, -32768, 32767)


def layer_norm(x: np.ndarray, gamma: np.ndarray, beta: np.ndarray, shift: int) -> np.ndarray:
    """Section 3, token by token in Python integers; ``x`` is ``(N, D)``."""
    out = np.empty(x.shape, np.int64)
    width = x.shape[1]
    for row, values in enumerate(x.astype(np.int64)):
        s1, s2 = int(values.sum()), int((values * values).sum())
        v = max(width * s2 - s1 * s1, 1)
        e = (v.bit_length() - 15) >> 1
        vm = v >> 2 * e if e >= 0 else v << -2 * e
        r0 = RSQRT[(vm >> 8) - 64]
        u = (((vm * r0) >> 15) * r0) >> 15
        r = min(65535, (r0 * (3 * 2**16 - u)) >> 17)
        z = np.clip(rnd((width * values - s1) * r, 11 + e), -131072, 131071)
        out[row] = np.clip(rnd(z * gamma + beta, shift), -127, 127)
    return out


def reciprocal(total: int) -> tuple[int, int]:
    """Section 4: mantissa and exponent of a row sum."""
    q = total.bit_length() - 16
    m = total >> q if q >= 0 else total << -q
    return min(65535, 2**31 // m), q


def selection(scores: list[int], mode: int, keep: int, threshold: int) -> list[bool]:
    """Section 5: which patch tokens stay. Mode 1 is top-k, 2 threshold."""
    if mode == 2:
        return [score >= threshold for score in scores]
    best = sorted(range(len(scores)), key=lambda j: (-scores[j], j))[:keep]
    return [j in best for j in range(len(scores))]
