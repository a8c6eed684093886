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


def order_blocks(jobs: Sequence[JobLike], runs: Sequence[Run], clusters: int, banks: int, columns_per_slot: int,
                 rng: random.Random) -> tuple[list[list[int]], list[list[int]]]:
    """Give every slot of every run a source column.

    A run may also use idle slots before it, back to the end of its cluster's previous run; its last slot is fixed.

    Returns
    -------
    job, source : per slot and cluster, -1 when idle. A slot may still hold a conflict when no exchange helped.
    """
    order = _Order(jobs, runs, clusters, banks, columns_per_slot, rng)
    order.fill()
    order.repair()
    table = [[window if sources[c] >= 0 else -1 for c, window in enumerate(row)]
             for row, sources in zip(order.window_job, order.source, strict=True)]
    return table, order.source


class _Order:
    def __init__(self, jobs: Sequence[JobLike], runs: Sequence[Run], clusters: int, banks: int,
                 columns_per_slot: int, rng: random.Random) -> None:
        self.jobs, self.clusters, self.banks, self.per_slot, self.rng = jobs, clusters, banks, columns_per_slot, rng
        slots = max(run.finish for run in runs) + 1
        self.source = [[-1] * clusters for _ in range(slots)]
        self.window_job = [[-1] * clusters for _ in range(slots)]
        self.windows: dict[tuple[int, int], range] = {}
        self.finish = {(run.finish, run.cluster) for run in runs}
        begin = [0] * clusters
        for run in runs:
            window = range(begin[run.cluster], run.finish + 1)
            begin[run.cluster] = run.finish + 1
            for slot in window:
                self.window_job[slot][run.cluster] = run.job
                self.windows[slot, run.cluster] = window

    def release(self, source: int) -> int:
        """First slot in which a source column exists."""
        return source // self.per_slot if self.per_slot and source >= 0 else 0

    def fill(self) -> None:
        """Slot by slot; clusters with fewest choices first; a source that is already streamed is preferred."""
        rest = {job: set(self.jobs[job].sources) for row in self.window_job for job in row if job >= 0}
        period = max((source for job in self.jobs for source in job.sources), default=0) + 1
        for slot, row in enumerate(self.window_job):
            active = [c for c in range(self.clusters) if row[c] >= 0 and rest[row[c]]]
            active.sort(key=lambda c: len(rest[row[c]]))
            wanted: dict[int, int] = {}
            for c in active:
                for source in rest[row[c]]:
                    wanted[source] = wanted.get(source, 0) + 1
            streamed: dict[int, int] = {}
            for c in active:
                left = rest[row[c]]
                spare = len(self.windows[slot, c]) - (slot - self.windows[slot, c].start) - len(left)
                choice = self._choose(slot, self.jobs[row[c]].last, left, spare, streamed, wanted, period)
                if choice is None:
                    continue
                streamed.setdefault(choice % self.banks, choice)
                left.discard(choice)
                self.source[slot][c] = choice

    def _choose(self, slot: int, last: int | None, left: set[int], spare: int, streamed: dict[int, int],
                wanted: dict[int, int], period: int) -> int | None:
        if len(left) == 1 and spare > 0:
            return None  # the last block waits for the slot of the drain
        best, best_cost = None, 0.0
        for source in left:
            if self.release(source) > slot or (source == last and len(left) > 1):
                continue
            held = streamed.get(source % self.banks, source)
            if held != source and spare > 0:
                continue
            cost = (100.0 if held != source else 0.0) - (50.0 if streamed.get(source % self.banks) == source else 0.0)
            cost += -2.0 * wanted[source] + (source - slot) % period / period + 0.5 * self.rng.random()
            if best is None or cost < best_cost or (cost == best_cost and source < best):
                best, best_cost = source, cost
        return best

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
        best_gain, best = -1, []
        for other in self.windows[slot, cluster]:
            if other == slot or not self._may_swap(slot, other, cluster):
                continue
            before = before_here + self.conflicts(other)
            self._swap(slot, other, cluster)
            gain = before - self.conflicts(slot) - self.conflicts(other)
            self._swap(slot, other, cluster)
            if gain > best_gain:
                best_gain, best = gain, [other]
            elif gain == best_gain:
                best.append(other)
        if best and best_gain >= 0:
            self._swap(slot, self.rng.choice(best), cluster)

    def _may_swap(self, slot: int, other: int, cluster: int) -> bool:
        here, there = self.source[slot][cluster], self.source[other][cluster]
        if self.release(here) > other or self.release(there) > slot:
            return False
        for place, new in ((slot, there), (other, here)):
            if (place, cluster) in self.finish:
                last = self.jobs[self.window_job[place][cluster]].last
                if new < 0 or last is not None:
                    return False
        return True

    def _swap(self, slot: int, other: int, cluster: int) -> None:
        rows = self.source
        rows[slot][cluster], rows[other][cluster] = rows[other][cluster], rows[slot][cluster]
