"""Puts the blocks of a step into slots and clusters.

A *column* is a set of blocks whose products are summed by one cluster, one block a slot, before it drains; or by two
clusters whose halves end in the same slot. A schedule is legal when, in every slot, each bank streams at most one
distinct source column (any number of clusters may listen to it) and at most ``drains`` columns end.

Two phases, repeated with different seeds until the lower bound is met or the tries are used up:

1. :mod:`flows.compile.sequence` decides which cluster works on which column when, so that no two columns end together
   and the clusters end one slot apart: list scheduling, longest column first (Graham, 1969) with drain collisions as
   cost. Where that misses the bound, :mod:`flows.compile.split_sequence` divides columns.
2. :mod:`flows.compile.banking` decides the order of the blocks inside each column, so that no bank is asked for two
   source columns at once: greedy, then exchanges inside columns (min-conflicts, Minton et al., 1992). A slot whose
   conflict survives is split in two, so the result is always legal.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from flows.compile.banking import order_blocks, window_jobs
from flows.compile.lower_bound import slots_bound, split_bound, start_delay
from flows.compile.sequence import Run, sequence
from flows.compile.split_sequence import Shape, split_sequences

SEQUENCE_TRIES = 160
BANKING_TRIES = 6
NEAR = 1.005
"""Slots over bound that are good enough without dividing columns."""


@dataclass(frozen=True)
class Job:
    """One column: the source columns of its blocks, and the one that must come last, if any (never with halves)."""

    sources: tuple[int, ...]
    last: int | None = None


@dataclass(frozen=True)
class Problem:
    """What the scheduler has to know of a step.

    Attributes
    ----------
    jobs : columns, at least one, each with at least one block
    clusters, banks, drains : sizes of the hardware
    columns_per_slot : source columns that appear per slot (norm pass 1, image 2); 0 when all exist from the beginning
    first_drain : slot before which a draining column would wait (token selection, residual initialisation)
    split : whether two clusters may work on halves of a column
    """

    jobs: tuple[Job, ...]
    clusters: int
    banks: int
    drains: int = 1
    columns_per_slot: int = 0
    first_drain: int = 0
    split: bool = False

    def releases(self, job: Job) -> tuple[int, ...]:
        """First slot in which each source column of a job exists, ascending."""
        per_slot = self.columns_per_slot
        return tuple(sorted(source // per_slot if per_slot else 0 for source in job.sources))

    def lower_bound(self) -> int:
        """Fewest slots of any schedule, waits included; all columns have to end after ``first_drain``."""
        return max(self.blocks_bound(), self.first_drain + -(-len(self.jobs) // self.drains) if self.first_drain else 0)

    def blocks_bound(self) -> int:
        """Fewest slots of any schedule if no drain has to wait, see :mod:`flows.compile.lower_bound`."""
        if self.split and self.clusters > 1:
            return split_bound([self.releases(job) for job in self.jobs], self.clusters, self.drains)
        delays = [start_delay(job.sources, self.columns_per_slot) for job in self.jobs]
        return slots_bound([len(job.sources) for job in self.jobs], delays, self.clusters, self.drains)


@dataclass(frozen=True, eq=False)
class Schedule:
    """A legal schedule.

    Attributes
    ----------
    job : int32 ``(slots, clusters)``, index of the column worked on, -1 when idle
    source : int32 ``(slots, clusters)``, source column streamed, -1 when idle
    drain : int32 ``(slots,)``, cluster whose column ends, -1 for none
    merge : int32 ``(slots,)``, cluster that has the other half of that column, -1 for none
    waits : slots in which every cluster would wait for source columns; they are left out of the arrays, because the
        hardware waits by itself
    drain_waits : slots that the first column to end waits until it may
    """

    job: np.ndarray
    source: np.ndarray
    drain: np.ndarray
    merge: np.ndarray
    waits: int = 0
    drain_waits: int = 0

    @property
    def slots(self) -> int:
        """Slots with work."""
        return int(self.drain.shape[0])

    @property
    def length(self) -> int:
        """Slots with work and waits: what the lower bound bounds."""
        return self.slots + self.waits + self.drain_waits


@lru_cache(maxsize=4096)
def schedule(problem: Problem) -> Schedule:
    """Schedule a step. Deterministic: equal problems give equal schedules."""
    bound = problem.lower_bound()
    best: Schedule | None = None
    best_cost = 0
    for attempt, (planned, runs) in enumerate(_sequences(problem, bound)):
        if best is not None and planned >= best_cost:
            break
        source = order_blocks(problem.jobs, runs, problem.clusters, problem.banks, problem.columns_per_slot,
                              random.Random(attempt))
        if source is None:
            continue
        found = _lay_out(source, runs, problem)
        if best is None or found.length < best_cost:
            best, best_cost = found, found.length
    assert best is not None
    return best


def _sequences(problem: Problem, bound: int) -> list[tuple[int, list[Run]]]:
    """The best few sequences found, cheapest first. The cost counts slots and waits for the first drain, in slots.

    A sequence without halves is always among them: it can be laid out whatever the banks are.
    """
    whole = _whole_sequences(problem, bound)
    if not problem.split or problem.clusters == 1 or whole[0][0] <= NEAR * bound:
        return whole
    shapes = [Shape(len(job.sources), problem.releases(job), _divisible(job, problem.banks)) for job in problem.jobs]
    halved = split_sequences(shapes, problem.clusters, problem.drains, bound, problem.first_drain, 2, 1)
    return sorted([*whole[:-1], *halved], key=lambda item: item[0])[:BANKING_TRIES] + whole[-1:]


def _divisible(job: Job, banks: int) -> bool:
    """Halves end with different source columns, in different banks."""
    return job.last is None and len({source % banks for source in job.sources}) > 1


def _whole_sequences(problem: Problem, bound: int) -> list[tuple[int, list[Run]]]:
    lengths = [len(job.sources) for job in problem.jobs]
    delays = [max(start_delay(job.sources, problem.columns_per_slot), 0) for job in problem.jobs]
    found: list[tuple[int, int, list[Run]]] = []
    good = 0
    for attempt in range(SEQUENCE_TRIES):
        runs = sequence(lengths, delays, problem.clusters, problem.drains, attempt)
        first = min(run.finish for run in runs)
        cost = max(run.finish for run in runs) + 1 + max(0, problem.first_drain - first)
        found.append((cost, attempt, runs))
        good += cost <= bound
        if good >= BANKING_TRIES:
            break
    found.sort(key=lambda item: item[:2])
    return [(cost, runs) for cost, _, runs in found[:BANKING_TRIES]]


def _lay_out(source: list[list[int]], runs: list[Run], problem: Problem) -> Schedule:
    """Lay the result out as arrays; a slot that still asks a bank for two source columns becomes two.

    Halves that end together stay together: their last source columns are in different banks.
    """
    job = window_jobs(runs, problem.clusters)
    ends = {run.finish: run.clusters for run in runs}
    rows: list[tuple[list[int], list[int], int, int]] = []
    waits = 0
    for slot, sources in enumerate(source):
        ending = ends.get(slot, ())
        waiting = [c for c in range(problem.clusters) if sources[c] >= 0]
        waiting.sort(key=lambda c: (c not in ending, c))
        waits += not waiting
        while waiting:
            banks: dict[int, int] = {}
            here = [c for c in waiting if banks.setdefault(sources[c] % problem.banks, sources[c]) == sources[c]]
            drains = [c for c in ending if c in here]
            rows.append(([job[slot][c] if c in here else -1 for c in range(problem.clusters)],
                         [sources[c] if c in here else -1 for c in range(problem.clusters)],
                         drains[0] if drains else -1, drains[1] if len(drains) > 1 else -1))
            waiting = [c for c in waiting if c not in here]
    first = next(slot for slot, row in enumerate(rows) if row[2] >= 0) + waits
    return Schedule(*(np.array(part, np.int32) for part in zip(*rows, strict=True)), waits=waits,
                    drain_waits=max(0, problem.first_drain - first))
