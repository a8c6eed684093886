"""Choice of the codes of each activation from its range.

Whatever can be folded into a neighbour costs the hardware nothing, so codes get a scale and an offset per channel where
the arithmetic allows it:

- layer norm output: free, gamma, beta and the next weights take it;
- queries and keys: only the product of the two scales of a channel must be the same for all channels. An offset of a
  key adds the same to all scores of a query, which softmax ignores, so keys are centred;
- values: the context is a mean of values, so it has the offsets of the values and proportional scales;
- hidden activations pass through one table: one scale, and one offset.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from algo.quant.fixed_point import Codes
from algo.quant.ranges import Range, Ranges
from algo.quant.settings import GELU_FLAT, Settings
from flows.contracts.numerics import INT8_MAX

INT16_MAX = 32767
TINY = 1e-6


@dataclass(frozen=True, eq=False)
class BlockCodes:
    """Codes within an encoder block. ``ratio`` is the scale of the context relative to the values', ``score`` the scale
    of the scores.
    """

    norm1: Codes
    query: Codes
    key: Codes
    value: Codes
    score: float
    context: Codes
    ratio: float
    norm2: Codes
    pre: Codes
    hidden: Codes


@dataclass(frozen=True, eq=False)
class NetworkCodes:
    """Codes of every activation of a network; ``residual`` and ``logits`` are scales of 16-bit codes."""

    residual: float
    blocks: tuple[BlockCodes, ...]
    norm: Codes
    logits: float


def network_codes(ranges: Ranges, depth: int, settings: Settings) -> NetworkCodes:
    """Codes of every activation of a network with ``depth`` blocks. Weights take no part.

    Raises
    ------
    WeightsError
        When the ranges are of another network.
    """
    reach = max(ranges.largest(name) for name in ["residual", *(f"blocks.{layer}.middle" for layer in range(depth))])
    return NetworkCodes(
        residual=common_scale(reach, settings),
        blocks=tuple(block_codes(ranges, f"blocks.{layer}", settings) for layer in range(depth)),
        norm=channel_codes(ranges["norm"], settings.channel_power),
        logits=common_scale(ranges.largest("logits"), settings),
    )


def block_codes(ranges: Ranges, path: str, settings: Settings) -> BlockCodes:
    """Codes within the block ``path``."""
    query, key = query_key_codes(ranges, path)
    value = channel_codes(ranges[f"{path}.value"], settings.value_power)
    context, ratio = context_codes(ranges[f"{path}.context"], value)
    return BlockCodes(
        norm1=channel_codes(ranges[f"{path}.norm1"], settings.channel_power), query=query, key=key, value=value,
        score=score_scale(ranges[f"{path}.score"]), context=context, ratio=ratio,
        norm2=channel_codes(ranges[f"{path}.norm2"], settings.channel_power),
        pre=pre_activation_codes(ranges[f"{path}.pre"]), hidden=hidden_codes(ranges[f"{path}.hidden"]))


def _half_range(low: np.ndarray, high: np.ndarray, power: float) -> np.ndarray:
    half = np.maximum((high - low) / 2, TINY)
    return half.max() ** (1 - power) * half**power


def channel_codes(covered: Range, power: float) -> Codes:
    """Codes with a scale and an offset (the middle of the range) per channel."""
    low, high = covered.low, covered.high
    return Codes(_half_range(low, high, power) / INT8_MAX, (low + high) / 2, covered.mean)


def query_key_codes(ranges: Ranges, path: str) -> tuple[Codes, Codes]:
    """Codes of queries (no offset) and keys (centred); the product of their scales is the same in all channels."""
    queries, keys = ranges[f"{path}.query"], ranges[f"{path}.key"]
    query = np.maximum(np.maximum(-queries.low, queries.high), TINY)
    offset = ranges.key_offset[path]
    key = np.maximum(np.maximum(keys.high - offset, offset - keys.low), TINY)
    # the channel with the largest product fills both ranges; the slack of the others is shared evenly
    slack = np.sqrt((query * key).max() / (query * key))
    return (Codes(query * slack / INT8_MAX, np.zeros_like(query), queries.mean),
            Codes(key * slack / INT8_MAX, offset, keys.mean))


def context_codes(covered: Range, value: Codes) -> tuple[Codes, float]:
    """Codes of the context, and their scale relative to the values' (the same for all channels)."""
    reach = np.maximum(covered.high - value.offset, value.offset - covered.low) / value.scale
    ratio = max(float(reach.max()), 1.0) / INT8_MAX
    return Codes(value.scale * ratio, value.offset, covered.mean), ratio


def score_scale(covered: Range) -> float:
    """Scale of the scores: the largest row maximum is in range; small scores may saturate, their exponential is 0."""
    return max(float(covered.high.max()), TINY) / INT8_MAX


def pre_activation_codes(covered: Range) -> Codes:
    """One-channel int8 codes before GELU."""
    high = max(float(covered.high.max()), 0.5)
    low = min(max(float(covered.low.min()), GELU_FLAT), -0.5)
    return Codes(np.array([(high - low) / (2 * INT8_MAX)]), np.array([(high + low) / 2]), covered.mean)


def hidden_codes(covered: Range) -> Codes:
    """One-channel uint8 codes after GELU; zero has a code of its own."""
    high = max(float(covered.high.max()), 0.1)
    low = min(float(covered.low.min()), 0.0)
    scale = (high - low) / 255
    return Codes(np.array([scale]), np.array([round(low / scale) * scale]), covered.mean)


def common_scale(largest: float, settings: Settings) -> float:
    """Scale of an int16 tensor."""
    return max(largest, TINY) * settings.residual_margin / INT16_MAX
