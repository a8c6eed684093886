"""cocotb bench of the skid buffer: every word once and in order, and no path from one end to the other."""

from __future__ import annotations

import os
import random
from collections.abc import Callable

import cocotb
from cocotb.triggers import FallingEdge, ReadOnly

from sim.bench import start

WIDTH = int(os.environ["WIDTH"])
Pace = Callable[[int], bool]


class Ends:
    """Sender and receiver; inputs change between clock edges, and a word that is offered stays."""

    def __init__(self, dut, seed: int) -> None:
        self.dut, self.rng = dut, random.Random(seed)
        self.sent: list[int] = []
        self.seen: list[int] = []
        self.sent_at: list[int] = []
        self.seen_at: list[int] = []
        self._pending: int | None = None

    async def run(self, cycles: int, offers: Pace, takes: Pace, *, clear: int = 0) -> None:
        """Cycles in which a word is offered, and taken, when the functions of the cycle's number say so."""
        dut = self.dut
        for cycle in range(cycles):
            await FallingEdge(dut.clk)
            if self._pending is None and offers(cycle):
                self._pending = self.rng.getrandbits(WIDTH)
            before = int(dut.i__ready.value), int(dut.o__valid.value), int(dut.o__payload.value)
            dut.i__valid.value = int(self._pending is not None)
            dut.i__payload.value = self.rng.getrandbits(WIDTH) if self._pending is None else self._pending
            dut.o__ready.value = int(takes(cycle))
            dut.clear.value = clear
            await ReadOnly()
            assert before == (int(dut.i__ready.value), int(dut.o__valid.value), int(dut.o__payload.value))
            if self._pending is not None and int(dut.i__ready.value) and not clear:
                self.sent.append(self._pending)
                self.sent_at.append(cycle)
                self._pending = None
            if int(dut.o__valid.value) and int(dut.o__ready.value) and not clear:
                self.seen.append(int(dut.o__payload.value))
                self.seen_at.append(cycle)

    async def empty(self) -> None:
        """Take what is held."""
        await self.run(4, lambda _: False, lambda _: True)
        assert not int(self.dut.o__valid.value)


@cocotb.test()
async def any_pace(dut):
    """Random pauses on both sides; outputs never change with inputs of the same cycle."""
    await start(dut)
    for offer, take in ((0.9, 0.2), (0.3, 0.9), (0.6, 0.6), (1.0, 0.5)):
        ends = Ends(dut, seed=1)
        await ends.run(400, lambda _, p=offer, e=ends: e.rng.random() < p, lambda _, p=take, e=ends: e.rng.random() < p)
        await ends.empty()
        assert len(ends.sent) > 60
        assert ends.seen == ends.sent


@cocotb.test()
async def full_speed(dut):
    """A word a cycle, each a cycle late; two are held when nobody takes them, and no more."""
    await start(dut)
    ends = Ends(dut, seed=2)
    await ends.run(50, lambda _: True, lambda _: True)
    assert ends.sent_at == list(range(50))
    assert ends.seen_at == list(range(1, 50))
    await ends.run(20, lambda _: True, lambda _: False)
    assert len(ends.sent) == len(ends.seen) + 2
    # Running again is as fast, after one cycle in which the sender hears of it.
    ends.sent_at.clear()
    ends.seen_at.clear()
    await ends.run(20, lambda _: True, lambda _: True)
    assert (ends.sent_at, ends.seen_at) == (list(range(1, 20)), list(range(20)))
    await ends.empty()
    assert ends.seen == ends.sent


@cocotb.test()
async def clear_forgets(dut):
    """Nothing comes out of what was held when it was cleared, with one word and with two."""
    await start(dut)
    for held in (1, 2):
        ends = Ends(dut, seed=3)
        await ends.run(held, lambda _: True, lambda _: False)
        await ends.run(1, lambda _: True, lambda _: False, clear=1)
        assert len(ends.sent) == held
        ends.sent.clear()
        await ends.run(30, lambda _: True, lambda cycle: cycle % 3 == 0)
        await ends.empty()
        assert len(ends.sent) > 8
        assert ends.seen == ends.sent
