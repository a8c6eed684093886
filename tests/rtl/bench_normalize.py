"""cocotb bench of the normalising pass of layer norm."""

from __future__ import annotations

import cocotb
import numpy as np

from rtl.flow import lanes
from rtl.layer_norm import Normalize
from sim.bench import start
from sim.golden.layer_norm import normalize, rsqrt, standardise, statistics, variance
from tests.rtl.bench_rsqrt import tokens
from tests.rtl.units import FlowBench, rows, wide_random

Frame = tuple[list[dict], list[list[int]]]


def frame(rng: np.random.Generator, x: np.ndarray, mant: np.ndarray, exp: np.ndarray, gamma: np.ndarray,
          beta: np.ndarray, shift: np.ndarray) -> Frame:
    """Sixteen channels picked from each token, and the golden result."""
    count, width = x.shape
    s1, _ = statistics(x)
    channels = np.stack([rng.choice(width, 16, replace=False) for _ in range(count)])
    part = np.take_along_axis(x, channels, 1)
    expected = [normalize(part[t], s1[t], mant[t], exp[t], width, gamma[t], beta[t], int(shift[t])).tolist()
                for t in range(count)]
    return rows(x=part, s1=s1, mant=mant, exp=exp, gamma=gamma, beta=beta, shift=shift), expected


def realistic(rng: np.random.Generator, count: int, width: int) -> Frame:
    """Tokens with their true statistics; gamma, beta and shift such that codes fill the range."""
    x = tokens(rng, count, width)
    mant, exp = rsqrt(variance(*statistics(x), width))
    shift = rng.integers(14, 23, count)
    unit = np.left_shift(1, shift - 12)[:, None]
    gamma = np.clip(rng.integers(-60, 61, (count, 16)) * unit, -32768, 32767)
    beta = rng.integers(-60, 61, (count, 16)) * (unit << 12)
    return frame(rng, x, mant, exp, gamma, beta, shift)


def extreme(rng: np.random.Generator, count: int, width: int) -> Frame:
    """Any mantissa, exponent, gamma, beta and shift: both saturations, every shift."""
    shape = (count, 16)
    return frame(rng, tokens(rng, count, width), rng.integers(0, 1 << 16, count), rng.integers(-7, 19, count),
                 wide_random(rng, shape, 16), wide_random(rng, shape, 32), rng.integers(1, 32, count))


@cocotb.test()
async def real_tokens(dut):
    """Several widths one after the other without a reset, without and with gaps."""
    rng = np.random.default_rng(1)
    await start(dut, inputs={"width": 192})
    bench = FlowBench(dut, Normalize, Normalize.LAYOUT, lanes(8))
    for width, gaps in ((192, 0.0), (192, 0.3), (16, 0.0), (1024, 0.0)):
        dut.width.value = width
        items, expected = realistic(rng, 400, width)
        codes = np.array(expected)
        assert codes.std() > 20
        assert (abs(codes) == 127).mean() < 0.5
        await bench.frame(items, expected, gaps=gaps)


@cocotb.test()
async def any_parameters(dut):
    """Extreme parameters."""
    rng = np.random.default_rng(2)
    await start(dut, inputs={"width": 1024})
    bench = FlowBench(dut, Normalize, Normalize.LAYOUT, lanes(8))
    items, expected = extreme(rng, 1200, 1024)
    z = np.stack([standardise(np.array(item["x"], np.int16), item["s1"], item["mant"], item["exp"], 1024)
                  for item in items])
    assert z.max() == (1 << 17) - 1
    assert z.min() == -(1 << 17)
    await bench.frame(items, expected)
