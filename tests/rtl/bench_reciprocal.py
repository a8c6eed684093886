"""cocotb bench of the reciprocal."""

from __future__ import annotations

import cocotb
import numpy as np

from rtl.softmax import RECIPROCAL_LAYOUT, Reciprocal
from sim.bench import Monitor, send, start, wait_cycles
from sim.golden.softmax import reciprocal
from tests.rtl.units import FlowBench, rows


def frame(sums: np.ndarray) -> tuple[list[int], list[dict]]:
    """Row sums and their golden reciprocals."""
    mant, exp = reciprocal(sums)
    return sums.tolist(), rows(mant=mant, exp=exp)


def corners() -> np.ndarray:
    """Powers of two, which saturate the mantissa, and their neighbours."""
    near = {(1 << bit) + offset for bit in range(18) for offset in (-2, -1, 0, 1, 2)}
    return np.array(sorted(value for value in near if 0 < value < 1 << 17))


@cocotb.test()
async def any_sum(dut):
    """Corners, then random sums of every magnitude, without and with gaps."""
    await start(dut)
    rng = np.random.default_rng(1)
    bench = FlowBench(dut, Reciprocal, 17, RECIPROCAL_LAYOUT)
    await bench.frame(*frame(corners()))
    spread = rng.integers(1, np.left_shift(2, rng.integers(0, 17, 3000)))
    await bench.frame(*frame(spread))
    await bench.frame(*frame(rng.integers(1, 1 << 17, 500)), gaps=0.3)


@cocotb.test()
async def zero_is_harmless(dut):
    """A sum of 0 gives one result, and those before and after it are right."""
    await start(dut)
    monitor = Monitor(dut, "o")
    await send(dut, "i", [3, 0, 81600])
    await wait_cycles(dut, Reciprocal.LATENCY + 5)
    assert len(monitor.words) == 3
    mant, _ = reciprocal(np.array([3, 81600]))
    assert [monitor.words[0] & 0xFFFF, monitor.words[2] & 0xFFFF] == mant.tolist()
