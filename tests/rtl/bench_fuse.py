"""cocotb bench of the fused token."""

from __future__ import annotations

import cocotb
import numpy as np

from rtl.flow import lanes
from rtl.token_drop import Fuse
from sim.bench import start
from sim.golden.token_drop import fuse
from tests.rtl.units import FlowBench, rows

Frame = tuple[list[dict], list[list[int]]]


def column(rng: np.random.Generator, x: np.ndarray, kept: np.ndarray, weight: np.ndarray) -> Frame:
    """A column of tokens and its fused row, whose ``x`` is anything, as last row."""
    dropped, count = ~kept, len(x)
    expected = np.concatenate([x, fuse(x, kept, weight)[-1:]]) if dropped.any() else x
    if dropped.any():
        x = np.concatenate([x, rng.integers(-32768, 32768, (1, 16)).astype(np.int16)])
        dropped, weight = np.append(dropped, False), np.append(weight, rng.integers(0, 1 << 16))
    index = np.arange(len(x))
    return (rows(x=x, weight=weight, dropped=dropped.astype(int), first=(index == 0).astype(int),
                 fused=(index >= count).astype(int)), expected.tolist())


def random_column(rng: np.random.Generator) -> Frame:
    """2 to 40 tokens; weights of a softmax, or far too large for one, so that the sum saturates."""
    count = int(rng.integers(2, 41))
    kept = rng.random(count) < rng.choice([0.0, 0.5, 1.0])
    kept[0] = True
    weight = rng.integers(0, rng.choice([2, 1 << 11, 1 << 16]), count)
    scale = rng.choice([10, 32768])
    return column(rng, rng.integers(-scale, scale, (count, 16)).astype(np.int16), kept, weight)


def heavy_column(rng: np.random.Generator, value: int, count: int) -> Frame:
    """The largest sum of ``count`` tokens."""
    x = np.full((count, 16), value, np.int16)
    x[:, ::3] = rng.integers(-32768, 32768, (count, 6))
    kept = np.arange(count) < 1
    return column(rng, x, kept, np.full(count, 65535))


def joined(frames: list[Frame]) -> Frame:
    """Columns one behind the other."""
    return [item for items, _ in frames for item in items], [row for _, expected in frames for row in expected]


@cocotb.test()
async def columns_back_to_back(dut):
    """No gap between columns, then random gaps everywhere, without a reset between."""
    await start(dut)
    rng = np.random.default_rng(1)
    bench = FlowBench(dut, Fuse, Fuse.LAYOUT, lanes(16))
    await bench.frame(*joined([random_column(rng) for _ in range(80)]))
    await bench.frame(*joined([random_column(rng) for _ in range(30)]), gaps=0.4)


@cocotb.test()
async def two_token_columns(dut):
    """CLS, one dropped token, fused: the shortest columns, one after the other."""
    await start(dut)
    rng = np.random.default_rng(2)
    columns = [column(rng, rng.integers(-32768, 32768, (2, 16)).astype(np.int16), np.array([True, False]),
                      rng.integers(0, 1 << 16, 2)) for _ in range(100)]
    await FlowBench(dut, Fuse, Fuse.LAYOUT, lanes(16)).frame(*joined(columns))


@cocotb.test()
async def largest_sums(dut):
    """Sums of up to 320 tokens saturate both ways and never wrap; a first token may itself be dropped."""
    await start(dut)
    rng = np.random.default_rng(3)
    bench = FlowBench(dut, Fuse, Fuse.LAYOUT, lanes(16))
    # With one bit less, sums of more than 256 tokens would come out with the wrong sign; with two, of more than 128.
    items, expected = joined([heavy_column(rng, value, count) for count in (140, 200, 300, 320)
                              for value in (32767, -32768)])
    assert {-32768, 32767} <= {value for row in expected for value in row}
    await bench.frame(items, expected)
    # Weight 2**15 halves: 7 rounds up to 4, and -7 to -3.
    lone = [{"x": [7, -7] * 8, "weight": 1 << 15, "dropped": 1, "first": 1, "fused": 0},
            {"x": [1] * 16, "weight": 99, "dropped": 0, "first": 0, "fused": 1}]
    await bench.frame(lone, [[7, -7] * 8, [4, -3] * 8])
