"""cocotb tests with which the runner is tested."""

from __future__ import annotations

import os
import random

import cocotb
from cocotb.triggers import RisingEdge

from sim.bench import start, wait_cycles


@cocotb.test()
async def counts(dut):
    """Counts by STEP, and inner signals are not visible."""
    await start(dut)
    first = int(dut.count.value)
    await wait_cycles(dut, 5)
    assert int(dut.count.value) - first == 5 * int(os.environ.get("STEP", "1")), "wrong step"
    assert not hasattr(dut, "hidden")


@cocotb.test(skip="DRAW" not in os.environ)
async def draws(dut):
    """Prints a random number, for the seed's test."""
    dut._log.info("drawn %d", random.getrandbits(60))


@cocotb.test(skip="FOREVER" not in os.environ)
async def forever(dut):
    """Never ends."""
    await start(dut)
    while True:
        await RisingEdge(dut.clk)
