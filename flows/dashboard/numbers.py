"""Numbers as a reader wants them: thousands separators, a few digits, a unit."""

from __future__ import annotations

import math
from decimal import ROUND_HALF_UP, Decimal


def count(value: float) -> str:
    """``465916`` as ``465,916``."""
    return f"{value:,.0f}"


def digits(value: float, figures: int = 4) -> str:
    """A number with so many significant figures, thousands separated: ``2.330``, ``429.3``, ``12,345``."""
    if value == 0:
        return "0"
    places = figures - 1 - math.floor(math.log10(abs(value)))
    return f"{value:,.{max(places, 0)}f}"


def percent(share: float, places: int = 1) -> str:
    """``.9283`` as ``92.8 %``, halves rounded up as on paper; ``∞`` for what is needed and not there."""
    if not math.isfinite(share):
        return "∞"
    if not math.isfinite(share):
        return "∞"
    exact = Decimal(repr(float(share))) * 100
    return f"{exact.quantize(Decimal(1).scaleb(-places), ROUND_HALF_UP):,} %"


def short(value: float) -> str:
    """For axes: ``20000`` as ``20k``, ``1500000`` as ``1.5M``, ``0.01`` as ``0.01``."""
    for limit, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= limit:
            return f"{value / limit:g}{unit}"
    return f"{value:g}"


def ticks(top: float, about: int = 5) -> list[float]:
    """Round numbers from 0 to ``top``, about so many of them."""
    if not top > 0:
        return [0.0]
    raw = top / about
    size = 10.0 ** math.floor(math.log10(raw))
    step = size * min((1, 2, 2.5, 5, 10), key=lambda factor: abs(math.log(raw / (size * factor))))
    return [step * index for index in range(int(top / step + 1e-9) + 1)]


def log_ticks(low: float, high: float) -> list[float]:
    """Round numbers from ``low`` to ``high``, as many as there are, but eight at most."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for factors in ((1, 1.5, 2, 3, 4, 5, 7), (1, 2, 5), (1, 3), (1,)):
        found = [factor * 10.0**power for power in powers for factor in factors]
        found = [value for value in found if low * 0.9999 <= value <= high * 1.0001]
        if len(found) <= 8:
            return found
    return found
