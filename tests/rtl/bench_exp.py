"""cocotb bench of the exponential."""

from __future__ import annotations

import cocotb
import numpy as np

from flows.contracts.numerics import SCORE_MASKED
from rtl.flow import lanes
from rtl.softmax import Exp
from sim.bench import start
from sim.golden.softmax import exponentials
from tests.rtl.units import FlowBench, rows, write_table


def frame(rng: np.random.Generator, count: int, table: np.ndarray) -> tuple[list[dict], list[list[int]]]:
    """Score vectors with 0 to 16 alive keys; masked ones hold the masking code or anything else."""
    scores = rng.integers(-127, 128, (count, 16)).astype(np.int8)
    alive = rng.integers(0, 17, count)
    masked = np.arange(16) >= alive[:, None]
    scores[masked & (rng.random(scores.shape) < 0.5)] = SCORE_MASKED
    largest = np.where(masked, -127, scores).max(1)
    # The maximum is that of the whole row, of which this is a part.
    row_max = np.maximum(largest, rng.integers(-127, 128, count)).astype(np.int8)
    row_max[0], scores[0, 0], alive[0] = 127, -127, 16
    expected = [exponentials(scores[t], row_max[t], int(alive[t]), table).tolist() for t in range(count)]
    return rows(score=scores, row_max=row_max, count=alive), expected


@cocotb.test()
async def two_tables(dut):
    """Random scores and masks, a second table without a reset between."""
    await start(dut, inputs={"table__enable": 0})
    rng = np.random.default_rng(1)
    bench = FlowBench(dut, Exp, Exp.LAYOUT, lanes(8, is_signed=False))
    for seed, gaps in ((1, 0.0), (2, 0.3)):
        table = rng.integers(1, 256, 256, dtype=np.uint8)
        await write_table(dut, table)
        await bench.frame(*frame(rng, 600, table), gaps=gaps, seed=seed)
