"""cocotb bench of the banked activation memory."""

from __future__ import annotations

import os
from typing import Any

import cocotb
import numpy as np

from rtl.banks import Banks
from sim.bench import decode, encode, pack, start
from tests.rtl.script import Script, check_cycles

COLUMNS = int(os.environ.get("COLUMNS", "8"))
BANKS = int(os.environ.get("BANKS", "2"))
MAX_TOKENS = int(os.environ.get("MAX_TOKENS", "16"))
CLUSTERS = int(os.environ.get("CLUSTERS", "2"))
WIDE = int(os.environ.get("WIDE", "2"))
VISIBLE = 2
"""Cycles from a write until the token may be requested."""

Memory = dict[tuple[int, int], int]


class Bench:
    """A script, and the memory contents it leads to."""

    def __init__(self, dut: Any, memory: Memory, seed: int) -> None:
        unit: Any = Banks(COLUMNS, BANKS, MAX_TOKENS, CLUSTERS, WIDE)
        self._columns, self._data = unit.select_column.shape(), unit.data.shape()
        self.rng = np.random.default_rng(seed)
        self.script = Script(
            dut, idle={"select": 0, "write__enable": 0, "wide_write__enable": 0},
            noise=("select_valid", "select_column", "token", "write__column", "write__token", "write__data",
                   "wide_write__column", "wide_write__token", "wide_write__data"), seed=seed)
        self.memory = memory
        self.expected: dict[tuple[int, int], int] = {}

    def word(self) -> int:
        """16 random codes."""
        return int.from_bytes(self.rng.bytes(16), "little")

    def write(self, cycle: int, column: int, token: int) -> None:
        """Write one column's word."""
        self.memory[column, token] = word = self.word()
        self.script.at(cycle, write__enable=1, write__column=column, write__token=token, write__data=word)

    def write_wide(self, cycle: int, place: int, token: int) -> None:
        """Write neighbouring columns. If the other port writes too, it loses in their banks, and only there."""
        words = [self.word() for _ in range(WIDE)]
        self.memory.update(((WIDE * place + index, token), word) for index, word in enumerate(words))
        self.script.at(cycle, wide_write__enable=1, wide_write__column=place, wide_write__token=token,
                       wide_write__data=pack(words, 128))
        other = WIDE * place if self.rng.random() < 0.5 else int(self.rng.integers(COLUMNS))
        if other // WIDE % (BANKS // WIDE) == place % (BANKS // WIDE):
            self.script.at(cycle, write__enable=1, write__column=other, write__token=token, write__data=self.word())
        else:
            self.write(cycle, other, int(self.rng.integers(MAX_TOKENS)))

    def select(self, cycle: int, columns: list[int | None]) -> None:
        """Name columns ``Banks.SELECT`` cycles ahead and take them over in ``cycle``."""
        named = [int(self.rng.integers(COLUMNS)) if column is None else column for column in columns]
        valid = sum(int(column is not None) << reader for reader, column in enumerate(columns))
        for at in range(cycle - Banks.SELECT, cycle + 1):
            self.script.at(at, select_valid=valid, select_column=encode(self._columns, named))
        self.script.at(cycle, select=1)

    def read(self, cycle: int, columns: list[int | None], token: int) -> None:
        """Request a token of the columns that have been taken over."""
        self.script.at(cycle, token=token)
        for reader, column in enumerate(columns):
            if column is not None:
                self.expected[cycle + Banks.LATENCY, reader] = self.memory[column, token]

    async def check(self) -> None:
        """Play, and compare what each reader gets, cycle by cycle."""
        seen = await self.script.run(["data"], settle=Banks.LATENCY + 2)
        got = {(cycle, reader): decode(self._data, seen["data"][cycle])[reader] for cycle, reader in self.expected}
        check_cycles(got, self.expected)


def choose(rng: np.random.Generator, columns: list[int]) -> list[int | None]:
    """A column for each reader, one per bank at most; several readers may share one, some have none."""
    of_bank: dict[int, int] = {}
    chosen: list[int | None] = []
    for _ in range(CLUSTERS):
        column = int(rng.choice(columns))
        column = of_bank.setdefault(column % BANKS, column)
        chosen.append(None if rng.random() < 0.2 else column)
    return chosen


def fill(bench: Bench, begin: int) -> int:
    """Write everything, some columns together or one by one; returns the cycle after."""
    places = [(column, token) for column in range(0, COLUMNS, WIDE) for token in range(MAX_TOKENS)]
    bench.rng.shuffle(places)
    cycle = begin
    for column, token in places:
        if bench.rng.random() < 0.5:
            bench.write_wide(cycle, column // WIDE, token)
            cycle += 1
        else:
            for single in range(column, column + WIDE):
                bench.write(cycle, single, token)
                cycle += 1
    return cycle


def slots(bench: Bench, begin: int, count: int, tokens: int) -> int:
    """Slots without a gap between them, random tokens among them, with writes into columns that nobody reads."""
    cycle = begin + 4
    for index in range(count):
        columns = choose(bench.rng, list(range(COLUMNS)))
        bench.select(cycle - 1, columns)
        others = [column for column in range(COLUMNS) if column not in columns]
        for token in (range(tokens) if index % 2 else bench.rng.permutation(MAX_TOKENS)[:tokens].tolist()):
            bench.read(cycle, columns, token)
            if others and bench.rng.random() < 0.5:
                bench.write(cycle, int(bench.rng.choice(others)), int(bench.rng.integers(MAX_TOKENS)))
            cycle += 1
        cycle += 0 if index % 3 else int(bench.rng.integers(0, 4))
    return cycle + VISIBLE


@cocotb.test()
async def filled_and_read(dut):
    """Two frames without a reset: everything written by both ports, then slots back to back."""
    await start(dut)
    memory: Memory = {}
    for frame, tokens in enumerate((MAX_TOKENS, max(5, MAX_TOKENS - 3))):
        bench = Bench(dut, memory, seed=frame)
        cycle = fill(bench, 0)
        slots(bench, cycle, 24, tokens)
        await bench.check()


@cocotb.test()
async def read_just_behind_the_write(dut):
    """A column is read ``VISIBLE`` cycles behind the port that writes it, as behind a norm pass."""
    await start(dut)
    memory: Memory = {}
    cycle = fill(bench := Bench(dut, memory, seed=3), 0)
    for index in range(6):
        column = int(bench.rng.integers(COLUMNS))
        columns: list[int | None] = [column] * CLUSTERS
        cycle += 6
        bench.select(cycle - 1, columns)
        for token in range(MAX_TOKENS):
            if index % 2:
                bench.write(cycle + token - VISIBLE, column, token)
            else:
                bench.write_wide(cycle + token - VISIBLE, column // WIDE, token)
            bench.read(cycle + token, columns, token)
        cycle += MAX_TOKENS
    await bench.check()
