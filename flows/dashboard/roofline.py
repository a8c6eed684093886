"""The roofline: what the array and the memory allow, and where the run and its steps are.

S. Williams, A. Waterman, D. Patterson, "Roofline: an insightful visual performance model for multicore architectures",
CACM 52(4), 2009. Work is counted in useful multiply-accumulates, traffic in bytes read from memory.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flows.dashboard.parts import Step


@dataclass(frozen=True)
class Dot:
    """A step, or the run.

    Attributes
    ----------
    name : of the step, or ``"run"``
    intensity : useful MACs per byte
    rate : useful MACs per cycle
    macs, bytes, cycles : what these are made of
    """

    name: str
    macs: int
    bytes: int
    cycles: int

    @property
    def intensity(self) -> float:
        """Useful MACs per byte."""
        return self.macs / self.bytes

    @property
    def rate(self) -> float:
        """Useful MACs per cycle."""
        return self.macs / self.cycles


@dataclass(frozen=True)
class Roofline:
    """Limits and dots.

    Attributes
    ----------
    peak : MACs per cycle of the array
    bandwidth : bytes per cycle of the memory
    clock_mhz : target clock
    run, steps : dots
    modelled : cycles are the cycle model's, nothing counted them
    source : where the bandwidth comes from
    """

    peak: int
    bandwidth: float
    clock_mhz: float
    run: Dot
    steps: tuple[Dot, ...]
    modelled: bool
    source: str

    @property
    def ridge(self) -> float:
        """MACs per byte from which on the array is the limit."""
        return self.peak / self.bandwidth

    def limit(self, intensity: float) -> float:
        """MACs per cycle that are possible."""
        return min(self.peak, intensity * self.bandwidth)


def roofline_of(content: Mapping[str, Any], steps: Sequence[Step]) -> Roofline | None:
    """The roofline of a run; None when its report does not tell work and traffic of the steps."""
    known = [step for step in steps if step.macs and step.bytes]
    if not known:
        return None
    modelled = any(step.cycles is None for step in known)
    dots = tuple(Dot(step.name, step.macs or 0, step.bytes or 0, step.expected if step.cycles is None else step.cycles)
                 for step in known)
    total = Dot("run", content["useful_macs"], sum(dot.bytes for dot in dots),
                content["expected_cycles"] if content.get("cycles") is None else content["cycles"])
    bandwidth, source = bandwidth_of(content)
    return Roofline(content["peak_macs_per_cycle"], bandwidth, content["hardware"]["clock_mhz"], total, dots, modelled,
                    source)


def bandwidth_of(content: Mapping[str, Any]) -> tuple[float, str]:
    """Bytes per cycle that the memory delivered at most, and where the number is from."""
    bus = content["hardware"]["bus_bits"] / 8
    given = (content.get("memory") or {}).get("bandwidth")
    if given:
        return min(bus, given), "simulated memory"
    return bus, "width of the bus"
