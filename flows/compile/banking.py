"""Second phase of the schedule: the order of the blocks inside each column, so that banks do not collide."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Protocol

from flows.compile.sequence import Run

REPAIR_ROUNDS = 40


class JobLike(Protocol):
    """Source columns of a column's blocks, and the one that must come last."""

    @property
    def sources(self) -> tuple[int, ...]: ...  # noqa: D102
    @property
    def last(self) -> int | None: ...  # noqa: D102


def window_jobs(runs: Sequence[Run], clusters: int) -> list[list[int]]:
    """The column that each slot of each cluster belongs to, -1 for none.

    A run may also use idle slots before it, back to the end of its cluster's previous run; its last slot is fixed.
    """
    job = [[-1] * clusters for _ in range(max(run.finish for run in runs) + 1)]
    begin = [0] * clusters
    for run in sorted(runs, key=lambda run: run.finish):
        for cluster in run.clusters:
            for slot in range(begin[cluster], run.finish + 1):
                job[slot][cluster] = run.job
            begin[cluster] = run.finish + 1
    return job


def order_blocks(jobs: Sequence[JobLike], runs: Sequence[Run], clusters: int, banks: int, columns_per_slot: int,
                 rng: random.Random) -> list[list[int]] | None:
    """Give every slot of every run a source column.

    Returns
    -------
    source per slot and cluster, -1 when idle. A slot may still hold a conflict when no exchange helped, but never
    between two halves that end in it. None when the blocks of halves cannot be placed.
    """
    order = _Order(jobs, runs, clusters, banks, columns_per_slot, rng)
    if not order.fill():
        return None
    order.repair()
    return order.source


class _Order:
    def __init__(self, jobs: Sequence[JobLike], runs: Sequence[Run], clusters: int, banks: int,
                 columns_per_slot: int, rng: random.Random) -> None:
        self.jobs, self.clusters, self.banks, self.per_slot, self.rng = jobs, clusters, banks, columns_per_slot, rng
        self.window_job = window_jobs(runs, clusters)
        self.source = [[-1] * clusters for _ in self.window_job]
        self.cells: dict[int, list[tuple[int, int]]] = {run.job: [] for run in runs}
        """Slots and clusters of each column."""
        for slot, row in enumerate(self.window_job):
            for cluster, job in enumerate(row):
                if job >= 0:
                    self.cells[job].append((slot, cluster))
        self.ends = {run.job: run for run in runs}

    def release(self, source: int) -> int:
        """First slot in which a source column exists."""
        return source // self.per_slot if self.per_slot and source >= 0 else 0

    def fill(self) -> bool:
        """Slot by slot; clusters with fewest choices first; a source that is already streamed is preferred."""
        rest = {job: set(self.jobs[job].sources) for job in self.cells}
        cells = {job: len(cells) for job, cells in self.cells.items()}
        period = max((source for job in self.jobs for source in job.sources), default=0) + 1
        for slot, row in enumerate(self.window_job):
            active = [c for c in range(self.clusters) if row[c] >= 0]
            active.sort(key=lambda c: len(rest[row[c]]))
            wanted: dict[int, int] = {}
            for c in active:
                for source in rest[row[c]]:
                    wanted[source] = wanted.get(source, 0) + 1
            streamed: dict[int, int] = {}
            for c in active:
                job = row[c]
                choice = self._choose(slot, job, rest[job], cells[job] - len(rest[job]), streamed, wanted, period)
                cells[job] -= 1
                if choice is None:
                    continue
                streamed.setdefault(choice % self.banks, choice)
                rest[job].discard(choice)
                self.source[slot][c] = choice
        return not any(rest.values()) and all(self._ends_well(run) for run in self.ends.values())

    def _ends_well(self, run: Run) -> bool:
        """Every cluster of a run has a block in its last slot, halves from different banks."""
        last = [self.source[run.finish][cluster] for cluster in run.clusters]
        return min(last) >= 0 and len({source % self.banks for source in last}) == len(last)

    def _choose(self, slot: int, job: int, left: set[int], spare: int, streamed: dict[int, int],
                wanted: dict[int, int], period: int) -> int | None:
        run, last = self.ends[job], self.jobs[job].last
        ending = slot == run.finish
        if not left or (not ending and len(left) <= len(run.clusters)):
            return None  # the last blocks wait for the slot of the drain
        single = self._needed_bank(left) if len(run.clusters) > 1 and not ending else None
        best, best_cost = None, 0.0
        for source in left:
            if self.release(source) > slot or (source == last and len(left) > 1) or source == single:
                continue
            held = streamed.get(source % self.banks, source)
            if held != source and spare > 0:
                continue
            cost = (100.0 if held != source else 0.0) - (50.0 if streamed.get(source % self.banks) == source else 0.0)
            cost += -2.0 * wanted[source] + (source - slot) % period / period + 0.5 * self.rng.random()
            if best is None or cost < best_cost or (cost == best_cost and source < best):
                best, best_cost = source, cost
        return best

    def _needed_bank(self, left: set[int]) -> int | None:
        """The one source that is in another bank than all others: halves need two banks in the end."""
        if len(left) > self.banks + 1:
            banks = {source % self.banks for source in left}
            if len(banks) > 2:
                return None
        by_bank: dict[int, list[int]] = {}
        for source in left:
            by_bank.setdefault(source % self.banks, []).append(source)
        alone = [sources[0] for sources in by_bank.values() if len(sources) == 1]
        return alone[0] if len(by_bank) == 2 and alone and len(left) > 2 else None

    def conflicts(self, slot: int) -> int:
        """Distinct source columns beyond one per bank."""
        sources = set(self.source[slot])
        sources.discard(-1)
        return len(sources) - len({source % self.banks for source in sources})

    def repair(self) -> None:
        """Exchange blocks of a column between two slots while that removes conflicts; sideways steps now and then."""
        for _ in range(REPAIR_ROUNDS):
            bad = [slot for slot in range(len(self.source)) if self.conflicts(slot)]
            if not bad:
                return
            for slot in bad:
                for cluster in self._colliding(slot):
                    if not self.conflicts(slot):
                        break
                    self._exchange(slot, cluster)

    def _colliding(self, slot: int) -> list[int]:
        row = self.source[slot]
        return [c for c in range(self.clusters) if row[c] >= 0 and any(
            other != row[c] and other >= 0 and (other - row[c]) % self.banks == 0 for other in row)]

    def _exchange(self, slot: int, cluster: int) -> None:
        before_here = self.conflicts(slot)
        here = slot, cluster
        best_gain, best = -1, []
        for there in self.cells[self.window_job[slot][cluster]]:
            if there[0] == slot or not self._may_swap(here, there):
                continue
            before = before_here + self.conflicts(there[0])
            self._swap(here, there)
            gain = before - self.conflicts(slot) - self.conflicts(there[0])
            self._swap(here, there)
            if gain > best_gain:
                best_gain, best = gain, [there]
            elif gain == best_gain:
                best.append(there)
        if best and best_gain >= 0:
            self._swap(here, self.rng.choice(best))

    def _may_swap(self, here: tuple[int, int], there: tuple[int, int]) -> bool:
        one, other = self.source[here[0]][here[1]], self.source[there[0]][there[1]]
        if self.release(one) > there[0] or self.release(other) > here[0]:
            return False
        job = self.window_job[here[0]][here[1]]
        run = self.ends[job]
        if run.finish not in (here[0], there[0]):
            return True
        if self.jobs[job].last is not None:
            return False
        self._swap(here, there)
        well = self._ends_well(run)
        self._swap(here, there)
        return well

    def _swap(self, here: tuple[int, int], there: tuple[int, int]) -> None:
        rows = self.source
        rows[here[0]][here[1]], rows[there[0]][there[1]] = rows[there[0]][there[1]], rows[here[0]][here[1]]
