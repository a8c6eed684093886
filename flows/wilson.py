"""Confidence interval of a share."""

from __future__ import annotations

import math

Z95 = 1.959963984540054
"""Two-sided 95 % quantile of the normal distribution."""


def wilson(hits: int, trials: int, z: float = Z95) -> tuple[float, float]:
    """Wilson's score interval (1927) of the probability behind ``hits`` out of ``trials``.

    Unlike the plain normal interval it stays within 0..1 and is not empty at 0 or all hits.
    """
    if not 0 <= hits <= trials or trials == 0:
        raise ValueError(f"{hits} hits out of {trials} trials")
    share, weight = hits / trials, z**2 / trials
    centre = (share + weight / 2) / (1 + weight)
    half = z / (1 + weight) * math.sqrt(share * (1 - share) / trials + weight / (4 * trials))
    return max(0.0, centre - half), min(1.0, centre + half)
