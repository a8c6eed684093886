"""How full the board is: resources by unit against what the board has and what a design may take of it.

Synthesized figures are taken from the store where they exist, else the analytical model is asked on the spot. A run
without a board is held against the smallest board of the catalogue that has room for it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from boards.board import Board
from boards.catalog import board_names, load_board
from flows.contracts.errors import ConfigError
from flows.contracts.resources import KINDS, Resources
from flows.dashboard import match
from flows.resources.model import counts_of, default_family, shares_of
from flows.resources.report import TITLES, estimate_of
from flows.runs import Kept
from flows.search.limits import LIMITS


@dataclass(frozen=True)
class Unit:
    """A unit: how many there are, and what all of them take."""

    name: str
    count: int
    amounts: Mapping[str, float]


@dataclass(frozen=True)
class Kind:
    """A kind of resource: what is used of what there is, and the share that a design may take."""

    name: str
    title: str
    used: float
    available: float
    limit: float

    @property
    def share(self) -> float:
        """Share of the board; infinite where it has none."""
        return self.used / self.available if self.available else float("inf") if self.used else 0.0


@dataclass(frozen=True)
class Fill:
    """Resources of a run.

    Attributes
    ----------
    board, title : the board that is compared with
    chosen : whether the run is for that board; otherwise it is the smallest one with room
    source, short_source : open synthesis or analytical model
    kinds : shares, only those that the board or the design has
    units : largest first
    own : the report is about the resources itself, so figures are its own
    """

    board: str
    title: str
    chosen: bool
    source: str
    kinds: tuple[Kind, ...]
    units: tuple[Unit, ...]
    own: bool = False

    @property
    def short_source(self) -> str:
        """One word for the source."""
        return "synthesized" if self.source == "open synthesis" else "resource model"

    @property
    def largest(self) -> Kind:
        """The kind that is used most."""
        return max(self.kinds, key=lambda kind: kind.share)

    def total(self, kind: str) -> float:
        """Amount of a kind."""
        return sum(unit.amounts[kind] for unit in self.units)

    def key_of(self, kind: Kind) -> str | None:
        """Where the run's own report has the share, if it is about resources."""
        return f"board/share/{kind.name}" if self.own else None


def fill_of(kept: Kept, store: Sequence[Kept]) -> Fill | None:
    """Resources of a run's hardware; None for runs without one, and for what a tool reported itself.

    A record of the same circuit serves: synthesized before modelled, with the run's board before others.
    """
    hardware = kept.content.get("hardware")
    if not hardware or kept.kind in ("sweep", "vivado"):
        return None
    config = match.config_of(hardware)
    board = _board(kept.content)
    if kept.kind == "resources":
        return _fill(kept.content, board or _smallest(_total(kept.content), kept.content["family"]),
                     chosen=board is not None, own=board is not None)
    family = board.family if board else default_family(config)
    report = _synthesized(kept, store, family) or estimate_of(shares_of(config, family), counts_of(config), config,
                                                             family)
    return _fill(report, board or _smallest(_total(report), family), chosen=board is not None)


def _synthesized(kept: Kept, store: Sequence[Kept], family: str) -> Mapping[str, Any] | None:
    found = [other.content for other in match.same_hardware(kept, store, "resources")
             if other.content["source"] == "open synthesis" and other.content["family"] == family]
    return found[0] if found else None


def _fill(report: Mapping[str, Any], board: Board | None, *, chosen: bool, own: bool = False) -> Fill | None:
    if board is None:
        return None
    units = tuple(Unit(unit["name"], unit["count"], {kind: unit[kind] * unit["count"] for kind in KINDS})
                  for unit in report["units"])
    total, has = _total(report), board.resources
    kinds = tuple(Kind(kind, TITLES[kind], getattr(total, kind), getattr(has, kind), LIMITS[kind])
                  for kind in KINDS if getattr(total, kind) or getattr(has, kind))
    order = sorted(units, key=lambda unit: -max((unit.amounts[kind.name] / kind.available if kind.available else 0
                                                 for kind in kinds), default=0))
    return Fill(board.name, board.title, chosen, report["source"], kinds, tuple(order), own)


def _total(report: Mapping[str, Any]) -> Resources:
    return Resources(**report["total"])


def _board(content: Mapping[str, Any]) -> Board | None:
    named = content.get("board")
    name = named.get("name") if isinstance(named, dict) else named
    try:
        return load_board(name) if name else None
    except ConfigError:
        return None  # a board file of the user's own that is not in the catalogue


def _smallest(total: Resources, family: str) -> Board | None:
    """The board with the fewest LUTs that has room within the limits, of the family if possible; else the largest."""
    boards = sorted((load_board(name) for name in board_names()), key=lambda board: (board.resources.lut, board.name))
    fitting = [board for board in boards if all(getattr(total, kind) <= LIMITS[kind] * getattr(board.resources, kind)
                                                for kind in KINDS)]
    same = [board for board in fitting if board.family == family]
    return (same or fitting or boards[-1:])[0]
