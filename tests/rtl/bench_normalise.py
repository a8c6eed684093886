"""cocotb bench of the softmax normalisation."""

from __future__ import annotations

import cocotb
import numpy as np

from rtl.flow import lanes
from rtl.softmax import Normalise
from sim.bench import start
from sim.golden.softmax import normalise, reciprocal
from tests.rtl.units import FlowBench, rows


def frame(rng: np.random.Generator, count: int) -> tuple[list[dict], list[list[int]]]:
    """Contexts of rows of every sum; some lanes at the largest magnitude, 127 times the sum."""
    total = rng.integers(1, np.left_shift(2, rng.integers(0, 17, count)))
    mant, exp = reciprocal(total)
    limit = 127 * total[:, None]
    acc = rng.integers(-limit, limit + 1, (count, 16))
    edge = rng.random(acc.shape)
    acc = np.where(edge < 0.1, limit, np.where(edge > 0.9, -limit, acc))
    return rows(acc=acc, mant=mant, exp=exp), normalise(acc, mant[:, None], exp[:, None]).tolist()


@cocotb.test()
async def any_row(dut):
    """Two frames, without and with gaps."""
    await start(dut)
    rng = np.random.default_rng(1)
    bench = FlowBench(dut, Normalise, Normalise.LAYOUT, lanes(18))
    items, expected = frame(rng, 1500)
    assert {item["exp"] for item in items} == set(range(-15, 2))
    await bench.frame(items, expected)
    await bench.frame(*frame(rng, 500), gaps=0.3)
