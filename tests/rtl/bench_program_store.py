"""cocotb bench of the program store: what leaves it is the program, pass after pass, wherever it comes from."""

from __future__ import annotations

import random
from typing import Any

import cocotb
from cocotb.triggers import RisingEdge

from flows.contracts.program import HELLO, MAGIC, Kind, pack
from sim.bench import Gaps, Monitor, check_equal, send_stream, start, wait_cycles
from tests.rtl.script import bench_config

CONFIG = bench_config()
DEPTH = CONFIG.resident_words
SIZES = (2, 3, 127, 128, DEPTH - 1, DEPTH)
RESTART = 5
"""Cycles from the last word of the first pass to the first of the second."""


def program(words: int, seed: int, *, resident: int = 1, claimed: int | None = None) -> list[int]:
    """A HELLO with the store's flag, and random words."""
    rng = random.Random(seed)
    fields = {"kind": Kind.HELLO, "magic": MAGIC, "resident": resident, "words": claimed or words}
    # What lies above the header's fields is not looked at.
    hello = pack(HELLO, fields) | rng.getrandbits(CONFIG.stream_bits - 200) << 200
    return [hello, *(rng.getrandbits(CONFIG.stream_bits) for _ in range(words - 1))]


async def opened(dut: Any, gaps: Gaps | None = None) -> Monitor:
    await start(dut, inputs={"clear": 0, "i__valid": 0, "o__ready": 1})
    return Monitor(dut, "o", gaps=gaps)


async def clear(dut: Any, monitor: Monitor) -> None:
    """As the top does it: no word comes in the cycles around it."""
    dut.clear.value = 1
    await wait_cycles(dut, 1)
    dut.clear.value = 0
    await wait_cycles(dut, 2)
    monitor.words.clear()
    monitor.cycles.clear()


async def passes_of(dut: Any, monitor: Monitor, words: list[int], count: int, gaps: Gaps | None = None) -> None:
    """Feed the program once; all that leaves must be the program again and again."""
    await send_stream(dut, "i", words, gaps=gaps)
    await monitor.wait_for(count * len(words), timeout=12 * count * len(words) + 100)
    got = monitor.words[:count * len(words)]
    check_equal(got, words * count)


@cocotb.test()
async def resident_programs(dut: Any) -> None:
    """Programs of several sizes one after the other; one word a cycle."""
    monitor = await opened(dut)
    for seed, size in enumerate(SIZES):
        words = program(size, seed)
        await passes_of(dut, monitor, words, 3)
        cycles = monitor.cycles[:3 * size]
        assert cycles == [cycles[0] + index for index in range(size)] + [
            cycles[0] + size - 1 + RESTART + index for index in range(2 * size)]
        assert not int(dut.more.value)
        await clear(dut, monitor)


@cocotb.test()
async def resident_programs_with_stalls(dut: Any) -> None:
    """Random pauses on both sides."""
    monitor = await opened(dut, Gaps(0.4, seed=1))
    for seed, size in enumerate(SIZES):
        await passes_of(dut, monitor, program(size, 10 + seed), 3, Gaps(0.4, seed=seed))
        assert not int(dut.more.value)
        await clear(dut, monitor)


@cocotb.test()
async def nothing_is_taken_after_the_first_pass(dut: Any) -> None:
    """Words that come all the same are not mixed up with the program."""
    monitor = await opened(dut)
    words = program(40, 20)
    extra = cocotb.start_soon(send_stream(dut, "i", [*words, *program(40, 21)]))
    await monitor.wait_for(200, timeout=400)
    check_equal(monitor.words[:200], words * 5)
    assert not extra.done() and int(dut.i__valid.value) and not int(dut.i__ready.value)
    extra.cancel()


@cocotb.test()
async def other_programs(dut: Any) -> None:
    """Not resident, or too long for the store, or not even a program: nothing but the words that come."""
    monitor = await opened(dut)
    cases = (program(50, 30, resident=0), program(50, 31, claimed=DEPTH + 1), program(50, 32, claimed=DEPTH + 50),
             program(50, 33, claimed=1 << 31), program(50, 35, claimed=1))
    for words in cases:
        assert not int(dut.more.value)
        await send_stream(dut, "i", words * 2, gaps=Gaps(0.1, seed=34))
        await wait_cycles(dut, 30)
        check_equal(monitor.words, words * 2)
        assert int(dut.more.value)
        await clear(dut, monitor)
    # As before: a resident one.
    await passes_of(dut, monitor, program(50, 36), 2)


@cocotb.test()
async def cleared_anywhere(dut: Any) -> None:
    """In the first pass, between passes, in later ones: the next program is whole."""
    monitor = await opened(dut, Gaps(0.2, seed=2))
    edge, size = RisingEdge(dut.clk), 12
    for cycles in range(1, 60):
        feed = cocotb.start_soon(send_stream(dut, "i", program(size, 100 + cycles)))
        for _ in range(cycles):
            await edge
        feed.cancel()
        dut.i__valid.value = 0
        await clear(dut, monitor)
        await passes_of(dut, monitor, program(size + cycles % 3, 200 + cycles), 2)
        await clear(dut, monitor)
