"""Where WRITE packets go: into the gaps between slots, where the decoder would otherwise wait.

A packet in gap ``g`` is taken once slot ``g - 1`` is loaded, and before slot ``g`` is. In gaps 0 and 1 the step before
may still run, so a table is written during a step whose predecessor does not use it either. Gap 0 delays the step's
first slot and is left to the first step of a program, which has to wait for the image anyway.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from flows.compile.layout import WORD_BYTES
from flows.compile.schedule import Schedule
from flows.compile.steps import Parameters, Step
from flows.contracts.hardware import HardwareConfig, ceil_div
from flows.contracts.program import BLOCK_WORDS, COLUMN_PARAMETER_WORDS, Target, slot_header_words
from flows.contracts.timing import Timing

MARGIN = 24
"""Cycles of a slot that are left free, for the gap after its start and for words that come late."""
MAX_PACKET_WORDS = 1023


@dataclass(frozen=True)
class _Gap:
    """Cycles the decoder has left in a gap, and the packets put there."""

    room: int
    packets: list[Parameters]


def place_writes(step: Step, placed: Schedule, config: HardwareConfig) -> dict[int, list[Parameters]]:
    """Packets by gap. Small tables fill the gaps from the front; the initial residual is spread evenly over the slots
    before the first drain, as the image is loaded at the same time, and what does not fit comes before slot 0."""
    gaps = {gap: [] for gap in range(placed.slots + 1)}
    rooms = _rooms(step, placed, config)
    for parameters in step.writes:
        if parameters.target is Target.RESIDUAL:
            _spread_residual(parameters, step.tokens, config, _first_drain(placed), rooms, gaps)
        else:
            _fill_tables(parameters, placed.slots, rooms, gaps)
    return gaps


def _first_drain(placed: Schedule) -> int:
    return int(np.flatnonzero(placed.drain >= 0)[0])


def _rooms(step: Step, placed: Schedule, config: HardwareConfig) -> list[int]:
    """Cycles left in each gap: a slot of tokens less what the decoder needs for the next slot."""
    valid = (placed.job >= 0).sum(axis=1)
    load = slot_header_words(config) + BLOCK_WORDS * valid + COLUMN_PARAMETER_WORDS
    rows = config.slot_rows(step.tokens, drops=False)
    return [0, *(max(0, rows - int(cycles) - MARGIN) for cycles in load[1:]), 0]


def _fill_tables(table: Parameters, slots: int, rooms: list[int], gaps: dict[int, list[Parameters]]) -> None:
    """One packet per address; those that fit nowhere are dealt out over the gaps in turn."""
    candidates = list(range(1, slots)) or [slots]
    cursor, cost = 0, Timing().write_word[table.target] * (table.rows.shape[1] // WORD_BYTES) + 1
    entries = WORD_BYTES if table.target in (Target.EXP, Target.GELU) else 1
    leftover = 0
    for row, data in enumerate(table.rows):
        while cursor < len(candidates) and rooms[candidates[cursor]] < cost:
            cursor += 1
        if cursor < len(candidates):
            gap = candidates[cursor]
        else:
            gap, leftover = candidates[leftover % len(candidates)], leftover + 1
        rooms[gap] -= cost
        gaps[gap].append(Parameters(table.target, table.address + row * entries, data))


def _spread_residual(table: Parameters, tokens: int, config: HardwareConfig, first_drain: int, rooms: list[int],
                     gaps: dict[int, list[Parameters]]) -> None:
    total = len(table.rows)
    share = ceil_div(total, max(first_drain, 1))
    sizes = [0, *(max(0, min(share, rooms[gap] - 2)) for gap in range(1, first_drain + 1))]
    sizes[0] = max(0, total - sum(sizes))
    begin = 0
    for gap, most in enumerate(sizes):
        size = min(most, total - begin)
        for first, last in _pieces(begin, begin + size, tokens):
            column, token = divmod(first, tokens)
            gaps[gap].append(Parameters(Target.RESIDUAL, column * config.max_tokens + token, table.rows[first:last]))
        rooms[gap] -= size + 2
        begin += size


def _pieces(begin: int, end: int, tokens: int) -> Iterator[tuple[int, int]]:
    """Cut at column borders, because addresses jump there."""
    while begin < end:
        stop = min(end, (begin // tokens + 1) * tokens, begin + MAX_PACKET_WORDS)
        yield begin, stop
        begin = stop
