"""cocotb bench of the logit buffer."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import cocotb
import numpy as np

from sim.bench import Gaps, Monitor, check_equal, start, wait_cycles
from tests.rtl.script import Script, bench_config

COLUMNS = bench_config().class_cols
INPUTS = ("clear", "send", "write__enable")
PERIOD = 3
"""Cycles per word when the receiver is always ready."""


async def pulse(dut: Any, name: str) -> None:
    """One cycle of 1."""
    handle = getattr(dut, name)
    handle.value = 1
    await wait_cycles(dut, 1)
    handle.value = 0
    await wait_cycles(dut, 1)


async def fill(dut: Any, rng: np.random.Generator, columns: int, *, before: int = 0) -> list[int]:
    """Columns in any order, some with rows of other tokens, which do not count.

    ``before`` words have been written since the last clear; they are perhaps being handed over.
    """
    script = Script(dut, idle=dict.fromkeys(INPUTS, 0), seed=int(rng.integers(1 << 30)),
                    noise=("write__column", "write__token", "write__data"))
    words = [int.from_bytes(rng.bytes(32), "little") for _ in range(columns)]
    cycle, counts, highest = 2, {}, before
    for column in rng.permutation(columns).tolist():
        script.at(cycle, write__enable=1, write__column=column, write__token=0, write__data=words[column])
        highest = max(highest, column + 1)
        counts[cycle + 1] = highest
        for token in range(1, int(rng.integers(1, 4))):
            cycle += 1
            script.at(cycle, write__enable=1, write__column=column, write__token=token)
        cycle += 1 + int(rng.integers(0, 3))
    seen = (await script.run(["words", "o__valid"], settle=2))
    assert before or not any(seen["o__valid"])
    count = before
    for at, got in enumerate(seen["words"]):
        count = counts.get(at, count)
        assert got == count, f"cycle {at}: {got} words, expected {count}"
    return words


async def frames(dut: Any, gaps: Gaps | None) -> None:
    """Full and partial buffers without a reset between."""
    await start(dut, inputs=dict.fromkeys(INPUTS, 0))
    rng = np.random.default_rng(1)
    monitor = Monitor(dut, "o", gaps=gaps)
    for columns in (COLUMNS, max(1, COLUMNS - 2), 1, COLUMNS):
        await pulse(dut, "clear")
        words = await fill(dut, rng, columns)
        first = len(monitor.words)
        await pulse(dut, "send")
        await monitor.wait_for(first + columns, timeout=20 * columns + 40)
        await wait_cycles(dut, 12)
        check_equal(monitor.words[first:], words, constant_ok=columns == 1)
        cycles = monitor.cycles[first:]
        steps = {after - before for before, after in pairwise(cycles)}
        assert gaps is not None or steps <= {PERIOD}, f"a word every {sorted(steps)} cycles"


@cocotb.test()
async def always_ready(dut):
    """A word every three cycles."""
    await frames(dut, None)


@cocotb.test()
async def seldom_ready(dut):
    """A receiver that makes the words wait."""
    await frames(dut, Gaps(0.5, longest=7, seed=2))


@cocotb.test()
async def nothing_written(dut):
    """Nothing to hand over: no word comes, whatever was there before the clear."""
    await start(dut, inputs=dict.fromkeys(INPUTS, 0))
    rng = np.random.default_rng(2)
    await fill(dut, rng, COLUMNS)
    await pulse(dut, "clear")
    assert int(dut.words.value) == 0
    monitor = Monitor(dut, "o")
    await pulse(dut, "send")
    await wait_cycles(dut, 12)
    assert monitor.words == []


@cocotb.test()
async def cleared_while_sending(dut):
    """A clear ends the transfer; the next run's words come whole and from the first."""
    await start(dut, inputs=dict.fromkeys(INPUTS, 0))
    rng = np.random.default_rng(3)
    await pulse(dut, "clear")
    words = await fill(dut, rng, COLUMNS)
    monitor = Monitor(dut, "o")
    await pulse(dut, "send")
    await monitor.wait_for(1, timeout=20)
    await pulse(dut, "clear")
    sent = len(monitor.words)
    await wait_cycles(dut, 20)
    assert monitor.words == words[:sent] and sent < max(2, COLUMNS)
    words = await fill(dut, rng, COLUMNS)
    await pulse(dut, "send")
    await wait_cycles(dut, 4 * COLUMNS + 12)
    check_equal(monitor.words[sent:], words, constant_ok=COLUMNS == 1)


@cocotb.test()
async def written_while_sending(dut):
    """The next image's logits may come, all of them, while the last one's are handed over."""
    await start(dut, inputs=dict.fromkeys(INPUTS, 0))
    rng = np.random.default_rng(4)
    await pulse(dut, "clear")
    monitor = Monitor(dut, "o", gaps=Gaps(0.9, longest=12, seed=5))
    expected = await fill(dut, rng, COLUMNS)
    for _ in range(5):
        await pulse(dut, "send")
        following = await fill(dut, rng, COLUMNS, before=COLUMNS)
        await monitor.wait_for(len(expected), timeout=60 * COLUMNS + 40)
        await wait_cycles(dut, 30)
        check_equal(monitor.words, expected, constant_ok=COLUMNS == 1)
        expected += following
