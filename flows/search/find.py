"""Search for the configuration of a network on a board: resources first, then a bound on the cycles, then the compiler.

Thousands of configurations are enumerated (:mod:`.space`) and held against the limits, die by die (:mod:`.limits`).
Those that fit are taken in the order of their largest share of a resource. Compiling takes seconds, so one is compiled
only when its bound (:mod:`.cycles`) leaves it the chance to be noticeably faster than all cheaper ones.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from boards.board import Board
from flows.contracts.artifact import SparseVit
from flows.contracts.errors import ConfigError
from flows.contracts.hardware import HardwareConfig
from flows.contracts.resources import Resources
from flows.search import reasons
from flows.search.cycles import CycleModel
from flows.search.limits import Parts, Placement, Shortage, limits_with, place
from flows.search.result import Point, SearchResult, pareto_set
from flows.search.space import bytes_per_cycle, configurations

STEP, COARSE = 0.08, 0.25
"""A configuration is looked at when its bound is lower by this share than the best of the cheaper ones: the second
where the goal is still far, twice the fastest or the target, or has been reached."""
NEAR = 0.03
"""Configurations slower than the fastest by this share count as equally fast: the smallest of them is chosen."""
LAST = 4
"""Further configurations looked at in the end, that may be faster than the fastest found."""

Report = Callable[[str, float], None]
PartsOf = Callable[[HardwareConfig, str], Parts]


@dataclass(frozen=True)
class Candidate:
    """A configuration that fits, before it is compiled."""

    config: HardwareConfig
    placement: Placement
    parts: Parts
    bound: int

    @property
    def share(self) -> float:
        """Largest share of a resource on a die."""
        return self.placement.largest[0]


def search(artifact: SparseVit, board: Board, *, latency_ms: float | None = None,
           limits: Mapping[str, float] | None = None, fixed: Mapping[str, Any] | None = None,
           parts_of: PartsOf | None = None, report: Report | None = None) -> SearchResult:
    """Find the configuration to build for a network on a board.

    Without a target that is the smallest of those not noticeably slower than the fastest; with a target the smallest
    that reaches it.

    Parameters
    ----------
    artifact : the network
    board : resources, memory and clock target
    latency_ms : time of one image to reach
    limits : share of a resource by kind, beside those of :data:`flows.search.limits.LIMITS`
    fixed : fields of :class:`HardwareConfig` that are given
    parts_of : resources of a configuration on a family; by default the analytical model of :mod:`flows.resources`
    report : called with a stage and the finished share of it

    Returns
    -------
    SearchResult
        Also when nothing fits: ``choice`` is None then, and ``reasons`` say why.

    Raises
    ------
    ConfigError
        For impossible limits, targets or fixed fields, and for networks the hardware cannot hold at all.
    """
    if latency_ms is not None and not latency_ms > 0:
        raise ConfigError(f"--latency-ms must be above 0, not {latency_ms:g}")
    allowed, show = limits_with(limits or {}), report or (lambda stage, share: None)
    model = CycleModel(artifact, bytes_per_cycle(board))
    space = _Space(artifact, board, allowed, dict(fixed or {}), parts_of or model_parts, model, show)
    goal = None if latency_ms is None else latency_ms * board.clock_mhz * 1000
    points = _evaluate(space.fitting, model, goal, show)
    front = pareto_set(points)
    choice = _choose(front, latency_ms)
    lines = reasons.of_choice(choice, front, space.dropped, board, latency_ms) if choice else \
        reasons.of_failure(front, space.dropped, board, latency_ms)
    return SearchResult(board, artifact.model, allowed, latency_ms, choice, tuple(lines), front, space.considered,
                        len(space.fitting), len(points))


def model_parts(config: HardwareConfig, family: str) -> Parts:
    """Resources by the analytical model."""
    from flows.resources.model import shares_of

    shared, groups = Resources(), Resources()
    for unit, amount in shares_of(config, family).items():
        if unit.startswith("group."):
            groups += amount
        else:
            shared += amount
    return Parts(shared, groups * (1 / config.groups), config.groups)


class _Space:
    """Configurations that fit, cheapest first, and those dropped with what they lack."""

    def __init__(self, artifact: SparseVit, board: Board, limits: Mapping[str, float], fixed: Mapping[str, Any],
                 parts_of: PartsOf, model: CycleModel, show: Report) -> None:
        self.fitting: list[Candidate] = []
        self.dropped: list[tuple[HardwareConfig, Shortage, int]] = []
        configs = list(configurations(artifact, board, fixed))
        self.considered = len(configs)
        self.board, self.limits, self.parts_of, self.model = board, limits, parts_of, model
        for number, config in enumerate(configs):
            if number % 64 == 0:
                show("resources", number / len(configs))
            self._take(config, "crossings" in fixed)
        if not self.fitting:
            for config in self._small(artifact, fixed):
                self._take(config, "crossings" in fixed)
        show("resources", 1.0)
        self.fitting.sort(key=lambda item: (item.share, item.bound, tuple(item.config.to_dict().items())))

    def _small(self, artifact: SparseVit, fixed: Mapping[str, Any]) -> list[HardwareConfig]:
        """Small configurations, for a board on which no other fits; none, when a fixed field rules them out."""
        try:
            configs = list(configurations(artifact, self.board, fixed, small=True))
        except ConfigError:
            return []
        self.considered += len(configs)
        return configs

    def _take(self, config: HardwareConfig, crossings_given: bool) -> None:
        config, parts, found = settle(config, self.board, self.limits, self.parts_of, crossings_given=crossings_given)
        if isinstance(found, Shortage):
            self.dropped.append((config, found, self.model.bound(config)))
        else:
            self.fitting.append(Candidate(config, found, parts, self.model.bound(config)))


def settle(config: HardwareConfig, board: Board, limits: Mapping[str, float], parts_of: PartsOf = model_parts, *,
           crossings_given: bool = False) -> tuple[HardwareConfig, Parts, Placement | Shortage]:
    """Place the parts of a configuration. Groups on other dies need a register stage for every border on the way, which
    takes a few resources itself.

    Parameters
    ----------
    config : sizes
    board, limits : what there is, and the shares of it that may be used
    parts_of : resources of a configuration on a family
    crossings_given : leave ``config.crossings`` as it is

    Returns
    -------
    The configuration with the register stages it needs, its parts, and the placement or what is missing.
    """
    while True:
        parts = parts_of(config, board.family)
        found = place(parts, board.slrs, limits)
        if isinstance(found, Shortage) or crossings_given or found.reach <= config.crossings:
            return config, parts, found
        config = config.replace(crossings=found.reach)


def _evaluate(candidates: list[Candidate], model: CycleModel, goal: float | None, show: Report) -> list[Point]:
    """Points of the candidates that are worth to be compiled; ``goal`` is a number of cycles."""
    points: list[Point] = []
    seen: set[HardwareConfig] = set()
    over: dict[tuple[int, int, int], float] = {}
    best, fastest = float("inf"), min((item.bound for item in candidates), default=0)

    def likely(item: Candidate) -> float:
        """The bound, and what another configuration of the same array was above its own."""
        return item.bound * over.get(_array(item.config), 1.0)

    def look(item: Candidate) -> int:
        cycles, array = model.cycles(item.config), _array(item.config)
        seen.add(item.config)
        points.append(Point(item.config, cycles, model.memory_cycles(item.config), item.parts.total, item.placement))
        over[array] = min(over.get(array, float("inf")), cycles / item.bound)
        return cycles

    first = max((item.bound for item in candidates[:1]), default=1)
    for item in candidates:
        if likely(item) < (1 - _step(best, goal, fastest)) * best:
            show("compile", _progress(first, min(best, first), fastest))
            best = min(best, look(item))
    for number in range(LAST):
        show("compile", 0.9 + 0.1 * number / LAST)
        rest = [item for item in candidates if item.config not in seen and likely(item) < best]
        if not rest or (goal is not None and best <= goal):
            break
        best = min(best, look(min(rest, key=lambda item: (likely(item), item.share))))
    show("compile", 1.0)
    return points


def _array(config: HardwareConfig) -> tuple[int, int, int]:
    return config.clusters, config.groups, config.row_cycles


def _step(best: float, goal: float | None, fastest: int) -> float:
    near = fastest if goal is None else max(goal, fastest)
    reached = goal is not None and best <= goal
    return COARSE if best > 2 * near or reached else STEP


def _progress(first: float, best: float, last: float) -> float:
    return 0.9 * (first - best) / (first - last) if first > last else 0.9


def _choose(front: tuple[Point, ...], latency_ms: float | None) -> Point | None:
    if not front:
        return None
    enough = latency_ms if latency_ms is not None else (1 + NEAR) * front[-1].milliseconds
    return next((point for point in front if point.milliseconds <= enough), None)
