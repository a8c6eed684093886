"""First phase of the schedule when columns may be divided: two clusters work on halves that end in the same slot.

Time runs backwards here, from the last slot of the step to its first. Seen so, a column *starts* in the slot in which
it drains, on one cluster or on two, at most one column a slot, and each cluster must be used up to the same horizon:
list scheduling on identical machines (Graham, 1969) of jobs that may be divided in two. Halves need not be equal, which
is what fills the clusters evenly: when a cluster would wait for its next column, its half grows at the cost of the
other.

Each construction is greedy with random choices; the search keeps the best, redoes the tail of it with other choices,
and starts anew now and then (iterated greedy: Ruiz and Stützle, 2007).
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from flows.compile.lower_bound import earliest_end
from flows.compile.sequence import Run

NEAR, FAR = 1.01, 1.025
DECISIONS, MORE_DECISIONS, MOST_DECISIONS = 2_000, 6_000, 16_000
"""Columns placed in all constructions together: until the slots are near the bound, not far from it, or anyway."""
CONSTRUCTIONS = 600
"""Sequences in the last case if that is more."""
FAR_IF_FEW, MOST_IF_FEW = 1.05, 160_000
"""With fewer than two columns per cluster the bound cannot always be met, and constructions are short."""
SHORT = 20
"""Slots of a step in which one slot is more than that."""
RESTART = 20
"""Constructions without improvement after which the search starts anew."""
GREED, NOISE, PATIENCE, PAIRING = (0.1, 0.3, 1.0), (0.1, 0.5, 2.0, 6.0), (0.0, 0.2, 0.5), (-2.0, 0.0, 2.0)
"""Weights of a construction, drawn at random: of a column's length, of chance, of waiting for or taking away a cluster,
and of a cluster that becomes free together with another one."""
LATE = (0.0, 0.8)
"""Shares of the slots in which source columns appear, before which no first column ends."""
CHOICES = 5
"""Kinds of columns that are looked at."""


@dataclass(frozen=True)
class Shape:
    """What the sequence has to know of a column.

    Attributes
    ----------
    length : blocks
    releases : first slot of each block's source column, ascending
    divisible : whether two clusters may share it
    """

    length: int
    releases: tuple[int, ...]
    divisible: bool

    @property
    def delay(self) -> int:
        """First slot in which one cluster can start so that every source column exists when its turn comes."""
        return max(release - turn for turn, release in enumerate(self.releases))

    def fits(self, finish: int, first: int, second: int = 0) -> bool:
        """Whether ``first`` slots up to ``finish`` on one cluster, and ``second`` on another, come late enough."""
        begin = finish - max(first, second) + 1
        if begin >= self.releases[-1]:
            return True
        doubled = finish - min(first, second) + 1
        slot, used = begin, 0
        for release in self.releases:
            if slot < release:
                return False
            used += 1
            if used >= (2 if slot >= doubled else 1):
                slot, used = slot + 1, 0
        return True


@dataclass(frozen=True)
class Placed:
    """A column's start and clusters, backwards in time."""

    job: int
    start: int
    clusters: tuple[int, ...]
    parts: tuple[int, ...]


def split_sequences(shapes: Sequence[Shape], clusters: int, drains: int, horizon: int, first_drain: int,
                    wanted: int, seed: int) -> list[tuple[int, list[Run]]]:
    """The best few sequences found, cheapest first.

    Parameters
    ----------
    shapes : columns
    horizon : slots that are aimed at, a lower bound
    first_drain : slot before which a draining column would wait; the waiting counts
    wanted : sequences that meet the bound after which the search ends

    Returns
    -------
    list of (cost in slots, runs)
    """
    search = _Search(shapes, clusters, drains, first_drain, random.Random(seed))
    return search.run(horizon, wanted)


def first_columns(shapes: Sequence[Shape], clusters: int, share: float) -> list[tuple[int, int, int]]:
    """Columns for all clusters to begin with that lose fewest slots before they drain, no two of them together.

    Dynamic programming over columns in the order of their earliest ends. Columns that end before a share of the source
    columns has appeared are left out, as others would wait behind them; and all, if two clusters are faster than one on
    most columns: then source columns do not come late.

    Returns
    -------
    list of (column, slots until it has ended, clusters that share it), earliest end first; empty if there is no way
    """
    alone = [shape.delay + shape.length for shape in shapes]
    shared = [earliest_end(shape.releases) for shape in shapes]
    if sum(one == two for one, two in zip(alone, shared, strict=True)) < len(shapes) / 2:
        return []
    least_end = share * max(shape.releases[-1] + 1 for shape in shapes)
    ends = [(end, job, 1) for job, end in enumerate(alone) if end >= least_end]
    ends += [(end, job, 2) for job, end in enumerate(shared) if end >= least_end and shapes[job].divisible]
    least: dict[tuple[int, int], tuple[int, tuple[tuple[int, int, int], ...]]] = {(0, 0): (0, ())}
    for end, job, count in sorted(ends):
        for (used, last), (loss, chosen) in list(least.items()):
            slot = max(end, last + 1)
            if used + count > clusters or any(other == job for other, _, _ in chosen):
                continue
            state, cost = (used + count, slot), loss + count * slot - shapes[job].length
            if cost < least.get(state, (cost + 1,))[0]:
                least[state] = cost, (*chosen, (job, slot, count))
    full = [(loss, chosen) for (used, _), (loss, chosen) in least.items() if used == clusters]
    return list(min(full)[1]) if full else []


class _Search:
    def __init__(self, shapes: Sequence[Shape], clusters: int, drains: int, first_drain: int,
                 rng: random.Random) -> None:
        self.shapes, self.clusters, self.drains = shapes, clusters, drains
        self.first_drain, self.rng = first_drain, rng
        self.work = sum(shape.length for shape in shapes)
        self.late = any(shape.releases[-1] for shape in shapes)
        self.keys = [(shape.length, shape.delay) for shape in shapes]
        self.firsts: list[list[tuple[int, int, int]]] = [[]]
        if self.late and len(shapes) >= 2 * clusters:
            self.firsts += [first for share in LATE if (first := first_columns(shapes, clusters, share))]
        self.begin_with(0)

    def begin_with(self, turn: int) -> None:
        """Choose the columns that begin the step, the last ones here, and the slots they take of each cluster."""
        self.first = self.firsts[turn % len(self.firsts)]
        self.begin = [end for _, end, count in self.first for _ in range(count)]
        self.begin += [0] * (self.clusters - len(self.begin))

    def run(self, horizon: int, wanted: int) -> list[tuple[int, list[Run]]]:
        found: dict[int, list[list[Placed]]] = {}
        columns = len(self.shapes)
        few = columns < 2 * self.clusters and horizon >= SHORT
        far = horizon * (FAR_IF_FEW if few else FAR)
        least, more = max(DECISIONS // columns, 20), max(MORE_DECISIONS // columns, 60)
        most = max((MOST_IF_FEW if few else MOST_DECISIONS) // columns, CONSTRUCTIONS)
        good, stuck, restarts = 0, 0, 0
        target, best = horizon, 0
        current: list[Placed] = []
        excess = 0
        for turn in range(most):
            if (turn >= more and best <= far) or (turn >= least and best <= horizon * NEAR):
                break
            keep = current[:self.rng.randrange(len(current) - len(self.first) or 1)] if current else []
            placed, length, over = _Construction(self, target, keep).finish()
            cost = self.cost(placed, length)
            found.setdefault(cost, []).append(placed)
            good += cost <= horizon
            if good >= wanted:
                break
            if not best or cost < best:
                best, target = cost, max(horizon, cost - 1)
                current, excess, stuck = placed, over + 10 * (cost - length), 0
            elif not current or over + 10 * (cost - length) <= excess:
                stuck = 0 if not current or over + 10 * (cost - length) < excess else stuck + 1
                current, excess = placed, over + 10 * (cost - length)
            else:
                stuck += 1
            if stuck >= RESTART:
                current, stuck, restarts = [], 0, restarts + 1
                self.begin_with(restarts)
        result = []
        for cost in sorted(found):
            for placed in found[cost]:
                result.append((cost, self.forwards(placed)))
                if len(result) >= wanted:
                    return result
        return result

    def length(self, placed: list[Placed]) -> int:
        """Slots, from the last one back to the first that is needed."""
        length = max(item.start + max(item.parts) for item in placed)
        if self.late:
            while not all(self.shapes[item.job].fits(length - 1 - item.start, *item.parts) for item in placed):
                length += 1
        return length

    def cost(self, placed: list[Placed], length: int) -> int:
        return length + max(0, self.first_drain - (length - 1 - max(item.start for item in placed)))

    def forwards(self, placed: list[Placed]) -> list[Run]:
        length = self.length(placed)
        return [Run(item.job, item.clusters, length - 1 - item.start) for item in placed]


class _Construction:
    """One sequence, column by column backwards in time, aimed at ``horizon`` slots."""

    def __init__(self, search: _Search, horizon: int, keep: list[Placed]) -> None:
        self.search, self.horizon, self.rng = search, horizon, search.rng
        self.free = [0] * search.clusters
        self.open: list[int | None] = [None] * search.clusters  # index of the run that may still give blocks away
        self.placed: list[Placed] = []
        self.rest: dict[tuple[int, int], list[int]] = {}
        self.work = search.work
        self.next, self.here = 0, 0
        self.limit = [horizon - begin for begin in search.begin]
        """Slots that each cluster has for the columns that are placed here."""
        first = {job for job, _, _ in search.first}
        self.count = len(search.keys) - len(first)
        self.taken = {horizon - end for _, end, _ in search.first}
        for job, key in enumerate(search.keys):
            if job not in first:
                self.rest.setdefault(key, []).append(job)
        for item in keep:
            self._take_out(search.keys[item.job], item.job)
            self._place(item.job, item.start, item.clusters, item.parts)
        self.greed = self.rng.choice(GREED)
        self.noise = self.rng.choice(NOISE)
        self.patience = self.rng.choice(PATIENCE)
        self.pairing = self.rng.choice(PAIRING)
        # Columns that can start early are kept for the first slots of the step, which are the last ones here.
        self.lateness = self.rng.choice((0.5, 1.0, 2.0, 4.0)) if search.late else 0.0
        self.order = sorted(self.rest, key=self._rank)

    def _rank(self, key: tuple[int, int]) -> float:
        return key[0] + self.lateness * key[1]

    def _take_out(self, key: tuple[int, int], job: int) -> None:
        self.rest[key].remove(job)
        if not self.rest[key]:
            del self.rest[key]

    def finish(self) -> tuple[list[Placed], int, int]:
        while self.rest:
            self._step()
        for cluster in range(self.search.clusters):
            self._balance(cluster)
        over = sum(max(0, free - limit) for free, limit in zip(self.free, self.limit, strict=True))
        self._place_first()
        return self.placed, self.search.length(self.placed), over

    def _place_first(self) -> None:
        """The columns that begin the step, so much later as the others exceed the horizon."""
        length = self.horizon + max(0, *(free - limit for free, limit in zip(self.free, self.limit, strict=True)))
        starts = {item.start for item in self.placed}
        while any(length - end in starts for _, end, _ in self.search.first):
            length += 1
        at = 0
        for job, end, count in self.search.first:
            size = self.search.shapes[job].length
            parts = (size,) if count == 1 else ((size + 1) // 2, size // 2)
            self.placed.append(Placed(job, length - end, tuple(range(at, at + count)), parts))
            at += count

    def _step(self) -> None:
        """Put one more column somewhere, or go on to a later slot."""
        start, clusters = self._start()
        if not clusters:
            self.next = max(self.next, start + 1)
            return
        best: tuple[tuple[int, int], tuple[int, ...]] | None = None
        best_cost = 0.0
        for key in self._some_keys():
            for parts in self._parts(key, start, clusters):
                cost = self._cost(key, parts, start, clusters) + self.noise * self.rng.random()
                if best is None or cost < best_cost:
                    best, best_cost = (key, parts), cost
        assert best is not None
        key, parts = best
        clusters = clusters[:len(parts)]
        for cluster in clusters:
            if self.free[cluster] > start and self._leaves(cluster, start):
                index = self.open[cluster]
                assert index is not None
                other = self._partner(cluster, index)
                self._move(index, cluster, start - self.free[cluster])
                self.open[cluster] = self.open[other] = None
        if any(self.free[cluster] > start for cluster in clusters):
            return  # both halves of one column: what one leaves, the other has to do
        job = self.rest[key][-1]
        self._take_out(key, job)
        if key not in self.rest:
            self.order.remove(key)
        self._place(job, start, tuple(clusters), parts)

    def _start(self) -> tuple[int, list[int]]:
        """A slot in which a column may drain, and clusters for it: free ones first. None if it may not after all."""
        # A cluster that is full is not free, unless there is no other.
        usable = [free for free, limit in zip(self.free, self.limit, strict=True) if free < limit] or self.free
        start = max(self.next, min(usable))
        while start in self.taken:
            start += 1
        leaving: list[int] = []
        few = self.count - len(self.placed) <= 2 * self.search.clusters
        if few and self.rng.random() < self.patience:
            # Where few columns are left, it may pay to wait for another cluster, or to take one away from its half.
            start = self._other_start(start)
            if start in self.taken:
                return self.next - 1, []
            leaving = [c for c in range(self.search.clusters) if self.free[c] > start and self._leaves(c, start)]
            self.rng.shuffle(leaving)
        free = [c for c in range(self.search.clusters) if self.free[c] <= start]
        free = [c for c in free if self.free[c] < self.limit[c]] or free
        self.rng.shuffle(free)
        free.sort(key=lambda c: self.open[c] is None)
        return start, free + leaving[:max(0, 2 - len(free))]

    def _other_start(self, start: int) -> int:
        """A later start when another cluster is free, or an earlier one that takes clusters from their halves."""
        later = sorted({time for time in self.free if start < time < self.horizon})
        if self.rng.random() < 0.5 or start <= self.next:
            return self.rng.choice(later[:3]) if later else start
        return self.rng.randrange(self.next, start + 1)

    def _leaves(self, cluster: int, start: int) -> bool:
        """Whether a cluster that has a half can leave the rest of it to the other cluster at ``start``."""
        index = self.open[cluster]
        if index is None:
            return False
        other = self._partner(cluster, index)
        return self.open[other] == index and start > self.placed[index].start and \
            self.free[other] + self.free[cluster] - start <= self.limit[other]

    def _some_keys(self) -> list[tuple[int, int]]:
        order = self.order
        if len(order) <= CHOICES:
            return order
        return [*order[-2:], *self.rng.sample(order[:-2], CHOICES - 2)]

    def _parts(self, key: tuple[int, int], start: int, idle: list[int]) -> list[tuple[int, ...]]:
        """Ways to put a column on one cluster or two."""
        length = key[0]
        room = self.limit[idle[0]] - start
        shape = self.search.shapes[self.rest[key][-1]]
        ways: list[tuple[int, ...]] = []
        finish = self.horizon - 1 - start
        if length <= room or len(idle) == 1 or not shape.divisible:
            ways.append((length,))
        if len(idle) > 1 and shape.divisible and length > 1:
            first = {(length + 1) // 2, self.rng.randrange(1, length), min(max(room, 1), length - 1)}
            first.add(min(max(self.free[self.rng.randrange(len(self.free))] - start, 1), length - 1))
            other = self.limit[idle[1]] - start
            if 0 < other < length:
                first.add(length - other)
            ways += [(part, length - part) for part in first]
        if shape.releases[-1]:
            ways = [way for way in ways if shape.fits(finish, *way)] or ways[:1]
        return ways

    def _cost(self, key: tuple[int, int], parts: tuple[int, ...], start: int, idle: list[int]) -> float:
        """Long columns first; no cluster idle; nothing beyond the horizon; clusters left that others can pair with."""
        cost = -self.greed * self._rank(key) + 2.0 * max(0, len(idle) - len(parts))
        left = self.count - len(self.placed) - 1
        if len(parts) == 1 and start + parts[0] + key[1] > self.horizon:
            cost += 50.0 * min(key[1], start + parts[0] + key[1] - self.horizon)
        for cluster, part in zip(idle, parts, strict=False):
            end, limit = start + part, self.limit[cluster]
            if end > limit:
                cost += 50.0 * (end - limit)
            elif end == limit:
                cost -= 2.0
            elif left < self.search.clusters:
                cost += 0.2 * (limit - end) if left else 4.0 * (limit - end)
            same = self.free.count(end) + (len(parts) == 2 and parts[0] == parts[1])
            if end < limit and same:
                cost += self.pairing if same == 1 else 2.0
        return cost

    def _place(self, job: int, start: int, clusters: tuple[int, ...], parts: tuple[int, ...]) -> None:
        for cluster in clusters:
            self._give(cluster, start, start + 1)
        index = len(self.placed)
        self.placed.append(Placed(job, start, clusters, parts))
        for cluster, part in zip(clusters, parts, strict=True):
            self.free[cluster] = start + part
            self.open[cluster] = index if len(parts) > 1 else None
        self.work -= sum(parts)
        self.here = self.here + 1 if start == self.next else 1
        self.next = start + (self.here >= self.search.drains)
        if self.next > start:
            self.here = 0

    def _balance(self, cluster: int) -> None:
        """Let the two halves of a column that nothing follows fill their clusters alike."""
        index = self.open[cluster]
        if index is None:
            return
        other = self._partner(cluster, index)
        if self.open[other] == index:
            early, late = sorted((cluster, other), key=lambda c: self.free[c] - self.limit[c])
            over = self.free[early] - self.limit[early] + self.free[late] - self.limit[late]
            self._give(early, self.limit[early] + over // 2, self.placed[index].start + 1)

    def _partner(self, cluster: int, index: int) -> int:
        """The cluster that has the other half."""
        clusters = self.placed[index].clusters
        return clusters[1 - clusters.index(cluster)]

    def _move(self, index: int, cluster: int, blocks: int) -> None:
        """Move blocks of a column to a cluster from the one that has its other half."""
        item = self.placed[index]
        other = self._partner(cluster, index)
        parts = tuple(part + (blocks if c == cluster else -blocks)
                      for c, part in zip(item.clusters, item.parts, strict=True))
        self.placed[index] = Placed(item.job, item.start, item.clusters, parts)
        self.free[cluster] += blocks
        self.free[other] -= blocks

    def _give(self, cluster: int, start: int, least: int) -> None:
        """The cluster waits until ``start``: let it take that many blocks more of its half from the other.

        The other one does not become free before ``least``, as it is too late to use it then.
        """
        index = self.open[cluster]
        self.open[cluster] = None
        if index is None or self.free[cluster] >= start:
            return
        item, other = self.placed[index], self._partner(cluster, index)
        if self.open[other] != index:
            return
        moved = min(start - self.free[cluster], self.free[other] - least)
        if moved <= 0:
            return
        self._move(index, cluster, moved)
        finish = self.horizon - 1 - item.start
        if self.search.late and not self.search.shapes[item.job].fits(finish, *self.placed[index].parts):
            self._move(index, cluster, -moved)
