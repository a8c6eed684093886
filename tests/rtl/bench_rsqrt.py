"""cocotb bench of the inverse square root."""

from __future__ import annotations

import cocotb
import numpy as np

from rtl.layer_norm import Rsqrt
from sim.bench import start
from sim.golden.layer_norm import rsqrt, statistics, variance
from tests.rtl.units import FlowBench, rows


def tokens(rng: np.random.Generator, count: int, width: int) -> np.ndarray:
    """int16 tokens of every spread around every mean, constant ones and the widest included."""
    spread = np.left_shift(1, rng.integers(0, 16, (count, 1)))
    mean = rng.integers(-30000, 30001, (count, 1))
    x = np.clip(mean + rng.integers(-spread, spread, (count, width)), -32768, 32767)
    x[0], x[1], x[2] = 0, 32767, -32768
    x[3] = np.where(np.arange(width) % 2, 32767, -32768)
    # One channel one step off: the smallest variance above 0.
    x[4] = 5
    x[4, 0] = 6
    return x.astype(np.int16)


def frame(s1: np.ndarray, s2: np.ndarray, width: int) -> tuple[list[dict], list[dict]]:
    """Sums, and their golden inverse square root."""
    mant, exp = rsqrt(variance(s1, s2, width))
    return rows(s1=s1, s2=s2), rows(s1=s1, mant=mant, exp=exp)


def every_exponent(rng: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Sums with S1 = 0, so that v = S2 for D = 1 takes every magnitude up to 2**41, powers of two included."""
    bits = rng.integers(0, 41, count)
    s2 = rng.integers(np.left_shift(1, bits), np.left_shift(2, bits))
    powers = np.concatenate([1 << np.arange(41), (2 << np.arange(41)) - 1])
    s2[:len(powers)] = powers
    return np.zeros(count, np.int64), s2


@cocotb.test()
async def real_tokens(dut):
    """Sums of tokens of several widths, one after the other without a reset, without and with gaps."""
    rng = np.random.default_rng(1)
    await start(dut, inputs={"width": 192})
    bench = FlowBench(dut, Rsqrt, Rsqrt.LAYOUT, Rsqrt.RESULT)
    for width, gaps in ((192, 0.0), (192, 0.3), (16, 0.0), (1024, 0.0)):
        dut.width.value = width
        await bench.frame(*frame(*statistics(tokens(rng, 400, width)), width), gaps=gaps)


@cocotb.test()
async def every_magnitude(dut):
    """All exponents, and mantissas all over the table."""
    rng = np.random.default_rng(2)
    await start(dut, inputs={"width": 1})
    bench = FlowBench(dut, Rsqrt, Rsqrt.LAYOUT, Rsqrt.RESULT)
    s1, s2 = every_exponent(rng, 2500)
    await bench.frame(*frame(s1, s2, 1))
    dut.width.value = 1024
    items, expected = frame(s1, s2, 1024)
    assert {item["exp"] for item in expected} == set(range(-2, 19))
    await bench.frame(items, expected)
