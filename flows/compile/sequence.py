"""First phase of the schedule: which cluster works on which column, from which slot to which."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Run:
    """Up to slot ``finish``, in which it drains, ``clusters`` (one, or two that have halves) work on ``job``."""

    job: int
    clusters: tuple[int, ...]
    finish: int


def sequence(lengths: Sequence[int], delays: Sequence[int], clusters: int, drains: int, attempt: int) -> list[Run]:
    """One randomised list schedule; ``attempt`` selects seed and rule, 0 is the plain greedy.

    The cluster that is free first takes a column. Rule *longest* avoids idle slots, then takes the longest column;
    rule *earliest* fills the earliest free drain slot, which is better when drains are scarce.

    Returns
    -------
    list of Run, one per column: no two of them end in the same slot (``drains`` in general)
    """
    rng = random.Random(attempt)
    fill_drains = attempt % 4 == 1
    noise = 0.0 if attempt < 2 else rng.choice((1.0, 2.0, 4.0))
    groups: dict[tuple[int, int], list[int]] = {}
    for job, key in enumerate(zip(lengths, delays, strict=True)):
        groups.setdefault(key, []).append(job)
    free = [0] * clusters
    ends: dict[int, int] = {}
    runs: list[Run] = []
    for _ in lengths:
        cluster = min(range(clusters), key=free.__getitem__)
        now = free[cluster]
        best, best_cost = None, 0.0
        for (length, delay) in groups:
            start = max(now, delay)
            while ends.get(start + length - 1, 0) >= drains:
                start += 1
            cost = (start + length if fill_drains else 3.0 * (start - now)) - 0.9 * length + noise * rng.random()
            if best is None or cost < best_cost:
                best, best_cost = (length, delay, start), cost
        assert best is not None
        length, delay, start = best
        job = groups[length, delay].pop(0)
        if not groups[length, delay]:
            del groups[length, delay]
        finish = start + length - 1
        ends[finish] = ends.get(finish, 0) + 1
        free[cluster] = finish + 1
        runs.append(Run(job, (cluster,), finish))
    return runs
