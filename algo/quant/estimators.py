"""Estimators of activation ranges, in a registry: min-max, percentile, least squared error.

A wide range clips nothing but has coarse codes, a narrow one the reverse. Nagel et al. 2021 (*A White Paper on Neural
Network Quantization*, section 3.1) compare the three. Whatever the method, the residual stream and the logits have
16-bit codes and keep their extremes: there is nothing to gain by clipping them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from algo.quant.calibrate import Statistics
from algo.quant.ranges import Range, Ranges
from algo.quant.settings import GELU_FLAT, Settings
from algo.registry import Registry
from flows.contracts.numerics import INT8_MAX

Sides = tuple[np.ndarray, np.ndarray]
Estimate = Callable[[Statistics, str, Settings], Sides]

WIDE = ("residual", "middle", "logits")
"""Tensors with 16-bit codes."""
COMMON = ("score", "pre", "hidden")
"""Tensors whose channels share one range."""
ONE_SIDED = ("score", "hidden")
"""Tensors of which only the upper end is estimated: below, scores saturate, and GELU ends at -0.17."""
SHRINK = np.linspace(1.0, 0.3, 36)
"""Parts of the full range that the least-squares search tries."""


@dataclass(frozen=True)
class Estimator:
    """A registered estimator.

    Attributes
    ----------
    name : registry name
    function : lower and upper end per channel of one tensor
    samples : it needs sampled values, not only extremes
    """

    name: str
    function: Estimate
    samples: bool


_ESTIMATORS: Registry[Estimator] = Registry("calibration method")


def register_estimator(name: str, *, samples: bool) -> Callable[[Estimate], Estimate]:
    """Decorator: make an estimator known as ``name``."""

    def register(function: Estimate) -> Estimate:
        _ESTIMATORS.add(name, Estimator(name, function, samples))
        return function

    return register


def estimator_names() -> list[str]:
    """Registered names, sorted."""
    return _ESTIMATORS.names()


def estimator(name: str) -> Estimator:
    """The estimator registered as ``name``.

    Raises
    ------
    ConfigError
        When there is none.
    """
    return _ESTIMATORS.find(name)


def estimate_ranges(statistics: Statistics, settings: Settings) -> Ranges:
    """Ranges of all tensors by the method ``settings.calibrate``."""
    chosen = estimator(settings.calibrate).function
    tensors = {}
    for name in statistics.names():
        kind = name.rpartition(".")[2]
        low, high = minmax(statistics, name, settings) if kind in WIDE else chosen(statistics, name, settings)
        tensors[name] = Range(low, high, statistics.mean(name))
    return Ranges(tensors, statistics.key_offset)


@register_estimator("minmax", samples=False)
def minmax(statistics: Statistics, name: str, settings: Settings) -> Sides:
    """Extremes of every image; of scores and around GELU those that a part of the images exceeds (``settings``)."""
    kind = name.rpartition(".")[2]
    high = {"score": settings.score_quantile, "pre": settings.hidden_quantile, "hidden": settings.hidden_quantile}
    low = {"pre": settings.hidden_quantile}
    usual = 1.0 if kind in WIDE else settings.quantile
    return (statistics.low(name, low.get(kind, 1.0 if kind in COMMON else usual)),
            statistics.high(name, high.get(kind, usual)))


@register_estimator("percentile", samples=True)
def percentile(statistics: Statistics, name: str, settings: Settings) -> Sides:
    """Percentiles ``100 - p`` and ``p`` of the sampled values, ``p = settings.percentile``."""
    values = _values(statistics, name)
    low = np.percentile(values, 100 - settings.percentile, axis=0)
    if name.rpartition(".")[2] in ONE_SIDED:
        low = values.min(axis=0)
    return low, np.percentile(values, settings.percentile, axis=0)


@register_estimator("mse", samples=True)
def least_squares(statistics: Statistics, name: str, settings: Settings) -> Sides:
    """Ends of the range whose 8-bit codes have the least squared error on the sampled values.

    The upper end moves towards the middle of the full range, then the lower one; towards 0 and alone where only the
    upper end matters. Per channel.
    """
    del settings
    kind = name.rpartition(".")[2]
    values = _values(statistics, name)
    if kind == "pre":
        values = np.maximum(values, GELU_FLAT)  # what GELU makes 0 need not be told apart
    low, high = values.min(axis=0), values.max(axis=0)
    if kind in ONE_SIDED:
        zero, steps = np.zeros_like(high), 255 if kind == "hidden" else INT8_MAX
        return low, _move(np.maximum(values, 0), np.maximum(high, 0), zero, zero, steps)
    middle = (low + high) / 2
    high = _move(values, high, low, middle, 2 * INT8_MAX)
    return _move(values, low, high, middle, 2 * INT8_MAX), high


def _move(values: np.ndarray, end: np.ndarray, other: np.ndarray, goal: np.ndarray, steps: int) -> np.ndarray:
    """Where between ``end`` and ``goal`` one end of the range is best, the other being ``other``.

    Parameters
    ----------
    values : ``(rows, channels)``
    steps : between the codes of the two ends
    """
    best, least = end, np.full(end.shape, np.inf)
    for part in SHRINK:
        moved = goal + part * (end - goal)
        low, high = np.minimum(moved, other), np.maximum(moved, other)
        step = np.maximum((high - low) / steps, np.finfo(np.float64).tiny)
        codes = np.rint((np.clip(values, low, high) - low) / step)
        error = np.square(codes * step + low - values).mean(axis=0)
        best, least = np.where(error < least, moved, best), np.minimum(error, least)
    return best


def _values(statistics: Statistics, name: str) -> np.ndarray:
    """Sampled values ``(rows, channels)``, or ``(rows * channels, 1)`` of a tensor with a common range."""
    values = statistics.sample(name)
    return values.reshape(-1, 1) if name.rpartition(".")[2] in COMMON else values
