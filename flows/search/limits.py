"""Shares of a board's resources that a design may take, and the dies its parts go to."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from flows.contracts.errors import ConfigError
from flows.contracts.resources import KINDS, Resources

LIMITS = {"lut": 0.7, "ff": 0.5, "dsp": 0.8, "bram36": 0.8, "uram": 0.8}
"""Shares above which routing fails or timing suffers: ``DEFAULT_RES_LIMITS`` of FINN's platforms."""


@dataclass(frozen=True)
class Parts:
    """Resources of an accelerator by what may lie on different dies.

    Attributes
    ----------
    shared : everything but the token groups: stays together
    group : one token group
    groups : how many of them
    """

    shared: Resources
    group: Resources
    groups: int

    @property
    def total(self) -> Resources:
        """The whole accelerator."""
        return self.shared + self.groups * self.group


@dataclass(frozen=True)
class Placement:
    """Dies of the parts.

    Attributes
    ----------
    groups : token groups on each die
    shared : index of the die with the shared part
    shares : share of each die by kind
    """

    groups: tuple[int, ...]
    shared: int
    shares: tuple[dict[str, float], ...]

    @property
    def largest(self) -> tuple[float, str]:
        """Largest share of any die, and its kind; of equal shares the first kind."""
        return max(((share, kind) for shares in self.shares for kind, share in shares.items()),
                   key=lambda item: (item[0], -KINDS.index(item[1])))

    @property
    def dies(self) -> int:
        """Dies in use."""
        return sum(bool(count) or index == self.shared for index, count in enumerate(self.groups))

    @property
    def reach(self) -> int:
        """Borders between dies from the shared part to the farthest group."""
        return max(abs(index - self.shared) for index, count in enumerate(self.groups) if count)

    def share(self, kind: str) -> float:
        """Largest share of that kind on any die."""
        return max(shares[kind] for shares in self.shares)


@dataclass(frozen=True)
class Shortage:
    """Why a design does not fit: the resource that is exceeded most, measured by its limit.

    Attributes
    ----------
    kind : of resource
    needed : by the whole design
    available : on the whole board
    share : ``needed / available``
    limit : share allowed
    dies : whether all would do in total, and only the parts do not fit the dies
    also : the other kinds that are exceeded
    """

    kind: str
    needed: float
    available: float
    limit: float
    dies: bool = False
    also: tuple[Shortage, ...] = ()

    @property
    def share(self) -> float:
        """What would be needed of the board."""
        return self.needed / self.available if self.available else float("inf")

    @property
    def excess(self) -> float:
        """How many times the limit is needed."""
        return self.share / self.limit

    def __str__(self) -> str:
        amount = f"{self.needed:,.0f} {NAMES[self.kind]} of {self.available:,.0f}"
        if self.dies:
            return (f"{amount} ({self.share:.0%}, limit {self.limit:.0%}), which fits in total, but its parts do not "
                    "fit single dies")
        over = self.needed - self.limit * self.available
        text = f"{amount} ({_percent(self.share)}, limit {self.limit:.0%}), {over:,.0f} too many"
        others = [f"{_percent(other.share)} of the {NAMES[other.kind]}" for other in self.also]
        return f"{text}, and {', '.join(others)}" if others else text


NAMES = {"lut": "LUTs", "ff": "flip-flops", "dsp": "DSP slices", "bram36": "block RAMs", "uram": "UltraRAMs"}


def _percent(share: float) -> str:
    return "there are none" if share == float("inf") else f"{share:.0%}"


def limits_with(changes: Mapping[str, float]) -> dict[str, float]:
    """The default limits with changes.

    Raises
    ------
    ConfigError
        For an unknown kind, or a share outside 0 to 1.
    """
    limits = dict(LIMITS)
    for kind, share in changes.items():
        if kind not in LIMITS:
            raise ConfigError(f"--limit {kind}: unknown resource; resources: {', '.join(KINDS)}")
        if not 0 < share <= 1:
            raise ConfigError(f"--limit {kind} must be above 0 and at most 1, not {share:g}")
        limits[kind] = share
    return limits


def parse_limits(items: Sequence[str] | None) -> dict[str, float]:
    """``["lut=.6", "dsp=.9"]`` as all limits; see :func:`limits_with` for errors."""
    changes: dict[str, float] = {}
    for item in items or ():
        match = re.fullmatch(r"(\w+)=(\d*\.?\d+)", item)
        if match is None:
            raise ConfigError(f"--limit {item}: write resource=share, as lut=.6")
        changes[match[1]] = float(match[2])
    return limits_with(changes)


def place(parts: Parts, dies: Sequence[Resources], limits: Mapping[str, float],
          homes: Sequence[int] | None = None) -> Placement | Shortage:
    """Put the shared part on one die and the groups on as few as hold them, neighbours of it, evenly filled.

    Parameters
    ----------
    homes : dies that the shared part may lie on; all by default

    Returns
    -------
    The placement, or what is missing.
    """
    whole = sum(dies, Resources())
    allowed = [Resources(*(limits[kind] * getattr(die, kind) for kind in KINDS)) for die in dies]
    tried = range(len(dies)) if homes is None else homes
    found = [placement for home in tried if (placement := _place_at(home, parts, dies, allowed)) is not None]
    if found:
        return min(found, key=lambda item: (item.dies, item.reach, item.largest[0], item.shared))
    total = parts.total
    uses = [Shortage(kind, getattr(total, kind), getattr(whole, kind), limits[kind]) for kind in KINDS
            if getattr(total, kind)]
    worst, *others = sorted(uses, key=lambda shortage: -shortage.excess)
    return replace(worst, dies=worst.excess <= 1, also=tuple(other for other in others if other.excess > 1))


def _place_at(home: int, parts: Parts, dies: Sequence[Resources], allowed: Sequence[Resources]) -> Placement | None:
    """With the shared part on die ``home``: the smallest run of neighbouring dies around it that has room."""
    room = [_fitting(parts, allowed[index], shared=index == home) for index in range(len(dies))]
    if room[home] < 0:
        return None
    runs = [range(first, last + 1) for first in range(home + 1) for last in range(home, len(dies))]
    runs = [run for run in runs if sum(room[index] for index in run) >= parts.groups]
    if not runs:
        return None
    placements = []
    for run in (run for run in runs if len(run) == min(map(len, runs))):
        groups = _spread(home, run, room, parts, dies)
        placements.append(Placement(groups, home, tuple(
            _used(parts, groups[index], shared=index == home).share(dies[index]) for index in range(len(dies)))))
    return min(placements, key=lambda placement: placement.largest[0])


def _fitting(parts: Parts, allowed: Resources, *, shared: bool) -> int:
    """Most groups that a die holds, -1 when not even the shared part fits."""
    most = parts.groups
    for kind in KINDS:
        left = getattr(allowed, kind) - (getattr(parts.shared, kind) if shared else 0)
        each = getattr(parts.group, kind)
        if left < 0:
            return -1
        if each:
            most = min(most, int(left / each + 1e-9))
    return most


def _spread(home: int, run: range, room: Sequence[int], parts: Parts, dies: Sequence[Resources]) -> tuple[int, ...]:
    """Groups by die: each goes where the largest share grows to the least."""
    counts = [0] * len(dies)
    for _ in range(parts.groups):
        open_dies = [index for index in run if counts[index] < room[index]]
        best = min(open_dies, key=lambda index: (
            max(_used(parts, counts[index] + 1, shared=index == home).share(dies[index]).values()), abs(index - home),
            index))
        counts[best] += 1
    return tuple(counts)


def _used(parts: Parts, groups: int, *, shared: bool) -> Resources:
    return groups * parts.group + (parts.shared if shared else Resources())
