"""What a search gives: the points it looked at closely, the choice, and why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from boards.board import Board
from flows.contracts.hardware import HardwareConfig
from flows.contracts.resources import KINDS, Resources
from flows.pareto import front
from flows.search.limits import Placement


@dataclass(frozen=True)
class Point:
    """A configuration that fits, with the figures of the cycle model.

    Attributes
    ----------
    config : with the board's clock target
    cycles : of one image, memory of the board included
    memory_cycles : cycles that the memory needs for program and image at least
    resources : of the whole accelerator
    placement : dies and shares
    """

    config: HardwareConfig
    cycles: int
    memory_cycles: float
    resources: Resources
    placement: Placement

    @property
    def milliseconds(self) -> float:
        """Time of one image at the target clock."""
        return self.cycles / (self.config.clock_mhz * 1000)

    @property
    def images_per_second(self) -> float:
        """Images one after the other at the target clock."""
        return 1000 / self.milliseconds

    @property
    def share(self) -> float:
        """Largest share of a resource on a die."""
        return self.placement.largest[0]

    def dominates(self, other: Point) -> bool:
        """Not worse in time or largest share, and better in one of them."""
        return (self.cycles <= other.cycles and self.share <= other.share
                and (self.cycles, self.share) != (other.cycles, other.share))

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {"config": self.config.to_dict(), "config_hash": f"{self.config.config_hash():08x}",
                "cycles": self.cycles, "memory_cycles": round(self.memory_cycles),
                "milliseconds": self.milliseconds, "images_per_second": self.images_per_second,
                "resources": self.resources.to_dict(), "largest_share": self.share,
                "largest_resource": self.placement.largest[1],
                "shares": {kind: self.placement.share(kind) for kind in KINDS},
                "groups_by_die": self.placement.groups, "shared_die": self.placement.shared}


@dataclass(frozen=True)
class SearchResult:
    """Outcome of a search.

    Attributes
    ----------
    board : the board
    model : name of the network
    limits : shares allowed by kind
    target_ms : time asked for, or None
    choice : the configuration to build, or None when none fits or reaches the target
    reasons : why this one, or why none, a sentence each
    pareto : fastest point for each largest share, cheapest first
    considered, fitting, evaluated : configurations enumerated, within the limits, and judged by the cycle model
    """

    board: Board
    model: str
    limits: dict[str, float]
    target_ms: float | None
    choice: Point | None
    reasons: tuple[str, ...]
    pareto: tuple[Point, ...]
    considered: int
    fitting: int
    evaluated: int

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {"board": self.board.name, "part": self.board.part, "model": self.model, "limits": self.limits,
                "clock_mhz": self.board.clock_mhz, "usable_gbs": self.board.memory.usable_gbs,
                "target_ms": self.target_ms, "choice": self.choice.to_dict() if self.choice else None,
                "reasons": list(self.reasons), "pareto": [point.to_dict() for point in self.pareto],
                "considered": self.considered, "fitting": self.fitting, "evaluated": self.evaluated}


def pareto_set(points: Sequence[Point]) -> tuple[Point, ...]:
    """Points that none dominates, the smallest share first; of equal ones the first."""
    return tuple(points[index] for index in front(points, lambda point: point.share, lambda point: point.cycles))
