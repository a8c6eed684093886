"""cocotb bench of the delay line."""

from __future__ import annotations

import os

import cocotb
import numpy as np

from sim.bench import start, to_signed, wait_cycles
from tests.rtl.script import Script

CYCLES = int(os.environ.get("CYCLES", "3"))
WIDTH = int(os.environ.get("WIDTH", "8"))


@cocotb.test()
async def every_word(dut):
    """A different random word every cycle comes out exactly ``cycles`` later, twice without a reset between."""
    rng = np.random.default_rng(1)
    await start(dut)
    for count in (5 * CYCLES + 1, 3 * CYCLES):
        words = [int.from_bytes(rng.bytes(-(-WIDTH // 8)), "little") % (1 << WIDTH) for _ in range(count)]
        words[1], words[2] = 0, (1 << WIDTH) - 1
        assert len(set(words)) > CYCLES
        script = Script(dut)
        for cycle, word in enumerate(words):
            script.at(cycle, i=word)
        seen = await script.run(["o"], settle=CYCLES)
        assert seen["o"][CYCLES:] == words
        await wait_cycles(dut, 2)  # so that the second frame starts elsewhere in the memory


@cocotb.test()
async def reset_in_between(dut):
    """The delay is right from the first cycle after a reset in the middle of the memory."""
    await start(dut)
    await wait_cycles(dut, CYCLES // 2 + 1)
    dut.rst.value = 1
    await wait_cycles(dut, 1)
    dut.rst.value = 0
    script = Script(dut)
    words = [to_signed(7 * index + 1, 20) % (1 << WIDTH) for index in range(2 * CYCLES)]
    for cycle, word in enumerate(words):
        script.at(cycle, i=word)
    assert (await script.run(["o"], settle=CYCLES))["o"][CYCLES:] == words
