"""Bytes of weight blocks, parameters, tables and images, as ``docs/program.md`` lays them out.

Everything here returns uint8 arrays whose last axis is a multiple of a stream word (32 bytes).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from flows.contracts.artifact import Linear
from flows.contracts.errors import ConfigError
from flows.contracts.hardware import BLOCK, WORD_BITS, ceil_div
from flows.contracts.program import Fields, pack

WORD_BYTES = WORD_BITS // 8


def header_bytes(*parts: tuple[Fields, Mapping[str, int]]) -> np.ndarray:
    """Packet header: field lists one after the other from bit 0, padded with zeros to whole words."""
    value, offset = 0, 0
    for fields, values in parts:
        value |= pack(fields, values) << offset
        offset += sum(width for _, width in fields)
    return np.frombuffer(value.to_bytes(ceil_div(offset, WORD_BITS) * WORD_BYTES, "little"), np.uint8)


def weight_blocks(linear: Linear) -> np.ndarray:
    """All blocks of a weight matrix, uint8 ``(out blocks, in blocks, 256)``; rows of padding are zero."""
    rows, columns = linear.weight.shape
    padded = np.zeros((linear.mask.shape[0] * BLOCK, columns), np.int8)
    padded[:rows] = linear.weight
    tiles = padded.reshape(-1, BLOCK, columns // BLOCK, BLOCK).transpose(0, 2, 1, 3)
    return np.ascontiguousarray(tiles).reshape(*linear.mask.shape, BLOCK * BLOCK).view(np.uint8)


def parameter_words(bias: np.ndarray, mult: np.ndarray) -> np.ndarray:
    """Column parameters, uint8 ``(columns, 96)``: 16 x int32 bias (or beta), 16 x 16 bit multiplier (or gamma)."""
    low = np.ascontiguousarray(bias, "<i4").reshape(-1, BLOCK).view(np.uint8)
    high = np.ascontiguousarray(mult, "<u2" if mult.dtype.kind == "u" else "<i2").reshape(-1, BLOCK).view(np.uint8)
    return np.concatenate([low, high], axis=1)


def residual_words(residual: np.ndarray) -> np.ndarray:
    """int16 ``(tokens, width)`` as uint8 ``(columns * tokens, 32)``, all tokens of column 0 first."""
    tokens, width = residual.shape
    words = residual.astype("<i2").reshape(tokens, width // BLOCK, BLOCK).transpose(1, 0, 2)
    return np.ascontiguousarray(words).reshape(-1, BLOCK).view(np.uint8)


def image_pairs(patch_inputs: int) -> int:
    """Words per token in the image buffer."""
    return ceil_div(patch_inputs, 2 * BLOCK)


def pack_image(patches: np.ndarray, tokens: int, patch_inputs: int) -> np.ndarray:
    """Image buffer: word ``pair * tokens + t`` is block columns ``2 * pair`` and ``2 * pair + 1`` of token t.

    Parameters
    ----------
    patches : int8 ``(tokens, patch_inputs)``, row 0 (CLS) zero

    Returns
    -------
    uint8 ``(pairs * tokens * 32,)``

    Raises
    ------
    ConfigError
        When the array is not what the program was compiled for.
    """
    if patches.shape != (tokens, patch_inputs) or patches.dtype != np.int8:
        raise ConfigError(f"the program takes int8 patches of shape {(tokens, patch_inputs)}, not {patches.dtype} "
                          f"{patches.shape}; compile the program for this image size")
    pairs = image_pairs(patch_inputs)
    padded = np.zeros((tokens, pairs * WORD_BYTES), np.int8)
    padded[:, :patch_inputs] = patches
    words = padded.reshape(tokens, pairs, WORD_BYTES).transpose(1, 0, 2)
    return np.ascontiguousarray(words).reshape(-1).view(np.uint8)
