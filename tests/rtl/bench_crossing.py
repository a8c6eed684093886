"""cocotb bench of the write crossing: every word arrives once, in order, whatever either side does."""

from __future__ import annotations

import os
import random
from collections.abc import Callable

import cocotb
from cocotb.triggers import FallingEdge

from rtl.crossing import WriteCrossing
from sim.bench import start, wait_cycles

BITS, STAGES = int(os.environ["BITS"]), int(os.environ["STAGES"])
FIELDS = {"address": 16, "word": 2, "data": BITS}


async def run(dut, rng: random.Random, cycles: int, offers: Callable[[int], bool],
              takes: Callable[[int], bool]) -> tuple[list[tuple[int, ...]], list[tuple[int, ...]]]:
    """Words that went in and that came out; inputs change between clock edges."""
    sent, seen, pending = [], [], None
    for cycle in range(cycles):
        await FallingEdge(dut.clk)
        if pending is None and offers(cycle):
            pending = tuple(rng.getrandbits(width) for width in FIELDS.values())
            for name, value in zip(FIELDS, pending, strict=True):
                getattr(dut, f"i__{name}").value = value
        dut.i__valid.value = int(pending is not None)
        dut.o__ready.value = int(takes(cycle))
        await cocotb.triggers.ReadOnly()
        if pending is not None and int(dut.i__ready.value):
            sent.append(pending)
            pending = None
        if int(dut.o__valid.value) and int(dut.o__ready.value):
            seen.append(tuple(int(getattr(dut, f"o__{name}").value) for name in FIELDS))
    return sent, seen


async def drain(dut) -> list[tuple[int, ...]]:
    """What is still on its way, and nothing more after it."""
    _, seen = await run(dut, random.Random(0), WriteCrossing.DEPTH + 4 * STAGES + 8, lambda _: False, lambda _: True)
    return seen


@cocotb.test()
async def any_pace(dut):
    """Random pauses on both sides, twice without a reset."""
    rng = random.Random(3)
    await start(dut)
    for offer, take in ((0.9, 0.2), (0.3, 0.9), (0.6, 0.6)):
        sent, seen = await run(dut, rng, 400, lambda _, p=offer: rng.random() < p, lambda _, p=take: rng.random() < p)
        assert len(sent) > 50
        assert seen + await drain(dut) == sent


@cocotb.test()
async def full_speed(dut):
    """One word a cycle while the far side takes them, and never more than the FIFO holds while it does not."""
    rng = random.Random(4)
    await start(dut)
    sent, seen = await run(dut, rng, 100, lambda _: True, lambda _: True)
    assert len(sent) == 100
    assert seen == sent[:len(seen)]
    assert len(seen) == 100 - STAGES - 1
    assert seen + await drain(dut) == sent
    sent, seen = await run(dut, rng, 100, lambda _: True, lambda _: False)
    assert (len(sent), seen) == (WriteCrossing.DEPTH, [])
    assert await drain(dut) == sent


@cocotb.test()
async def clear_forgets(dut):
    """Nothing comes out of what was sent before a clear, and everything of what is sent after it."""
    rng = random.Random(5)
    await start(dut)
    await run(dut, rng, 10, lambda _: True, lambda cycle: cycle > 7)
    await FallingEdge(dut.clk)
    dut.i__valid.value = 0
    dut.clear.value = 1
    await wait_cycles(dut, 2 * STAGES + 2)
    await FallingEdge(dut.clk)
    dut.clear.value = 0
    sent, seen = await run(dut, rng, 200, lambda _: True, lambda _: rng.random() < 0.5)
    assert len(sent) > 80
    assert seen + await drain(dut) == sent
