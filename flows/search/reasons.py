"""Why a search chose what it chose, or found nothing, in words."""

from __future__ import annotations

import math
from collections.abc import Sequence

from boards.board import Board
from flows.contracts.hardware import HardwareConfig
from flows.search.limits import NAMES, Shortage
from flows.search.result import Point

MEMORY_BOUND = 0.6
"""Share of the cycles in which the memory delivers from which on it is called the limit."""

Dropped = tuple[HardwareConfig, Shortage, int]
"""A configuration that does not fit, what it lacks, and the bound on its cycles."""


def of_choice(choice: Point, front: Sequence[Point], dropped: Sequence[Dropped], board: Board,
              latency_ms: float | None) -> list[str]:
    """Sentences about a configuration that was chosen."""
    share, kind = choice.placement.largest
    fastest = front[-1]
    lines = []
    if latency_ms is not None:
        lines.append(f"smallest configuration that takes at most {latency_ms:g} ms: {choice.milliseconds:.3f} ms, "
                     f"{share:.0%} of the {NAMES[kind]}")
    elif choice is fastest:
        lines.append(f"fastest configuration within the limits: {choice.milliseconds:.3f} ms, {share:.0%} of the "
                     f"{NAMES[kind]}")
    else:
        lines.append(f"within 3 % of the fastest ({fastest.milliseconds:.3f} ms at {fastest.share:.0%} of the "
                     f"{NAMES[fastest.placement.largest[1]]}) and the smallest such: {choice.milliseconds:.3f} ms, "
                     f"{share:.0%} of the {NAMES[kind]}")
    lines.append(_memory(choice, board))
    if latency_ms is None and not _memory_bound(choice):
        lines += _next_larger(choice, dropped)
    if len(board.slrs) > 1:
        lines.append(_dies(choice))
    return lines


def of_failure(front: Sequence[Point], dropped: Sequence[Dropped], board: Board, latency_ms: float | None) -> list[str]:
    """Sentences about a search without a choice."""
    if front:
        fastest = front[-1]
        limit = _memory(fastest, board) if _memory_bound(fastest) else next(iter(_next_larger(fastest, dropped)), "")
        text = (f"no configuration that fits {board.name} takes {latency_ms:g} ms or less; the fastest "
                f"({size(fastest.config)}) takes {fastest.milliseconds:.3f} ms")
        return [text, limit] if limit else [text]
    config, shortage, _ = min(dropped, key=lambda item: (item[1].excess, item[0].macs_per_cycle))
    lines = [f"none of {len(dropped)} configurations fits {board.name}; the closest ({size(config)}) needs {shortage}"]
    if shortage.share <= 1 and not shortage.also and not shortage.dies:
        share = math.ceil(shortage.share * 100) / 100
        lines.append(f"the device has enough: 'sievit search --limit {shortage.kind}={share:g}' allows it, at the cost "
                     "of hard routing")
    return lines


def size(config: HardwareConfig) -> str:
    """``4 clusters x 2 groups``, and ``, a row every 2 cycles``."""
    rows = f", a row every {config.row_cycles} cycles" if config.row_cycles > 1 else ""
    return f"{_count(config.clusters, 'cluster')} x {_count(config.groups, 'group')}{rows}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _memory_bound(point: Point) -> bool:
    return point.memory_cycles > MEMORY_BOUND * point.cycles


def _memory(point: Point, board: Board) -> str:
    part = point.memory_cycles / point.cycles
    rate = min(board.memory.usable_gbs, point.config.bus_bits / 8 * board.clock_mhz / 1000)
    text = (f"program and image take {point.memory_cycles / point.config.clock_mhz / 1000:.3f} ms of it to read at "
            f"{rate:.3g} GB/s ({part:.0%})")
    if _memory_bound(point):
        return f"limited by memory: {text}, so more clusters would gain little"
    return f"limited by the array, not by memory: {text}"


def _next_larger(choice: Point, dropped: Sequence[Dropped]) -> list[str]:
    """The least of what a faster configuration would need too much of."""
    faster = [item for item in dropped if item[2] < 0.97 * choice.cycles and
              item[0].macs_per_cycle > choice.config.macs_per_cycle]
    if not faster:
        return []
    config, shortage, _ = min(faster, key=lambda item: (item[1].excess, item[2]))
    return [f"the next larger ({size(config)}) does not fit: it needs {shortage}"]


def _dies(choice: Point) -> str:
    parts = [f"{_count(count, 'group')} in SLR{index}" for index, count in enumerate(choice.placement.groups) if count]
    crossings = choice.config.crossings
    way = f", {_count(crossings, 'register stage')} on the way" if crossings else ""
    return f"{', '.join(parts)}; everything shared in SLR{choice.placement.shared}{way}"
