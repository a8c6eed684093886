"""Resources of an FPGA: what a circuit takes and what a board has, in the vendor's units."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

KINDS = ("lut", "ff", "dsp", "bram36", "uram")
"""Kinds of resources, in the order reports show them."""


@dataclass(frozen=True)
class Resources:
    """Amounts of the five kinds of resources.

    Attributes
    ----------
    lut : six-input look-up tables; those used as memory or shift registers included
    ff : flip-flops
    dsp : DSP slices (DSP48E1, DSP48E2, DSP58)
    bram36 : 36 Kb block RAMs; one of 18 Kb counts one half
    uram : 288 Kb UltraRAMs
    """

    lut: float = 0
    ff: float = 0
    dsp: float = 0
    bram36: float = 0
    uram: float = 0

    def __add__(self, other: Resources) -> Resources:
        return Resources(*(getattr(self, kind) + getattr(other, kind) for kind in KINDS))

    def __mul__(self, factor: float) -> Resources:
        return Resources(*(getattr(self, kind) * factor for kind in KINDS))

    __rmul__ = __mul__

    def share(self, whole: Resources) -> dict[str, float]:
        """Share of ``whole`` by kind; infinite where something is needed that ``whole`` has none of."""
        shares = {}
        for kind in KINDS:
            used, available = getattr(self, kind), getattr(whole, kind)
            shares[kind] = used / available if available else float("inf") if used else 0.0
        return shares

    def to_dict(self) -> dict[str, float]:
        """All amounts, for JSON."""
        return dataclasses.asdict(self)
