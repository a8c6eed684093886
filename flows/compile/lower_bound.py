"""Fewest slots that any schedule of a step can take, from counting arguments only.

Nothing here looks at a schedule, so that ``slots / lower bound`` judges the scheduler. Four arguments:

*work*
    Columns end in different slots (a drain port takes one column a slot), so the last columns of the clusters end at
    ``T, T - 1, T - 2 ...``; the idle slots after them, and those before the first column while its source columns are
    not there yet, add to the kept blocks. Columns are not divided: the ``j`` clusters with most columns hold at least
    as many as in the most even distribution, and at least the blocks of that many shortest columns.
*drains*
    No column ends before its own blocks and source columns allow, and at most ``drains`` of them end in a slot.
*columns*
    A cluster that ends at ``T - i`` holds at most as many columns as the shortest ones that fit.
*longest column*
    One column is worked on by one cluster, one block a slot.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate

from flows.contracts.hardware import HardwareConfig, ceil_div
from flows.contracts.program import column_parameter_words


def start_delay(sources: Sequence[int], columns_per_slot: int) -> int:
    """First slot in which a column can start so that every source column exists when its turn comes.

    Parameters
    ----------
    sources : source columns of the blocks
    columns_per_slot : source columns that become available per slot; 0 when all exist from the beginning
    """
    if not columns_per_slot:
        return 0
    return max(source // columns_per_slot - turn for turn, source in enumerate(sorted(sources)))


def slots_bound(lengths: Sequence[int], delays: Sequence[int], clusters: int, drains: int = 1) -> int:
    """Fewest slots for columns of the given lengths (blocks) and start delays (slots)."""
    if not lengths:
        return 0
    earliest = [length + max(delay, 0) for length, delay in zip(lengths, delays, strict=True)]
    bound = max(*earliest, _drain_bound(earliest, drains), _work_bound(lengths, delays, clusters, drains))
    while not _columns_fit(lengths, bound, clusters, drains):
        bound += 1
    return bound


def step_cycles_bound(slots: int, rows: int, streamed_blocks: int, columns: int, config: HardwareConfig) -> int:
    """Fewest cycles of a step: its slots, or its words, of which the decoder takes one a cycle."""
    return max(slots * rows, streamed_blocks * config.block_words + columns * column_parameter_words(config))


def _drain_bound(earliest: Sequence[int], drains: int) -> int:
    """Slots until all columns have ended, each not before its earliest end, ``drains`` of them a slot."""
    ends: list[int] = []
    for index, end in enumerate(sorted(earliest)):
        ends.append(end if index < drains else max(end, ends[index - drains] + 1))
    return ends[-1]


def _work_bound(lengths: Sequence[int], delays: Sequence[int], clusters: int, drains: int) -> int:
    """The work of the ``j`` clusters with most columns, done by ``used <= j`` of them, for the worst ``j``."""
    shortest = [0, *accumulate(sorted(lengths))]
    heads = [0, *accumulate(sorted(max(delay, 0) for delay in delays))]
    each, more = divmod(len(lengths), clusters)
    bound = 0
    for count in range(1, min(clusters, len(lengths)) + 1):
        work = shortest[count * each + min(count, more)]
        bound = max(bound, min(ceil_div(work + heads[used] + sum(i // drains for i in range(used)), used)
                               for used in range(1, count + 1)))
    return bound


def _columns_fit(lengths: Sequence[int], slots: int, clusters: int, drains: int) -> bool:
    shortest = list(accumulate(sorted(lengths)))
    return sum(bisect_right(shortest, slots - i // drains) for i in range(clusters)) >= len(lengths)
