"""cocotb bench of the column queue: sets of parameters and columns pushed at their own pace, taken together."""

from __future__ import annotations

from collections import deque
from typing import Any

import cocotb
import numpy as np

from flows.contracts.program import COLUMN_PARAMETER_BITS, column_parameter_words
from rtl.column_queue import ColumnQueue, info_layout
from sim.bench import mask, start
from tests.rtl.script import Script, bench_config

CONFIG = bench_config()
WORDS = column_parameter_words(CONFIG)
INFO_BITS = info_layout().size
LATENCY = 2
"""Cycles from a push, or a take, until the outputs show it."""
BETWEEN_TAKES = 3


class Model:
    """The queues as Python lists, and what they must show when."""

    def __init__(self, script: Script, seed: int) -> None:
        self.script, self.rng = script, np.random.default_rng(seed)
        self.sets: deque[tuple[int, int]] = deque()   # (visible from, parameters)
        self.infos: deque[tuple[int, int]] = deque()
        self.expected: dict[int, tuple[int, int]] = {}

    def bits(self, width: int) -> int:
        return int.from_bytes(self.rng.bytes(-(-width // 8)), "little") & mask(width)

    def load(self, cycle: int, word: int, row: int) -> None:
        """One word of a set; the last one makes it visible."""
        self.script.at(cycle, parameter_load__valid=1,
                       parameter_load__payload=row >> CONFIG.stream_bits * word & mask(CONFIG.stream_bits))
        if word == WORDS - 1:
            self.sets.append((cycle + LATENCY, row & mask(COLUMN_PARAMETER_BITS)))

    def begin(self, cycle: int) -> None:
        """A slot that drains starts."""
        info = self.bits(INFO_BITS)
        self.script.at(cycle, started__valid=1, started__payload=info)
        self.infos.append((cycle + LATENCY, info))

    def take(self, cycle: int) -> bool:
        """Use the oldest column, if it is there."""
        if not (self.sets and self.infos and max(self.sets[0][0], self.infos[0][0]) <= cycle):
            return False
        self.script.at(cycle, take=1)
        self.expected[cycle] = (self.sets.popleft()[1], self.infos.popleft()[1])
        return True


def random_traffic(model: Model, cycles: int, pace: float) -> int:
    """Loads, starts and takes, each at random; at most ``SETS`` sets wait, and no column starts without its set."""
    word, row, last_take, waiting, starts = 0, 0, -BETWEEN_TAKES, 0, 0
    for cycle in range(cycles):
        if model.rng.random() < pace and (word or waiting < ColumnQueue.SETS):
            row = model.bits(WORDS * CONFIG.stream_bits) if word == 0 else row
            model.load(cycle, word, row)
            word = (word + 1) % WORDS
            waiting += word == 0
        elif starts < waiting and model.rng.random() < pace:
            model.begin(cycle)
            starts += 1
        if cycle - last_take >= BETWEEN_TAKES and model.rng.random() < pace and model.take(cycle):
            last_take, waiting, starts = cycle, waiting - 1, starts - 1
    return cycles


async def play(dut: Any, model: Model) -> None:
    """Run the script and compare the outputs in the cycles of takes."""
    seen = await model.script.run(["parameters", "info"], settle=4)
    got = {cycle: (seen["parameters"][cycle], seen["info"][cycle]) for cycle in model.expected}
    assert got == model.expected and len(set(got.values())) == len(got) > 20


def new_script(dut: Any, seed: int) -> Script:
    return Script(dut, idle={"clear": 0, "take": 0, "parameter_load__valid": 0, "started__valid": 0},
                  noise=("parameter_load__payload", "started__payload"), seed=seed)


@cocotb.test()
async def columns(dut):
    """Random traffic at several paces; between them the queue is cleared with sets, and part of one, inside."""
    await start(dut, inputs={"clear": 0, "take": 0, "parameter_load__valid": 0, "started__valid": 0})
    for seed, pace in enumerate((1.0, 0.5, 0.9, 0.2)):
        script = new_script(dut, seed)
        model = Model(script, seed)
        random_traffic(model, 600, pace)
        await play(dut, model)
        leave = new_script(dut, 100 + seed)
        leave.at(0, parameter_load__valid=1)  # part of a set is left behind
        leave.at(2, clear=1)
        await leave.run([], settle=1)


@cocotb.test()
async def full(dut):
    """As many columns as there are places, then all of them taken as fast as allowed."""
    await start(dut, inputs={"clear": 0, "take": 0, "parameter_load__valid": 0, "started__valid": 0})
    model, cycle = Model(new_script(dut, 9), 9), 0
    for _ in range(8):
        for _ in range(ColumnQueue.SETS):
            row = model.bits(WORDS * CONFIG.stream_bits)
            for word in range(WORDS):
                model.load(cycle, word, row)
                cycle += 1
            model.begin(cycle)
        cycle += LATENCY
        for _ in range(ColumnQueue.SETS):
            assert model.take(cycle)
            cycle += BETWEEN_TAKES
    await play(dut, model)
