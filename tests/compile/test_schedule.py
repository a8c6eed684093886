"""Schedules are legal, deterministic, and close to the lower bound."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator, Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flows.compile import split_sequence
from flows.compile.lower_bound import earliest_end, slots_bound, split_bound, start_delay, step_cycles_bound
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
    ended: set[int] = set()
    rest = [set(job.sources) for job in problem.jobs]
    for slot in range(placed.slots):
        jobs, sources = placed.job[slot], placed.source[slot]
        active = [c for c in range(problem.clusters) if jobs[c] >= 0]
        assert active, "empty slot"
        distinct = {int(sources[c]) for c in active}
        assert len({source % problem.banks for source in distinct}) == len(distinct), "bank conflict"
        if problem.columns_per_slot:
            assert max(distinct) // problem.columns_per_slot <= slot + placed.waits, "source column is not there yet"
        drain, merge = int(placed.drain[slot]), int(placed.merge[slot])
        assert merge < 0 or (problem.split and merge != drain >= 0 and jobs[drain] == jobs[merge] >= 0)
        ending = {c for c in (drain, merge) if c >= 0}
        for c in range(problem.clusters):
            if jobs[c] < 0:
                assert sources[c] == -1
                continue
            assert open_job[c] in (-1, jobs[c]), "column interrupted"
            assert jobs[c] not in ended, "a column goes on after its end"
            rest[jobs[c]].remove(int(sources[c]))  # raises when a block is done twice
            open_job[c] = -1 if c in ending else int(jobs[c])
        if drain >= 0:
            assert jobs[drain] >= 0, "an idle cluster drains"
            job = int(jobs[drain])
            assert not rest[job] and job not in open_job, "drains exactly with the last blocks of all clusters"
            ended.add(job)
            if problem.jobs[job].last is not None:
                assert merge < 0 and sources[drain] == problem.jobs[job].last
    assert not any(rest) and len(ended) == len(problem.jobs)
    assert all(job < 0 for job in open_job)
    assert placed.length >= problem.lower_bound()


@pytest.fixture(name="little_effort", scope="module")
def fixture_little_effort() -> Iterator[None]:
    """Legal schedules need no good ones."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(split_sequence, "MOST_IF_FEW", 1000)
        patch.setattr(split_sequence, "MOST_DECISIONS", 1000)
        patch.setattr(split_sequence, "MORE_DECISIONS", 1000)
        patch.setattr(split_sequence, "CONSTRUCTIONS", 20)
        yield
    schedule.cache_clear()


@pytest.mark.usefixtures("little_effort")
@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_schedules_are_legal(data: st.DataObject) -> None:
    """Any mask, any hardware, with and without columns on two clusters."""
    sources = data.draw(st.integers(1, 40))
    masks = data.draw(st.lists(st.sets(st.integers(0, sources - 1), min_size=1), min_size=1, max_size=40))
    pinned = data.draw(st.booleans())
    jobs = tuple(Job(tuple(sorted(mask)), min(mask) if pinned else None) for mask in masks)
    problem = Problem(jobs, data.draw(st.integers(1, 16)), data.draw(st.sampled_from((2, 4, 8, 16))), 1,
                      data.draw(st.sampled_from((0, 0, 1, 2))) if not pinned else 0,
                      data.draw(st.integers(0, 12)), data.draw(st.booleans()))
    placed = schedule(problem)
    check_legal(problem, placed)
    schedule.cache_clear()
    again = schedule(problem)
    assert all(np.array_equal(getattr(placed, part), getattr(again, part))
               for part in ("job", "source", "drain", "merge"))


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
    assert late.slots <= early.slots + 1 and late.drain_waits == max(0, 7 - first[1])
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


Rest = tuple[tuple[int, ...] | None, ...]
"""Per column, when the source columns of the blocks left appear; None once it has drained."""
Held = tuple[tuple[int, int], ...]
"""Columns under way, and the clusters they occupy until they drain, 1 or 2."""


def occupations(rest: Rest, held: Held, clusters: int) -> Iterator[list[tuple[int, int]]]:
    """Columns and their clusters in a slot: those under way, a second cluster for some, and new ones."""
    waiting = [job for job, column in enumerate(rest) if column is not None and job not in dict(held)]
    for counts in itertools.product((0, 1, 2), repeat=len(waiting)):
        for joins in itertools.product((0, 1), repeat=len(held)):
            now = [(job, count + more) for (job, count), more in zip(held, joins, strict=True)]
            now += [(job, count) for job, count in zip(waiting, counts, strict=True) if count]
            if all(count <= 2 for _, count in now) and sum(count for _, count in now) <= clusters:
                yield now


def after_slot(rest: Rest, now: list[tuple[int, int]], blocks: tuple[int, ...], slot: int) -> tuple[Rest, Held] | None:
    """Do so many blocks of each column, a column drains with its last ones; None if that is no legal slot."""
    left, done = list(rest), []
    for (job, count), number in zip(now, blocks, strict=True):
        column = left[job] or ()
        if number > len(column) or any(release > slot for release in column[:number]):
            return None
        left[job] = column[number:]
        if not left[job]:
            if number < count:  # a cluster has nothing to do in the slot of the drain
                return None
            left[job] = None
            done.append(job)
    if len(done) > 1:
        return None
    return tuple(left), tuple(sorted((job, count) for job, count in now if job not in done))


def split_brute_force(releases: Sequence[Sequence[int]], clusters: int) -> int:
    """Fewest slots with columns on one cluster or two, without banks: every choice in every slot."""
    states: set[tuple[Rest, Held]] = {(tuple(tuple(sorted(column)) for column in releases), ())}
    for slot in itertools.count():
        if any(all(column is None for column in rest) for rest, _ in states):
            return slot
        states = {state for rest, held in states for now in occupations(rest, held, clusters)
                  for blocks in itertools.product(*(range(count + 1) for _, count in now))
                  if (state := after_slot(rest, now, blocks, slot)) is not None}
    raise AssertionError


@pytest.mark.parametrize("seed", range(24))
def test_split_bound_against_brute_force(seed: int) -> None:
    """The bound never exceeds the optimum, and schedules of small steps reach it nearly always."""
    rng = random.Random(seed)
    clusters, per_slot = rng.randint(2, 4), seed % 3
    masks = [sorted(rng.sample(range(4), rng.randint(1, 4))) for _ in range(rng.randint(1, 3))]
    problem = Problem(tuple(Job(tuple(mask)) for mask in masks), clusters, 4, 1, per_slot, 0, True)
    best = split_brute_force([problem.releases(job) for job in problem.jobs], clusters)
    assert problem.lower_bound() <= best <= schedule(problem).length <= best + (per_slot > 0)


def test_split_bounds_by_hand() -> None:
    """Each argument of the bound with divided columns on its own."""
    assert split_bound([[0] * 12] * 12, 4) == 37               # 144 blocks, two clusters end a slot early
    assert split_bound([[0]] * 10, 16) == 10                   # one drain a slot
    assert split_bound([[0] * 50, [0]], 4) == 25               # longest column on two clusters
    assert split_bound([[0] * 50], 1) == 50
    assert split_bound([[6] * 4], 2) == 8                      # source columns come late
    assert split_bound([list(range(12))] * 36, 8) == 59        # eight first columns drain one after the other
    assert split_bound([[0] * 48] * 12, 16) == 43              # seven columns cannot set eight clusters free in time
    assert split_bound([], 4) == 0
    assert earliest_end((0, 1, 2, 3)) == 4 and earliest_end((0, 0, 0, 0)) == 2 and earliest_end((0, 0, 5)) == 6


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
