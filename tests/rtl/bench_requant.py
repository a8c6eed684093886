"""cocotb bench of the requantizer."""

from __future__ import annotations

import cocotb
import numpy as np

from rtl.flow import lanes
from rtl.requant import Requant
from sim.bench import start
from sim.golden.requant import requant
from tests.rtl.units import FlowBench, rows, wide_random

Frame = tuple[list[dict], list[list[int]]]


def frame(rng: np.random.Generator, acc: np.ndarray, bias: np.ndarray, mult: np.ndarray, shift: np.ndarray) -> Frame:
    """Inputs and golden results, 8 and 16 bits in random order."""
    wide = rng.integers(0, 2, len(acc))
    results = [requant(acc, bias, mult, shift[:, None], bits).astype(int) for bits in (8, 16)]
    return (rows(acc=acc, bias=bias, mult=mult, shift=shift, wide=wide),
            np.where(wide[:, None] == 1, results[1], results[0]).tolist())


def uniform(count: int, seed: int) -> Frame:
    """Any operands and shifts."""
    rng = np.random.default_rng(seed)
    shape = (count, 16)
    return frame(rng, wide_random(rng, shape, 32), wide_random(rng, shape, 32), rng.integers(0, 1 << 16, shape),
                 rng.integers(1, 48, count))


def near_limits(count: int, seed: int) -> Frame:
    """Results within a few codes of the saturation limits and of 0, on and beside the rounding boundary."""
    rng = np.random.default_rng(seed)
    shape = (count, 16)
    shift = rng.integers(1, 15, count)
    goal = rng.choice([-32769, -32768, -129, -128, -127, -1, 0, 1, 126, 127, 128, 32767, 32768], shape)
    half = (goal << shift[:, None]) - (1 << shift[:, None] - 1)
    total = half + rng.integers(-2, 3, shape)
    bias = rng.integers(-1 << 29, 1 << 29, shape)
    return frame(rng, total - bias, bias, np.ones(shape, np.int64), shift)


@cocotb.test()
async def any_operands(dut):
    """Every shift, without and with gaps, two frames without a reset between them."""
    await start(dut)
    bench = FlowBench(dut, Requant, Requant.LAYOUT, lanes(16))
    await bench.frame(*uniform(1500, 1))
    await bench.frame(*uniform(500, 2), gaps=0.4)


@cocotb.test()
async def saturation_and_rounding(dut):
    """Around the limits."""
    await start(dut)
    bench = FlowBench(dut, Requant, Requant.LAYOUT, lanes(16))
    items, expected = near_limits(1500, 3)
    assert {-32768, -127, 0, 127, 32767} <= {value for row in expected for value in row}
    await bench.frame(items, expected, gaps=0.1)


@cocotb.test()
async def extremes(dut):
    """The largest product and the largest shift, every combination of extreme operands."""
    rng = np.random.default_rng(4)
    corners = np.array([-(1 << 31), -(1 << 30), -1, 0, 1, (1 << 30) - 1, (1 << 31) - 1])
    acc, bias, mult, shift = (grid.reshape(-1) for grid in np.meshgrid(
        corners, corners, [0, 1, 65535], [1, 8, 9, 16, 31, 32, 46, 47], indexing="ij"))
    order = rng.permuted(np.tile(np.arange(16), (len(acc), 1)), axis=1)
    # A lane takes its accumulator from another row, so that lanes differ.
    lane_acc = acc[(np.arange(len(acc))[:, None] + order * 24) % len(acc)]
    shape = lane_acc.shape
    await start(dut)
    await FlowBench(dut, Requant, Requant.LAYOUT, lanes(16)).frame(
        *frame(rng, lane_acc, np.broadcast_to(bias[:, None], shape), np.broadcast_to(mult[:, None], shape), shift))
