"""cocotb bench of the key/value memory."""

from __future__ import annotations

import os
from typing import Any

import cocotb
import numpy as np

from rtl.key_value import KeyValue
from sim.bench import pack, start
from tests.rtl.script import Script, check_cycles

COLUMNS = int(os.environ.get("COLUMNS", "6"))
MAX_TOKENS = int(os.environ.get("MAX_TOKENS", "48"))
ROWS = int(os.environ.get("WORD_BITS", "256")) // 128
WORDS = 16 // ROWS
VISIBLE = 2
"""Cycles from a write until its word may be requested."""


class Bench:
    """A script, and the memory contents ``(columns, tokens, 16)`` it leads to."""

    def __init__(self, dut: Any, contents: np.ndarray, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.contents = contents
        self.script = Script(dut, idle={"write__enable": 0}, seed=seed,
                             noise=("write__column", "write__token", "write__data", "column", "key_block", "word"))
        self.expected: dict[int, int] = {}

    def write(self, cycle: int, column: int, token: int) -> None:
        """Write 16 codes of a token."""
        self.contents[column, token] = self.rng.integers(-127, 128, 16)
        self.script.at(cycle, write__enable=1, write__column=column, write__token=token,
                       write__data=pack(self.contents[column, token].tolist(), 8))

    def read_tile(self, cycle: int, column: int, key_block: int, order: list[int]) -> None:
        """Request words of a 16x16 tile, one a cycle: tokens are its rows."""
        tile = self.contents[column, 16 * key_block:16 * key_block + 16]
        for index, word in enumerate(order):
            self.script.at(cycle + index, column=column, key_block=key_block, word=word)
            self.expected[cycle + index + KeyValue.LATENCY] = pack(
                tile[ROWS * word:ROWS * word + ROWS].ravel().tolist(), 8)

    async def check(self) -> None:
        """Play, and compare every word in its cycle."""
        seen = await self.script.run(["data"], settle=KeyValue.LATENCY + 1)
        check_cycles({cycle: seen["data"][cycle] for cycle in self.expected}, self.expected)


def write_columns(bench: Bench, tokens: int, columns: list[int]) -> int:
    """Columns drain token after token; the tokens of a shorter frame leave the rest as it was."""
    cycle = 0
    for column in columns:
        for token in range(tokens):
            bench.write(cycle, column, token)
            cycle += 1 + int(bench.rng.random() < 0.1)
    return cycle + VISIBLE


def read_tiles(bench: Bench, begin: int) -> None:
    """Every tile, back to back, words in order or in any order."""
    tiles = [(column, block) for column in range(COLUMNS) for block in range(MAX_TOKENS // 16)]
    bench.rng.shuffle(tiles)
    for index, (column, block) in enumerate(tiles):
        order = list(range(WORDS)) if index % 2 else bench.rng.permutation(WORDS).tolist()
        bench.read_tile(begin + WORDS * index, int(column), int(block), order)


@cocotb.test()
async def tiles(dut):
    """Frames of full, odd and short length without a reset between."""
    await start(dut)
    contents = np.zeros((COLUMNS, MAX_TOKENS, 16), np.int64)
    for seed, tokens in enumerate((MAX_TOKENS, MAX_TOKENS - 3, 5, MAX_TOKENS)):
        bench = Bench(dut, contents, seed)
        read_tiles(bench, write_columns(bench, tokens, bench.rng.permutation(COLUMNS).tolist()))
        await bench.check()


@cocotb.test()
async def tiles_read_while_others_drain(dut):
    """A tile is read while another column is written, and its last word right behind the write of its last token."""
    await start(dut)
    contents = np.zeros((COLUMNS, MAX_TOKENS, 16), np.int64)
    bench = Bench(dut, contents, seed=9)
    begin = write_columns(bench, MAX_TOKENS, list(range(COLUMNS)))
    bench.read_tile(begin, 0, 0, list(range(WORDS)))
    for token in range(16):
        bench.write(begin + token, COLUMNS - 1, token)
    bench.read_tile(begin + 16 - WORDS + VISIBLE, COLUMNS - 1, 0, list(range(WORDS)))
    await bench.check()
