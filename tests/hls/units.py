"""The C++ units as Python functions: NumPy arrays in and out."""

from __future__ import annotations

import ctypes
import functools

import numpy as np
import pytest

from flows.contracts.hardware import HardwareConfig
from flows.contracts.numerics import inverse_heads
from flows.contracts.program import Drop
from hls_models.build import CHECKED, FAST, build_units

CONFIG = HardwareConfig(max_tokens=320, max_width=1024, score_heads=1)
"""As large as units get."""
BUILDS = {"fast": FAST, "checked": CHECKED}
"""What users run; and the portable form, in which a value that leaves its width ends the test run."""
BLOCK = 16

both_builds = pytest.mark.parametrize("build", BUILDS)


@functools.cache
def library(build: str) -> ctypes.CDLL:
    """All units, compiled once."""
    return ctypes.CDLL(str(build_units(CONFIG, BUILDS[build])))


def array(values: object, dtype: type) -> np.ndarray:
    """Contiguous, and of a type that holds every value."""
    given = np.asarray(values)
    converted = np.ascontiguousarray(given, dtype)
    assert (converted.astype(np.int64) == given.astype(np.int64)).all()
    return converted


def call(build: str, name: str, *arguments: object) -> int:
    """Call a unit; arrays become pointers."""
    function = getattr(library(build), f"unit_{name}")
    return function(*(ctypes.c_void_p(item.ctypes.data) if isinstance(item, np.ndarray) else ctypes.c_int(int(item))  # type: ignore[call-overload]
                      for item in arguments))


def requant(build: str, acc: np.ndarray, bias: np.ndarray, mult: np.ndarray, shift: np.ndarray, bits: int
            ) -> np.ndarray:
    """Rows of 16 channels; ``shift`` is one per row."""
    out = np.empty(acc.shape, np.int16)
    call(build, "requant", len(acc), array(acc, np.int32), array(bias, np.int32), array(mult, np.uint16),
         array(shift, np.int32), bits == 16, out)
    return out


def gelu(build: str, codes: np.ndarray, table: np.ndarray) -> np.ndarray:
    """``table[codes + 128]``."""
    out = np.empty(codes.shape, np.uint8)
    call(build, "gelu", codes.size, array(codes, np.int8), array(table, np.uint8), out)
    return out


def exponential(build: str, row_max: np.ndarray, score: np.ndarray, table: np.ndarray) -> np.ndarray:
    """``table[row_max - score]``."""
    out = np.empty(score.shape, np.uint8)
    call(build, "exponential", score.size, array(row_max, np.int8), array(score, np.int8), array(table, np.uint8), out)
    return out


def reciprocal(build: str, total: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mantissa and exponent."""
    mant, exp = np.empty(total.shape, np.int32), np.empty(total.shape, np.int32)
    call(build, "reciprocal", total.size, array(total, np.int32), mant, exp)
    return mant, exp


def normalise(build: str, acc: np.ndarray, mant: np.ndarray, exp: np.ndarray) -> np.ndarray:
    """Context with 8 fraction bits."""
    out = np.empty(acc.shape, np.int32)
    call(build, "normalise", acc.size, array(acc, np.int32), array(mant, np.int32), array(exp, np.int32), out)
    return out


def rsqrt(build: str, s1: np.ndarray, s2: np.ndarray, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Mantissa and exponent."""
    mant, exp = np.empty(s1.shape, np.int32), np.empty(s1.shape, np.int32)
    call(build, "rsqrt", s1.size, array(s1, np.int64), array(s2, np.int64), width, mant, exp)
    return mant, exp


def normalize(build: str, x: np.ndarray, s1: np.ndarray, mant: np.ndarray, exp: np.ndarray, width: int,
              gamma: np.ndarray, beta: np.ndarray, shift: int) -> np.ndarray:
    """int8 codes."""
    out = np.empty(x.shape, np.int8)
    call(build, "normalize", x.size, array(x, np.int16), array(s1, np.int64), array(mant, np.int32),
         array(exp, np.int32), width, array(gamma, np.int16), array(beta, np.int32), shift, out)
    return out


def residual(build: str, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Sum of two ``(columns, tokens, 16)``, and each token's s1, mantissa and exponent."""
    columns, tokens = x.shape[:2]
    out, s1 = np.empty(x.shape, np.int16), np.empty(tokens, np.int64)
    mant, exp = np.empty(tokens, np.int32), np.empty(tokens, np.int32)
    call(build, "residual", tokens, columns, array(x, np.int16), array(y, np.int16), out, s1, mant, exp)
    return out, s1, mant, exp


def cluster(build: str, codes: np.ndarray, weight: np.ndarray, *, transposed: bool = False, sums: bool = False
            ) -> tuple[np.ndarray, np.ndarray]:
    """Codes ``(blocks, tokens, 16)``, weights ``(blocks, 16, 16)``: sums ``(tokens, 16)``, and with ``sums`` those of
    the codes.
    """
    blocks, tokens = codes.shape[:2]
    acc, row_sum = np.empty((tokens, BLOCK), np.int32), np.zeros(tokens, np.int32)
    call(build, "cluster", blocks, tokens, array(codes, np.int16), array(weight, np.int8), transposed, sums, acc,
         row_sum)
    return acc, row_sum


def row_max(build: str, score: np.ndarray) -> np.ndarray:
    """Largest of ``(columns, tokens, 16)`` of each token."""
    out = np.empty(score.shape[1], np.int8)
    call(build, "row_max", score.shape[0], score.shape[1], array(score, np.int8), out)
    return out


def select(build: str, exponentials: np.ndarray, mant: np.ndarray, exp: np.ndarray, mode: Drop, keep: int = 0,
           threshold: int = 0) -> tuple[int, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """New number of tokens; score, kept, index and weight of each token."""
    heads, tokens = exponentials.shape
    score, index, weight = (np.empty(tokens, np.int32) for _ in range(3))
    kept = np.empty(tokens, np.uint8)
    count = call(build, "select", tokens, heads, array(exponentials, np.uint8), array(mant, np.int32),
                 array(exp, np.int32), mode, keep, threshold, inverse_heads(heads), score, kept, index, weight)
    return count, score, kept.astype(bool), index, weight


def fuse(build: str, x: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Weighted sum of rows ``(rows, 16)``."""
    out = np.empty(BLOCK, np.int16)
    call(build, "fuse", len(x), array(x, np.int16), array(weight, np.uint16), out)
    return out
