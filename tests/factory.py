"""Random networks of any size for tests: integers only, no torch, no weights file.

The multipliers follow from the statistics of the random weights, so that every tensor of the network spreads over its
range (a standard deviation of roughly 40 codes for int8) instead of being saturated or constant: a wrong integer
anywhere then shows at the next checkpoint.
"""

from __future__ import annotations

import copy
import dataclasses
import math
from collections.abc import Iterable, Mapping

import numpy as np

from flows.contracts.artifact import Block, Linear, Norm, SparseVit, TokenDrop, validate
from flows.contracts.hardware import BLOCK

CODE_STD = 40.0
"""Aimed standard deviation of int8 codes."""
EMBED_STD = 6000.0
"""Aimed standard deviation of the residual stream at first. Most of the stream, so that tokens stay different."""
BLOCKS_STD = 5000.0
"""Aimed standard deviation of what all blocks together add to the residual stream."""
BIAS_STD = 0.15
"""Standard deviation of biases as a part of that of the accumulators: biases make tokens alike."""
SCORE_SCALE = 0.06
"""Real value of one score code: attention logits get a standard deviation of about 2."""
LOGIT_STD = 8000.0
NORM_SHIFT = 19
NORM_ONE = 4096
"""Normalised value 1.0: ``z`` has 12 fraction bits."""
GELU_RANGE = 4.0
GELU_MIN = -0.17


def random_artifact(*, width: int = 64, heads: int = 2, depth: int = 2, hidden: int = 128, tokens: int = 17,
                    patch_inputs: int = 48, classes: int = 10, keep_blocks: float = 0.6,
                    drop: Mapping[int, TokenDrop] | None = None, seed: int = 0,
                    empty_columns: Iterable[int | tuple[str, int]] = (), empty_heads: Iterable[int] = ()) -> SparseVit:
    """Make a valid artifact of random integers.

    Parameters
    ----------
    width : embedding width, a multiple of ``16 * heads``
    tokens : tokens with CLS, any number from 2 on (the patch grid need not be square)
    patch_inputs : 48, 192, 768 or any other ``3 * patch**2`` that is a multiple of 16
    classes : any number
    keep_blocks : probability that a weight block of qkv, proj, fc1, fc2 is kept; embedding and head are dense
    drop : token drop by block index
    empty_columns : output block columns without any kept block: an integer means that column of all four layers of
        every block (where the layer has it), ``("fc1", 3)`` that column of one layer of every block
    empty_heads : heads whose query, key and value rows are all pruned (their biases stay)
    """
    rng = np.random.default_rng(seed)
    patch = math.isqrt(patch_inputs // 3)
    if 3 * patch * patch != patch_inputs:
        raise ValueError(f"patch_inputs {patch_inputs} is not 3 * patch * patch")
    head_width = width // heads
    empty = {("qkv", part * width // BLOCK + head * head_width // BLOCK + column) for head in empty_heads
             for part in range(3) for column in range(head_width // BLOCK)}
    for item in empty_columns:
        empty |= {item} if isinstance(item, tuple) else {(name, item) for name in ("qkv", "proj", "fc1", "fc2")}

    step = BLOCKS_STD / math.sqrt(2 * depth)
    embed = EMBED_STD / math.sqrt(2)  # from the patches, and as much from the positions
    blocks = tuple(_block(rng, width, heads, hidden, tokens, keep_blocks, (drop or {}).get(layer), empty, step)
                   for layer in range(depth))
    artifact = SparseVit(
        model="random", weights=f"synthetic (seed {seed})", image_size=patch * math.ceil(math.sqrt(tokens - 1)),
        patch=patch, heads=heads, mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25), input_scale=0.02,
        class_names=tuple(f"class {index}" for index in range(classes)),
        embed=_linear(rng, width, patch_inputs, 1.0, embed, bias=False),
        residual_init=np.clip(np.rint(rng.normal(0, embed, (tokens, width))), -32768, 32767).astype(np.int16),
        blocks=blocks, norm=_norm(rng, width), head=_linear(rng, classes, width, 1.0, LOGIT_STD))
    validate(artifact)
    return artifact


def silence(artifact: SparseVit, *, pairs: Iterable[int] = (), values: Iterable[int] = (),
            blocks: Iterable[int] | None = None) -> SparseVit:
    """``artifact`` without some columns (16 channels each, counted over all heads) of its attention.

    Parameters
    ----------
    pairs : of queries and keys: weights and biases become zero
    values : of values, and of what the projection reads
    blocks : blocks it is done to; all by default
    """
    width = artifact.width
    rows = [part * width + column * BLOCK for part in (0, 1) for column in pairs]
    rows += [2 * width + column * BLOCK for column in values]
    chosen = range(len(artifact.blocks)) if blocks is None else set(blocks)

    def cut(block: Block) -> Block:
        qkv, proj = copy.deepcopy(block.qkv), copy.deepcopy(block.proj)
        for row in rows:
            qkv.weight[row:row + BLOCK], qkv.mask[row // BLOCK], qkv.bias[row:row + BLOCK] = 0, False, 0
        for column in values:
            proj.weight[:, column * BLOCK:(column + 1) * BLOCK], proj.mask[:, column] = 0, False
        return dataclasses.replace(block, qkv=qkv, proj=proj)

    changed = tuple(cut(block) if index in chosen else block for index, block in enumerate(artifact.blocks))
    return dataclasses.replace(artifact, blocks=changed)


def random_patches(artifact: SparseVit, seed: int = 0, batch: int | None = None) -> np.ndarray:
    """int8 patch codes ``[N, P]`` (or ``[batch, N, P]``), row 0 zero, each patch with its own mean and contrast."""
    rng = np.random.default_rng([seed, 1])
    shape = (batch or 1, artifact.tokens, artifact.embed.weight.shape[1])
    contrast = rng.uniform(0.3, 1.2, (*shape[:2], 1)) * CODE_STD
    codes = rng.normal(0, contrast, shape) + rng.normal(0, CODE_STD / 4, (*shape[:2], 1))
    codes = np.clip(np.rint(codes), -127, 127).astype(np.int8)
    codes[:, 0] = 0
    return codes if batch is not None else codes[0]


def _block(rng: np.random.Generator, width: int, heads: int, hidden: int, tokens: int, keep: float,
           drop: TokenDrop | None, empty: set[tuple[str, int]], step: float) -> Block:
    def layer(name: str, rows: int, columns: int, std_out: float, std_in: float = CODE_STD) -> Linear:
        return _linear(rng, rows, columns, keep, std_out, std_in=std_in,
                       empty={column for other, column in empty if other == name})

    # A query-key product has std CODE_STD**2 * sqrt(d) or less; attention of logit std s averages N / exp(s**2) values.
    score_mult, score_shift = _scalar(1 / (CODE_STD * math.sqrt(width // heads)))
    averaged = max(1.5, tokens / math.exp((0.8 * CODE_STD * SCORE_SCALE) ** 2))
    context_mult, context_shift = _scalar(math.sqrt(averaged) / 256)
    gelu, zero_point = _gelu_table()
    return Block(
        norm1=_norm(rng, width), qkv=layer("qkv", 3 * width, width, CODE_STD), score_mult=score_mult,
        score_shift=score_shift, exp=np.rint(255 * np.exp(-SCORE_SCALE * np.arange(256))).astype(np.uint8),
        context_mult=context_mult, context_shift=context_shift, proj=layer("proj", width, width, step), drop=drop,
        norm2=_norm(rng, width), fc1=layer("fc1", hidden, width, CODE_STD), gelu=gelu,
        fc2=_fold_zero_point(layer("fc2", width, hidden, step, std_in=1.5 * CODE_STD), zero_point))


def _linear(rng: np.random.Generator, rows: int, columns: int, keep: float, std_out: float, *,
            std_in: float = CODE_STD, bias: bool = True, empty: Iterable[int] = ()) -> Linear:
    """A layer whose outputs have about ``std_out``, every channel another multiplier within a factor of two."""
    mask = rng.random((-(-rows // BLOCK), columns // BLOCK)) < keep
    for column in empty:
        if column < mask.shape[0]:
            mask[column] = False
    weight = np.clip(np.rint(rng.normal(0, CODE_STD, (rows, columns))), -127, 127).astype(np.int8)
    weight[~np.repeat(np.repeat(mask, BLOCK, 0), BLOCK, 1)[:rows]] = 0
    std_acc = std_in * np.sqrt((weight.astype(np.float64) ** 2).sum(1))
    std_acc[std_acc == 0] = std_in * CODE_STD * math.sqrt(BLOCK)  # a pruned row: its bias alone decides
    ratio = std_out / std_acc * rng.uniform(0.6, 1.2, rows)
    shift = min(47, math.floor(math.log2(65535 / ratio.max())))
    offsets = np.rint(rng.normal(0, BIAS_STD, rows) * std_acc).astype(np.int32) if bias else np.zeros(rows, np.int32)
    return Linear(weight, mask, offsets, np.rint(ratio * 2.0**shift).astype(np.uint16), shift)


def _fold_zero_point(layer: Linear, zero_point: int) -> Linear:
    bias = layer.bias - zero_point * layer.weight.astype(np.int32).sum(1, dtype=np.int32)
    return Linear(layer.weight, layer.mask, bias.astype(np.int32), layer.mult, layer.shift)


def _norm(rng: np.random.Generator, width: int) -> Norm:
    one = CODE_STD / NORM_ONE * 2**NORM_SHIFT
    gamma = np.rint(one * rng.uniform(0.5, 1.3, width) * rng.choice([-1, 1], width, p=[0.1, 0.9])).astype(np.int16)
    beta = np.rint(rng.normal(0, CODE_STD / 8, width) * 2**NORM_SHIFT).astype(np.int32)
    return Norm(gamma, beta, NORM_SHIFT)


def _scalar(ratio: float) -> tuple[int, int]:
    shift = min(47, math.floor(math.log2(65535 / ratio)))
    return round(ratio * 2**shift), shift


def _gelu_table() -> tuple[np.ndarray, int]:
    """GELU of codes -128..127 spread over +-GELU_RANGE, and the code of zero."""
    x = (np.arange(256) - 128) / 127 * GELU_RANGE
    real = np.array([value * 0.5 * (1 + math.erf(value / math.sqrt(2))) for value in x])
    scale = (GELU_RANGE - GELU_MIN) / 255
    return np.clip(np.rint((real - GELU_MIN) / scale), 0, 255).astype(np.uint8), round(-GELU_MIN / scale)
