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

When columns may be divided between two clusters (:func:`split_bound`), whose halves end in the same slot, these become:

*work*
    ``drains`` columns end in a slot and set free two clusters each, so the clusters end at ``T, T, T - 1, T - 1 ...``.
    To these idle slots come those before: a cluster is busy with its first column until that drains. The first columns
    of the clusters are different ones, or shared by two, and drain in different slots, none earlier than its source
    columns allow; what these slots offer beyond the blocks of that many longest columns is lost.
*halves*
    Columns longer than the step have two parts. Where there are more parts than clusters, some columns have to leave
    a cluster to another one, which has to come early enough, in different slots.
*sources*
    Until slot ``t``, only blocks whose source columns exist by then can have been done.
*drains*
    As above, with the earliest end of a column on two clusters.
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


def earliest_end(releases: Sequence[int]) -> int:
    """Fewest slots from the start of the step until a column has ended when two clusters work on it.

    Parameters
    ----------
    releases : first slot in which each block's source column exists
    """
    count = len(releases)
    return max(release + ceil_div(count - turn, 2) for turn, release in enumerate(sorted(releases)))


def split_bound(releases: Sequence[Sequence[int]], clusters: int, drains: int = 1) -> int:
    """Fewest slots when every column may be divided between two clusters.

    Parameters
    ----------
    releases : per column, the first slot in which each block's source column exists
    """
    if not releases:
        return 0
    ends = [earliest_end(column) for column in releases]
    lengths = [len(column) for column in releases]
    losses = _start_losses(ends, lengths, clusters)
    bound = max(_drain_bound(ends, drains), _release_bound(releases, max(losses)))
    tails = {used: sum(i // (2 * drains) for i in range(used)) for used in losses}
    bound = max(bound, min(ceil_div(sum(lengths) + loss + tails[used], used) for used, loss in losses.items()))
    waits = {used: _wait_loss(releases, ends, used, bound - used // (2 * drains)) for used in losses}
    bound = max(bound, min(ceil_div(sum(lengths) + wait + tails[used], used) for used, wait in waits.items()))
    while not _halves_fit(lengths, bound, clusters, drains):
        bound += 1
    return bound


def _halves_fit(lengths: Sequence[int], slots: int, clusters: int, drains: int) -> bool:
    """Whether there are enough columns that leave a cluster to another column early enough.

    Columns longer than ``slots`` have two parts, the others one at least; all parts but the first to end on each
    cluster precede another one, counted backwards from the end of the step.
    """
    parts = len(lengths) + sum(length > slots for length in lengths)
    latest = slots - ceil_div(min(lengths), 2)  # start of the last column, backwards
    # A column that starts at r leaves a cluster to the next one at x <= latest; the other works until y <= slots, and
    # both together do its blocks, x + y - 2 r; it leaves both when x and y are early enough.
    one = [(latest + slots - length) // 2 for length in lengths]
    both = [(2 * latest - length) // 2 for length in lengths]
    return parts - clusters <= _different_starts(one, drains) + _different_starts(both, drains)


def _different_starts(latest: Sequence[int], drains: int) -> int:
    """Most columns that can start not later than each may, ``drains`` in a slot."""
    count = 0
    for last in sorted(latest):
        count += count // drains <= last
    return count


def _start_losses(ends: Sequence[int], lengths: Sequence[int], clusters: int) -> dict[int, int]:
    """By number of clusters used: their slots before their first columns drain, less the blocks of these columns.

    The columns that lose least, each on one cluster or shared by two, none of them draining together: dynamic
    programming over columns in the order of their earliest ends.
    """
    least: dict[tuple[int, int], int] = {(0, 0): 0}
    for end, length in sorted(zip(ends, lengths, strict=True)):
        for (used, last), loss in list(least.items()):
            slot = max(end, last + 1)
            for more in (1, 2):
                state, cost = (used + more, slot), loss + more * slot - length
                if used + more <= clusters and cost < least.get(state, cost + 1):
                    least[state] = cost
    found: dict[int, int] = {}
    for (used, _), loss in least.items():
        if used:
            found[used] = max(0, min(loss, found.get(used, loss)))
    return found


def _wait_loss(releases: Sequence[Sequence[int]], ends: Sequence[int], used: int, before: int) -> int:
    """Slots of ``used`` clusters that are idle until a slot earlier than ``before``, for the worst such slot.

    A column that has been begun has drained, if it can have by then, or occupies a cluster; and of its blocks only
    those are done whose source columns exist.
    """
    loss = 0
    for slots in range(1, min(before, max(column[-1] for column in map(sorted, releases)) + 1) + 1):
        done = sum(len(column) for column, end in zip(releases, ends, strict=True) if end <= slots)
        under_way = sorted((sum(release < slots for release in column)
                            for column, end in zip(releases, ends, strict=True) if end > slots), reverse=True)
        loss = max(loss, used * slots - done - sum(under_way[:used]))
    return loss


def _release_bound(releases: Sequence[Sequence[int]], clusters: int) -> int:
    """Slots for the blocks that cannot be done before their source columns exist."""
    late = sorted((release for column in releases for release in column), reverse=True)
    return max(release + ceil_div(index + 1, clusters) for index, release in enumerate(late))


def step_cycles_bound(slots: int, slot_cycles: int, streamed_blocks: int, columns: int, config: HardwareConfig) -> int:
    """Fewest cycles of a step: its slots, or its words, of which the decoder takes one a cycle."""
    return max(slots * slot_cycles, streamed_blocks * config.block_words + columns * column_parameter_words(config))


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
