"""Bytes of weight blocks, parameters, tables and images, as ``docs/program.md`` lays them out.

Everything here returns uint8 arrays whose last axis is a multiple of a stream word (``config.stream_bytes``).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from flows.contracts.artifact import Linear
from flows.contracts.errors import ConfigError
from flows.contracts.hardware import BLOCK, HardwareConfig, ceil_div
from flows.contracts.program import Fields, column_parameter_words, fields_width, pack


def header_bytes(config: HardwareConfig, *parts: tuple[Fields, Mapping[str, int]]) -> np.ndarray:
    """Packet header: field lists one after the other from bit 0, padded with zeros to whole words."""
    value, offset = 0, 0
    for fields, values in parts:
        value |= pack(fields, values) << offset
        offset += fields_width(fields)
    size = ceil_div(offset, config.stream_bits) * config.stream_bytes
    return np.frombuffer(value.to_bytes(size, "little"), np.uint8)


def weight_blocks(linear: Linear) -> np.ndarray:
    """All blocks of a weight matrix, uint8 ``(out blocks, in blocks, 256)``; rows of padding are zero."""
    rows, columns = linear.weight.shape
    padded = np.zeros((linear.mask.shape[0] * BLOCK, columns), np.int8)
    padded[:rows] = linear.weight
    tiles = padded.reshape(-1, BLOCK, columns // BLOCK, BLOCK).transpose(0, 2, 1, 3)
    return np.ascontiguousarray(tiles).reshape(*linear.mask.shape, BLOCK * BLOCK).view(np.uint8)


def parameter_words(bias: np.ndarray, mult: np.ndarray, config: HardwareConfig) -> np.ndarray:
    """Column parameters, uint8 ``(columns, 96 or 128)``: 16 x int32 bias (or beta), 16 x 16 bit multiplier (or gamma),
    and zeros up to a whole word."""
    low = np.ascontiguousarray(bias, "<i4").reshape(-1, BLOCK).view(np.uint8)
    high = np.ascontiguousarray(mult, "<u2" if mult.dtype.kind == "u" else "<i2").reshape(-1, BLOCK).view(np.uint8)
    row = np.concatenate([low, high], axis=1)
    size = column_parameter_words(config) * config.stream_bytes
    return np.pad(row, ((0, 0), (0, size - row.shape[1])))


def residual_words(residual: np.ndarray, config: HardwareConfig) -> np.ndarray:
    """int16 ``(tokens, width)`` as uint8 ``(columns * words, stream_bytes)``, all tokens of column 0 first.

    A word holds 16 channels of one token, or of two; the last word of a column may end in zeros.
    """
    per_word = config.tokens_per_word
    padded = np.pad(residual.astype("<i2"), ((0, -residual.shape[0] % per_word), (0, 0)))
    words = padded.reshape(padded.shape[0], -1, BLOCK).transpose(1, 0, 2)
    return np.ascontiguousarray(words).reshape(-1, per_word * BLOCK).view(np.uint8)


def image_words(patch_inputs: int, config: HardwareConfig) -> int:
    """Words per token in the image buffer."""
    return ceil_div(patch_inputs, config.stream_bytes)


def pack_image(patches: np.ndarray, tokens: int, patch_inputs: int, config: HardwareConfig) -> np.ndarray:
    """Image buffer: word ``part * tokens + t`` is block columns ``rows_per_word * part ..`` of token t.

    Parameters
    ----------
    patches : int8 ``(tokens, patch_inputs)``, row 0 (CLS) zero

    Returns
    -------
    uint8 ``(words per token * tokens * stream_bytes,)``

    Raises
    ------
    ConfigError
        When the array is not what the program was compiled for.
    """
    if patches.shape != (tokens, patch_inputs) or patches.dtype != np.int8:
        raise ConfigError(f"the program takes int8 patches of shape {(tokens, patch_inputs)}, not {patches.dtype} "
                          f"{patches.shape}; compile the program for this image size")
    parts = image_words(patch_inputs, config)
    padded = np.zeros((tokens, parts * config.stream_bytes), np.int8)
    padded[:, :patch_inputs] = patches
    words = padded.reshape(tokens, parts, config.stream_bytes).transpose(1, 0, 2)
    return np.ascontiguousarray(words).reshape(-1).view(np.uint8)
