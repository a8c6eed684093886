"""Choice of the codes of each activation from calibration statistics.

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

from algo.quant.calibrate import Statistics
from algo.quant.fixed_point import Codes
from flows.contracts.numerics import INT8_MAX

INT16_MAX = 32767
GELU_FLAT = -4.0
"""Below this GELU is zero to 4 digits: smaller arguments may saturate."""
TINY = 1e-6


@dataclass(frozen=True)
class Settings:
    """How ranges become scales.

    Attributes
    ----------
    quantile : share of calibration images whose extreme value is not clipped, per channel
    score_quantile, hidden_quantile : the same for attention scores, and for the two sides of GELU
    channel_power : 1 gives every layer norm channel its own scale, 0 one scale to all, between: a geometric mean
    value_power : the same for the channels of the attention values
    residual_margin : headroom of the residual stream and the logits over the calibration images
    """

    quantile: float = 1.0
    score_quantile: float = 0.95
    hidden_quantile: float = 0.9
    channel_power: float = 0.5
    value_power: float = 0.5
    residual_margin: float = 1.5


def _half_range(low: np.ndarray, high: np.ndarray, power: float) -> np.ndarray:
    half = np.maximum((high - low) / 2, TINY)
    return half.max() ** (1 - power) * half**power


def channel_codes(statistics: Statistics, name: str, settings: Settings, power: float) -> Codes:
    """Codes with a scale and an offset (the middle of the range) per channel."""
    low, high = statistics.low(name, settings.quantile), statistics.high(name, settings.quantile)
    half = _half_range(low, high, power)
    return Codes(half / INT8_MAX, (low + high) / 2, statistics.mean(name))


def query_key_codes(statistics: Statistics, path: str, settings: Settings) -> tuple[Codes, Codes]:
    """Codes of queries (no offset) and keys (centred); the product of their scales is the same in all channels."""
    low, high = (getattr(statistics, side)(f"{path}.query", settings.quantile) for side in ("low", "high"))
    query = np.maximum(np.maximum(-low, high), TINY)
    low, high = (getattr(statistics, side)(f"{path}.key", settings.quantile) for side in ("low", "high"))
    offset = statistics.key_offset[path]
    key = np.maximum(np.maximum(high - offset, offset - low), TINY)
    # the channel with the largest product fills both ranges; the slack of the others is shared evenly
    slack = np.sqrt((query * key).max() / (query * key))
    zero = np.zeros_like(query)
    return (Codes(query * slack / INT8_MAX, zero, statistics.mean(f"{path}.query")),
            Codes(key * slack / INT8_MAX, offset, statistics.mean(f"{path}.key")))


def context_codes(statistics: Statistics, path: str, value: Codes, settings: Settings) -> tuple[Codes, float]:
    """Codes of the context, and their scale relative to the values' (the same for all channels)."""
    name = f"{path}.context"
    low, high = statistics.low(name, settings.quantile), statistics.high(name, settings.quantile)
    reach = np.maximum(high - value.offset, value.offset - low) / value.scale
    ratio = max(float(reach.max()), 1.0) / INT8_MAX
    return Codes(value.scale * ratio, value.offset, statistics.mean(name)), ratio


def score_scale(statistics: Statistics, path: str, settings: Settings) -> float:
    """Scale of the scores: the largest row maximum is in range; small scores may saturate, their exponential is 0."""
    return max(float(statistics.high(f"{path}.score", settings.score_quantile).max()), TINY) / INT8_MAX


def pre_activation_codes(statistics: Statistics, path: str, settings: Settings) -> Codes:
    """One-channel int8 codes before GELU."""
    name = f"{path}.pre"
    high = max(float(statistics.high(name, settings.hidden_quantile).max()), 0.5)
    low = min(max(float(statistics.low(name, settings.hidden_quantile).min()), GELU_FLAT), -0.5)
    return Codes(np.array([(high - low) / (2 * INT8_MAX)]), np.array([(high + low) / 2]), statistics.mean(name))


def hidden_codes(statistics: Statistics, path: str, settings: Settings) -> Codes:
    """One-channel uint8 codes after GELU; zero has a code of its own."""
    name = f"{path}.hidden"
    high = max(float(statistics.high(name, settings.hidden_quantile).max()), 0.1)
    low = min(float(statistics.low(name).min()), 0.0)
    scale = (high - low) / 255
    return Codes(np.array([scale]), np.array([round(low / scale) * scale]), statistics.mean(name))


def common_scale(largest: float, settings: Settings) -> float:
    """Scale of an int16 tensor."""
    return max(largest, TINY) * settings.residual_margin / INT16_MAX
