"""Schedules are legal, deterministic, and close to the lower bound."""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flows.compile.lower_bound import slots_bound, start_delay, step_cycles_bound
from flows.compile.schedule import Job, Problem, Schedule, schedule
from flows.compile.sequence import sequence
from flows.contracts.hardware import HardwareConfig


def random_jobs(columns: int, sources: int, keep: float, seed: int) -> tuple[Job, ...]:
    """A random mask with exactly ``keep`` of the blocks."""
    rng = random.Random(seed)
    kept: list[list[int]] = [[] for _ in range(columns)]
    for cell in rng.sample(range(columns * sources), round(columns * sources * keep)):
        kept[cell // sources].append(cell % sources)
    return tuple(Job(tuple(sorted(column)) or (0,)) for column in kept)


def check_legal(problem: Problem, placed: Schedule) -> None:
    """All rules, from the definition."""
    open_job = [-1] * problem.clusters
    rest = [set(job.sources) for job in problem.jobs]
    for slot in range(placed.slots):
        jobs, sources = placed.job[slot], placed.source[slot]
        active = [c for c in range(problem.clusters) if jobs[c] >= 0]
        assert active, "empty slot"
        distinct = {int(sources[c]) for c in active}
        assert len({source % problem.banks for source in distinct}) == len(distinct), "bank conflict"
        if problem.columns_per_slot:
            assert max(distinct) // problem.columns_per_slot <= slot + placed.waits, "source column is not there yet"
        for c in range(problem.clusters):
            if jobs[c] < 0:
                assert sources[c] == -1
                continue
            assert open_job[c] in (-1, jobs[c]), "column interrupted"
            rest[jobs[c]].remove(int(sources[c]))
            done = not rest[jobs[c]]
            assert done == (placed.drain[slot] == c), "drains exactly with the last block"
            if done and problem.jobs[jobs[c]].last is not None:
                assert sources[c] == problem.jobs[jobs[c]].last
            open_job[c] = -1 if done else int(jobs[c])
    assert not any(rest)
    assert placed.length >= problem.lower_bound()


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_schedules_are_legal(data: st.DataObject) -> None:
    """Any mask, any hardware."""
    sources = data.draw(st.integers(1, 40))
    masks = data.draw(st.lists(st.sets(st.integers(0, sources - 1), min_size=1), min_size=1, max_size=40))
    pinned = data.draw(st.booleans())
    jobs = tuple(Job(tuple(sorted(mask)), min(mask) if pinned else None) for mask in masks)
    problem = Problem(jobs, data.draw(st.integers(1, 16)), data.draw(st.sampled_from((2, 4, 8, 16))), 1,
                      data.draw(st.sampled_from((0, 0, 1, 2))) if not pinned else 0, data.draw(st.integers(0, 12)))
    placed = schedule(problem)
    check_legal(problem, placed)
    schedule.cache_clear()
    again = schedule(problem)
    assert all(np.array_equal(getattr(placed, part), getattr(again, part)) for part in ("job", "source", "drain"))


LAYERS = {"qkv": (3, 1, 1), "proj": (1, 1, 0), "fc1": (4, 1, 1), "fc2": (1, 4, 0)}


@pytest.mark.parametrize(("width", "clusters"), [(192, 4), (384, 4), (384, 8), (768, 8)])
@pytest.mark.parametrize("keep", [1.0, 0.7, 0.5, 0.3])
def test_quality(width: int, clusters: int, keep: float) -> None:
    """Slots over lower bound: within 3 % in every layer, 1 % in all of them together."""
    total = bound = 0
    for seed, (name, (rows, cols, per_slot)) in enumerate(LAYERS.items()):
        jobs = random_jobs(rows * width // 16, cols * width // 16, keep, seed)
        problem = Problem(jobs, clusters, 8, 1, per_slot)
        placed = schedule(problem)
        check_legal(problem, placed)
        assert placed.length <= 1.03 * problem.lower_bound(), name
        total, bound = total + placed.length, bound + problem.lower_bound()
    assert total <= 1.01 * bound


@pytest.mark.parametrize(("heads", "key_blocks", "clusters"),
                         [(3, 13, 4), (6, 13, 4), (3, 9, 4), (12, 13, 8), (3, 5, 2)])
def test_attention_quality(heads: int, key_blocks: int, clusters: int) -> None:
    """Scores and context are regular: the bound is met within 5 %."""
    score = tuple(Job(tuple(range(4 * head, 4 * head + 4))) for head in range(heads) for _ in range(key_blocks))
    context = tuple(Job(tuple(range(16 * head, 16 * head + key_blocks)), 16 * head)
                    for head in range(heads) for _ in range(4))
    for jobs in (score, context):
        problem = Problem(jobs, clusters, 8)
        placed = schedule(problem)
        check_legal(problem, placed)
        assert placed.length <= 1.05 * problem.lower_bound()


def test_first_drain_is_late_where_it_must_wait() -> None:
    """A step that drops tokens drains late if that costs no slot."""
    jobs = random_jobs(12, 12, 0.5, 3)
    early, late = schedule(Problem(jobs, 4, 8)), schedule(Problem(jobs, 4, 8, first_drain=7))
    first = [int(np.flatnonzero(placed.drain >= 0)[0]) for placed in (early, late)]
    assert late.length <= early.length + 1
    assert first[1] >= min(7, first[0])


def brute_force(lengths: Sequence[int], delays: Sequence[int], clusters: int) -> int:
    """Fewest slots without banks: every assignment, order and idle time, by deepening."""
    def fits(slots: int) -> bool:
        def place(rest: tuple[tuple[int, int], ...], free: tuple[int, ...], ends: frozenset[int]) -> bool:
            if not rest:
                return True
            for index, (length, delay) in enumerate(rest):
                for cluster, begin in enumerate(free):
                    for end in range(max(begin, delay) + length - 1, slots):
                        if end not in ends and place(rest[:index] + rest[index + 1:], (
                                *free[:cluster], end + 1, *free[cluster + 1:]), ends | {end}):
                            return True
            return False
        return place(tuple(zip(lengths, delays, strict=True)), (0,) * clusters, frozenset())
    return next(slots for slots in itertools.count(1) if fits(slots))


@pytest.mark.parametrize("seed", range(25))
def test_bound_against_brute_force(seed: int) -> None:
    """The bound never exceeds the optimum; the sequencer reaches the optimum of these small cases."""
    rng = random.Random(seed)
    clusters, columns = rng.randint(1, 4), rng.randint(1, 4)
    lengths = [rng.randint(1, 4) for _ in range(columns)]
    delays = [rng.choice((0, 0, 1, 3)) if seed % 2 else 0 for _ in range(columns)]
    best = brute_force(lengths, delays, clusters)
    assert slots_bound(lengths, delays, clusters) <= best
    runs = [sequence(lengths, delays, clusters, 1, attempt) for attempt in range(40)]
    assert min(max(run.finish for run in found) + 1 for found in runs) == best


def test_bounds_by_hand() -> None:
    """Each argument of the bound on its own."""
    assert slots_bound([12] * 12, [0] * 12, 4) == 39           # three columns each, ends one slot apart
    assert slots_bound([1] * 10, [0] * 10, 16) == 10           # one drain a slot
    assert slots_bound([50, 1], [0, 0], 4) == 50               # longest column
    assert slots_bound([4, 4], [6, 3], 2) == 10                # source columns come late
    assert slots_bound([1, 1, 1], [5, 5, 5], 4) == 8           # and then one drain a slot
    assert slots_bound([10] * 6, [0] * 6, 4) == 21             # two clusters have two columns each
    assert slots_bound([], [], 4) == 0
    assert start_delay((0, 3, 4), 1) == 2 and start_delay((0, 1, 2), 1) == 0 and start_delay((9,), 0) == 0
    assert start_delay((0, 5), 2) == 1
    narrow, wide = HardwareConfig(), HardwareConfig(stream_bits=512)
    assert step_cycles_bound(10, 100, 20, 5, narrow) == 1000
    assert step_cycles_bound(10, 1, 20, 5, narrow) == 175 and step_cycles_bound(10, 1, 20, 5, wide) == 90
