"""Where WRITE packets go: into the gaps between slots, where the decoder would otherwise wait.

A packet in gap ``g`` is taken once slot ``g - 1`` is loaded, and before slot ``g`` is. In gaps 0 and 1 the step before
may still run, so a table is written during a step whose predecessor does not use it either. Gap 0 delays the step's
first slot and is left to the first step of a program, which has to wait for the image anyway.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from flows.compile.schedule import Schedule
from flows.compile.steps import Parameters, Step
from flows.contracts.hardware import HardwareConfig, ceil_div
from flows.contracts.program import Target, column_parameter_words, slot_header_words
from flows.contracts.timing import Timing

MAX_PACKET_WORDS = 1023


def place_writes(step: Step, placed: Schedule, config: HardwareConfig) -> dict[int, list[Parameters]]:
    """Packets by gap. Small tables fill the gaps from the front; the initial residual is spread evenly over the slots
    before the first drain, as the image is loaded at the same time, and what does not fit comes before slot 0."""
    places = _Places(step, placed, config)
    for parameters in step.writes:
        if parameters.target is Target.RESIDUAL:
            places.spread_residual(parameters, int(np.flatnonzero(placed.drain >= 0)[0]))
        else:
            places.fill(parameters)
    return places.gaps


class _Places:
    """The gaps of a step, with the cycles that the decoder has left in each and the packets put there."""

    def __init__(self, step: Step, placed: Schedule, config: HardwareConfig) -> None:
        self.config, self.tokens = config, step.tokens
        self.cycles = max(config.streaming_cycles(step.tokens, drops=False), Timing().min_slot)
        self.gaps: dict[int, list[Parameters]] = {gap: [] for gap in range(placed.slots + 1)}
        valid = (placed.job >= 0).sum(axis=1)
        load = slot_header_words(config) + config.block_words * valid + column_parameter_words(config)
        load += Timing().slot_decode
        self.rooms = [0, *(max(0, self.cycles - int(busy)) for busy in load[1:]), 0]
        self.candidates = list(range(1, placed.slots)) or [placed.slots]
        self.table_gap = 0  # first gap in which the last table word has been written
        self.leftover = 0

    def fill(self, table: Parameters) -> None:
        """One packet per address; those that fit nowhere are dealt out over the gaps in turn."""
        words = table.rows.shape[1] // self.config.stream_bytes
        cost = words * Timing().write_word(table.target, self.config) + 1
        in_background = table.target in (Target.EXP, Target.GELU)
        spacing = ceil_div(Timing().table_word(self.config), self.cycles) if in_background else 0
        entries = self.config.stream_bytes if in_background else 1
        first = self.table_gap if in_background else 0
        for row, data in enumerate(table.rows):
            gap = self._gap(first, cost)
            if in_background:
                first = self.table_gap = gap + spacing
            self.rooms[gap] -= cost
            self.gaps[gap].append(Parameters(table.target, table.address + row * entries, data))

    def _gap(self, first: int, cost: int) -> int:
        """The first gap with room; without any, the first gap at all, or one after the other."""
        fitting = next((gap for gap in self.candidates if gap >= first and self.rooms[gap] >= cost), None)
        if fitting is not None:
            return fitting
        later = next((gap for gap in self.candidates if gap >= first > 0), None)
        if later is not None:
            return later
        self.leftover += 1
        return self.candidates[(self.leftover - 1) % len(self.candidates)]

    def spread_residual(self, table: Parameters, first_drain: int) -> None:
        """Evenly over the gaps up to the first drain."""
        total, column_words = len(table.rows), ceil_div(self.tokens, table.tokens)
        cost = Timing().write_word(table.target, self.config)
        share = ceil_div(total, max(first_drain, 1))
        sizes = [0, *(max(0, min(share, (self.rooms[gap] - 2) // cost)) for gap in range(1, first_drain + 1))]
        sizes[0] = max(0, total - sum(sizes))
        begin = 0
        for gap, most in enumerate(sizes):
            size = min(most, total - begin)
            for first, last in _pieces(begin, begin + size, column_words):
                column, word = divmod(first, column_words)
                address = column * self.config.max_tokens + word * table.tokens
                self.gaps[gap].append(Parameters(Target.RESIDUAL, address, table.rows[first:last]))
            self.rooms[gap] -= size * cost + 2
            begin += size


def _pieces(begin: int, end: int, column_words: int) -> Iterator[tuple[int, int]]:
    """Cut at column borders, because addresses jump there."""
    while begin < end:
        stop = min(end, (begin // column_words + 1) * column_words, begin + MAX_PACKET_WORDS)
        yield begin, stop
        begin = stop
