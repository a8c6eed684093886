"""A sweep from plan to points: networks first, then cycles, resources and quality, then RTL for the chosen few."""

from __future__ import annotations

import dataclasses
import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from boards.board import Board
from boards.catalog import load_board
from flows.cache import cached, file_hash, source_hash
from flows.contracts.errors import ConfigError
from flows.contracts.images import open_images
from flows.resources.model import COEFFICIENTS
from flows.runs import stamp
from flows.sweep import pareto
from flows.sweep.engine import Engine, Job
from flows.sweep.judge import Case, JudgeTask, judge
from flows.sweep.kept import Work, carry_out, kept
from flows.sweep.network import NetworkSpec, facts_of
from flows.sweep.plan import Plan
from flows.sweep.quality import ScoreTask, score
from flows.sweep.rtl import SimulationTask, measured, simulate

Report = Callable[[str, float], None]
"""Called with the name of a stage and the finished share of it."""

HERE = Path(__file__).parent
SOURCES = {"facts": (("algo", "flows/contracts"), ("network.py",)),
           "judge": (("flows/compile", "flows/contracts", "flows/resources", "flows/search", "boards"), ("judge.py",)),
           "score": (("sim/golden", "flows/contracts", "hls_models"), ("quality.py",)),
           "rtl": (("rtl", "sim", "flows/compile", "flows/contracts"), ())}
"""What the results of each kind of job depend on beside their task: folders of the project, files of this one."""


@dataclass(frozen=True)
class Pair:
    """A network on a case."""

    network: NetworkSpec
    case: Case


Known = Mapping[NetworkSpec, tuple[dict[str, Any], dict[str, Any]]]
"""Facts and quality by network."""


@dataclass
class Tally:
    """Results taken from the cache, and those that were computed."""

    cached: int = 0
    computed: int = 0


@dataclass(frozen=True)
class Sweep:
    """What a sweep works with.

    Attributes
    ----------
    plan : what to look at
    engine : where jobs run
    report : called with progress
    tally : counts results
    """

    plan: Plan
    engine: Engine
    report: Report
    tally: Tally = field(default_factory=Tally)

    def results(self, stage: str, kind: str, job: Job, works: Sequence[Work]) -> list[list[Any]]:
        """Results of all works in order; what is kept from before is not computed again."""
        self.report(stage, 0.0)
        open_works = [work for work in works if any(kept(file) is None for file in work.files)]
        computed = carry_out(self.engine, job, open_works, lambda share: self.report(stage, share))
        self.tally.computed += computed
        self.tally.cached += sum(len(work.files) for work in works) - computed
        self.report(stage, 1.0)
        return [[kept(file) for file in work.files] for work in works]


def sweep(plan: Plan, engine: Engine, report: Report | None = None) -> dict[str, Any]:
    """Look at every point of a plan.

    Parameters
    ----------
    plan : what to look at
    engine : where jobs run, see :func:`flows.sweep.engine.open_engine`
    report : called with a stage name and the finished share

    Returns
    -------
    dict
        The report, as docs/sweep.md describes it.

    Raises
    ------
    SievitError
        For unusable files and options, and when a simulation fails.
    """
    begin = time.monotonic()
    state = Sweep(plan, engine, report or (lambda stage, share: None))
    specs, boards = plan.specs(), [load_board(name) if name else None for name in dict.fromkeys(plan.boards)]
    for spec in specs:
        spec.check()
    if plan.images is not None:
        open_images(plan.images)  # whether they can be read shows before the long part
    pairs = _chosen(plan, [Pair(spec, Case(tuple(sorted(given.items())), board))
                           for spec in specs for board in boards for given in plan.configurations()])
    known = _known(state, list(dict.fromkeys(pair.network for pair in pairs)))
    left_out, rungs = [], []
    if plan.search.method == "halving":
        rungs.append({"by": "bound", "points": len(pairs)})
        pairs, left_out = _halved(state, pairs, known)
        rungs.append({"by": "model", "points": len(pairs)})
    pairs, points, missing = _points(state, pairs, known, exact=True)
    left_out += missing
    if not points:
        raise ConfigError(f"the sweep has no point: {left_out[0]['why']}")
    pareto.mark(points, pareto.fronts(points))
    points = _simulated(state, pairs, points)
    found = pareto.fronts(points)
    pareto.mark(points, found)
    return {**stamp("sweep"), "grid": json.loads(plan.model_dump_json()), "axes": _axes(points), "fronts": found,
            "points": points, "left_out": left_out, "rungs": rungs, "results_computed": state.tally.computed,
            "results_cached": state.tally.cached, "wall_seconds": time.monotonic() - begin}


def _chosen(plan: Plan, pairs: list[Pair]) -> list[Pair]:
    """All of them, or as many as a search samples, in the order of the grid."""
    count = plan.search.samples
    if count is None or count >= len(pairs):
        return pairs
    drawn = np.random.default_rng(plan.search.seed).choice(len(pairs), count, replace=False)
    return [pairs[index] for index in sorted(drawn.tolist())]


def _known(state: Sweep, networks: Sequence[NetworkSpec]) -> Known:
    """Facts and quality of each network."""
    facts = _facts(state, networks)
    qualities = _scores(state, facts)
    return {spec: (facts[spec], qualities[spec]) for spec in networks}


def _halved(state: Sweep, pairs: Sequence[Pair], known: Known) -> tuple[list[Pair], list[dict[str, Any]]]:
    """The pairs that a bound on the cycles leaves, and the combinations that are no configuration."""
    possible, rough, left_out = _points(state, pairs, known, exact=False)
    count = math.ceil(len(rough) / state.plan.search.eta)
    return [possible[index] for index in _best(rough, count)], left_out


def _points(state: Sweep, pairs: Sequence[Pair], known: Known, *, exact: bool
            ) -> tuple[list[Pair], list[dict[str, Any]], list[dict[str, Any]]]:
    """Pairs that are configurations, their points, and the combinations that are none."""
    figures = _judged(state, pairs, known, exact=exact)
    both = [(pair, entry) for pair, entry in zip(pairs, figures, strict=True) if "left_out" not in entry]
    points = [_point(pair, *known[pair.network], entry) for pair, entry in both]
    return [pair for pair, _ in both], points, _left_out(pairs, figures)


def _best(points: Sequence[Mapping[str, Any]], count: int) -> list[int]:
    """Indices of the best points in latency, quality and resources, in order: those that few dominate, and of the last
    rank an even choice by latency. What does not fit comes last."""
    values = [(0.0 if point["fits"] else 1.0, point["milliseconds"], -(pareto.quality(dict(point)) or 0.0),
               pareto.area(dict(point))) for point in points]
    ranks = pareto.ranks(values)
    chosen: list[int] = []
    for level in range(max(ranks, default=-1) + 1):
        members = sorted((index for index, rank in enumerate(ranks) if rank == level), key=lambda index: values[index])
        chosen += pareto.spread(members, min(count - len(chosen), len(members)))
    return sorted(chosen)


def _facts(state: Sweep, networks: Sequence[NetworkSpec]) -> dict[NetworkSpec, dict[str, Any]]:
    works = [Work(spec, (_file("facts", spec.key()),)) for spec in networks]
    results = state.results("networks", "facts", _facts_job, works)
    return {spec: values[0] for spec, values in zip(networks, results, strict=True)}


def _facts_job(spec: NetworkSpec) -> list[dict[str, Any]]:
    return [facts_of(spec)]


def _scores(state: Sweep, facts: Mapping[NetworkSpec, Mapping[str, Any]]) -> dict[NetworkSpec, dict[str, Any]]:
    plan = state.plan
    images = None if plan.images is None else file_hash(plan.images) if plan.images.exists() else str(plan.images)
    works = []
    for spec, known in facts.items():
        labelled = plan.images is not None and not known["synthetic"]
        task = ScoreTask(spec, plan.images, plan.score, plan.engine) if labelled else ScoreTask(spec)
        key = [known["artifact_hash"], spec.reference.key(), spec.reference.label,
               [images, plan.score, plan.engine] if labelled else None]
        works.append(Work(task, (_file("score", key),)))
    results = state.results("quality", "score", _score_job, works)
    return {spec: values[0] for spec, values in zip(facts, results, strict=True)}


def _score_job(task: ScoreTask) -> list[dict[str, Any]]:
    return [score(task)]


def _judged(state: Sweep, pairs: Sequence[Pair], known: Known, *, exact: bool) -> list[dict[str, Any]]:
    """Figures of each pair; pairs with the same network and program are one job."""
    limits = tuple(sorted(state.plan.limits.items()))
    files = [_file("judge", [known[pair.network][0]["artifact_hash"], pair.case.hardware, _board_key(pair.case.board),
                             limits, exact]) for pair in pairs]
    groups: dict[tuple[Any, ...], list[int]] = {}
    for index, pair in enumerate(pairs):
        if kept(files[index]) is None:
            groups.setdefault((pair.network, pair.case.program_key()), []).append(index)
    works = [Work(JudgeTask(network, tuple(pairs[index].case for index in members), limits, exact),
                  tuple(files[index] for index in members)) for (network, _), members in groups.items()]
    state.tally.cached += len(pairs) - sum(map(len, groups.values()))
    state.results("cycle model" if exact else "bounds", "judge", judge, works)
    return [kept(file) for file in files]


def _simulated(state: Sweep, pairs: Sequence[Pair], points: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The points with the best of the Pareto set, evenly spread over it, measured in RTL."""
    front = sorted((index for index, point in enumerate(points) if point["pareto"]),
                   key=lambda index: points[index]["milliseconds"])
    chosen = pareto.spread(front, state.plan.simulate)
    if not chosen:
        return points
    works = []
    for index in chosen:
        hardware = tuple(sorted(points[index]["hardware"].items()))
        task = SimulationTask(pairs[index].network, hardware, pairs[index].case.board)
        key = [points[index]["artifact_hash"], hardware, dataclasses.asdict(task.options().memory)]
        works.append(Work(task, (_file("rtl", key),)))
    results = state.results("simulate", "rtl", simulate, works)
    for index, values in zip(chosen, results, strict=True):
        points[index] = measured(points[index], values[0])
    return points


def _point(pair: Pair, facts: Mapping[str, Any], quality: Mapping[str, Any], figures: Mapping[str, Any]
           ) -> dict[str, Any]:
    return {"network": pair.network.label, "origin": pair.network.origin, **{name: facts[name] for name in (
                "model", "weights", "synthetic", "keep_blocks", "keep_tokens", "tokens", "weight_bytes")},
            "artifact_hash": facts["artifact_hash"][:16], "board": pair.case.board.name if pair.case.board else None,
            **figures, **quality, "source": "model", "pareto": False}


def _left_out(pairs: Sequence[Pair], figures: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Combinations that are no configuration."""
    return [{"network": pair.network.label, "board": pair.case.board.name if pair.case.board else None,
             "hardware": dict(pair.case.hardware), "why": entry["left_out"]}
            for pair, entry in zip(pairs, figures, strict=True) if "left_out" in entry]


def _axes(points: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Values that occur, by key, in the order of the points; and what quality means."""
    names = ("network", "model", "keep_blocks", "keep_tokens", "board", "clusters", "groups", "clock_mhz")
    return {**{name: list(dict.fromkeys(point[name] for point in points)) for name in names},
            "quality": pareto.quality_axis([dict(point) for point in points])}


def _board_key(board: Board | None) -> Any:
    return None if board is None else dataclasses.asdict(board)


def _file(kind: str, key: object) -> Path:
    """Where a result is kept; ``key`` may hold tuples."""
    folders, files = SOURCES[kind]
    sources = [source_hash(*folders), *(file_hash(HERE / name) for name in files)]
    sources += [file_hash(COEFFICIENTS)] if kind == "judge" else []
    return cached(f"sweep-{kind}", json.loads(json.dumps({"key": key, "sources": sources})), ".json")
