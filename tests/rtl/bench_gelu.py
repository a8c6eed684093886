"""cocotb bench of the GELU table."""

from __future__ import annotations

import cocotb
import numpy as np

from rtl.flow import lanes
from rtl.gelu import Gelu
from sim.bench import start
from sim.golden.gelu import gelu
from tests.rtl.units import FlowBench, write_table


@cocotb.test()
async def two_tables(dut):
    """All codes in every lane, a second table without a reset between."""
    await start(dut, inputs={"table__enable": 0})
    rng = np.random.default_rng(1)
    bench = FlowBench(dut, Gelu, lanes(8), lanes(8, is_signed=False))
    for seed, gaps in ((1, 0.0), (2, 0.3)):
        table = rng.integers(0, 256, 256, dtype=np.uint8)
        await write_table(dut, table)
        every = np.stack([rng.permutation(256) for _ in range(16)], axis=1) - 128
        codes = np.concatenate([every, rng.integers(-128, 128, (200, 16))]).astype(np.int8)
        await bench.frame(codes.tolist(), gelu(codes, table).tolist(), gaps=gaps, seed=seed)
