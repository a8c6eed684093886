"""Puts the blocks of a step into slots and clusters.

A *column* is a set of blocks whose products are summed by one cluster, one block a slot, before it drains. A schedule
is legal when, in every slot, each bank streams at most one distinct source column (any number of clusters may listen
to it) and at most ``drains`` columns end.

Two phases, repeated with different seeds until the lower bound is met or the tries are used up:

1. :mod:`flows.compile.sequence` decides which cluster works on which column when, so that no two columns end together
   and the clusters end one slot apart: list scheduling, longest column first (Graham, 1969) with drain collisions as
   cost.
2. :mod:`flows.compile.banking` decides the order of the blocks inside each column, so that no bank is asked for two
   source columns at once: greedy, then exchanges inside columns (min-conflicts, Minton et al., 1992). A slot whose
   conflict survives is split in two, so the result is always legal.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from flows.compile.banking import order_blocks
from flows.compile.lower_bound import slots_bound, start_delay
from flows.compile.sequence import Run, sequence

SEQUENCE_TRIES = 160
BANKING_TRIES = 6


@dataclass(frozen=True)
class Job:
    """One column: the source columns of its blocks, and the one that must come last, if any."""

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
    """

    jobs: tuple[Job, ...]
    clusters: int
    banks: int
    drains: int = 1
    columns_per_slot: int = 0
    first_drain: int = 0

    def lower_bound(self) -> int:
        """Fewest slots of any schedule, see :mod:`flows.compile.lower_bound`."""
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
    waits : slots in which every cluster would wait for source columns; they are left out of the arrays, because the
        hardware waits by itself
    """

    job: np.ndarray
    source: np.ndarray
    drain: np.ndarray
    waits: int = 0

    @property
    def slots(self) -> int:
        """Slots with work."""
        return int(self.drain.shape[0])

    @property
    def length(self) -> int:
        """Slots with work and waits: what the lower bound bounds."""
        return self.slots + self.waits


@lru_cache(maxsize=512)
def schedule(problem: Problem) -> Schedule:
    """Schedule a step. Deterministic: equal problems give equal schedules."""
    bound = problem.lower_bound()
    best: Schedule | None = None
    best_cost = 0
    for attempt, (planned, runs) in enumerate(_sequences(problem, bound)):
        if best is not None and planned >= best_cost:
            break
        table, source = order_blocks(problem.jobs, runs, problem.clusters, problem.banks, problem.columns_per_slot,
                                     random.Random(attempt))
        found = _split(table, source, runs, problem)
        cost = planned + found.length - len(table)
        if best is None or cost < best_cost:
            best, best_cost = found, cost
    assert best is not None
    return best


def _sequences(problem: Problem, bound: int) -> list[tuple[int, list[Run]]]:
    """The best few sequences found, cheapest first. The cost counts slots and waits for the first drain, in slots."""
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


def _split(table: list[list[int]], source: list[list[int]], runs: list[Run], problem: Problem) -> Schedule:
    """Split slots that still ask a bank for two source columns, and lay the result out as arrays."""
    ends = {(run.finish, run.cluster) for run in runs}
    jobs_out: list[list[int]] = []
    source_out: list[list[int]] = []
    drain_out: list[int] = []
    waits = 0
    for slot, (jobs, sources) in enumerate(zip(table, source, strict=True)):
        waiting = [cluster for cluster in range(problem.clusters) if sources[cluster] >= 0]
        waits += not waiting
        while waiting:
            banks: dict[int, int] = {}
            here = [c for c in waiting if banks.setdefault(sources[c] % problem.banks, sources[c]) == sources[c]]
            jobs_out.append([jobs[c] if c in here else -1 for c in range(problem.clusters)])
            source_out.append([sources[c] if c in here else -1 for c in range(problem.clusters)])
            drain_out.append(next((c for c in here if (slot, c) in ends), -1))
            waiting = [c for c in waiting if c not in here]
    return Schedule(np.array(jobs_out, np.int32), np.array(source_out, np.int32), np.array(drain_out, np.int32),
                    waits)
