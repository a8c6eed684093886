"""cocotb bench of the packed dot product: plain sums of products, each in its cycle."""

from __future__ import annotations

from itertools import product
from typing import Any

import cocotb
import numpy as np

from rtl.packed import MAX_PRODUCT, MAX_WEIGHT, PackedDotProduct
from sim.bench import pack, start, to_signed
from tests.rtl.script import Script, check_cycles

LANES = 16
SETTLE = 3
CODES = (-256, -128, -1, 0, 1, 127, 255)
WEIGHTS = (-127, -1, 0, 1, 127)


async def check(dut: Any, a: np.ndarray, w: np.ndarray, seed: int = 1) -> np.ndarray:
    """Compare all sums of ``a`` ``(vectors, 16)`` with ``w`` ``(vectors, 2, 16)``; returns them."""
    script = Script(dut, noise=("a", "w0", "w1"), seed=seed)
    for cycle, (codes, (w0, w1)) in enumerate(zip(a.tolist(), w.tolist(), strict=True)):
        script.at(cycle, a=pack(codes, 9), w0=pack(w0, 8), w1=pack(w1, 8))
    seen = await script.run(("sum0", "sum1"), settle=PackedDotProduct.LATENCY + SETTLE)
    sums = np.einsum("vl,vol->vo", a.astype(np.int64), w.astype(np.int64))
    expected = {cycle + PackedDotProduct.LATENCY: tuple(pair) for cycle, pair in enumerate(sums.tolist())}
    got = {cycle: tuple(to_signed(seen[name][cycle], 21) for name in ("sum0", "sum1")) for cycle in expected}
    check_cycles(got, expected)
    return sums


def spread(lanes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """``(vectors, 16, 3)`` of (a, w0, w1) as the arguments of :func:`check`."""
    return lanes[..., 0], np.moveaxis(lanes[..., 1:], -1, 1)


@cocotb.test()
async def corners(dut):
    """Every combination of extreme values: the same in all lanes, and in all lanes of either half."""
    await start(dut)
    combinations = np.array(list(product(CODES, WEIGHTS, WEIGHTS)))
    same = np.repeat(combinations[:, None], LANES, axis=1)
    sums = await check(dut, *spread(same))
    assert {sums.min(), sums.max()} == {-LANES * MAX_PRODUCT, LANES * MAX_PRODUCT}

    extremes = np.array(list(product((-256, 255), (-127, 127), (-127, 127))))
    pairs = np.array(list(product(range(len(extremes)), repeat=2)))
    halves = np.repeat(extremes[pairs], LANES // 2, axis=1)
    alternating = np.tile(extremes[pairs], (1, LANES // 2, 1))
    await check(dut, *spread(np.concatenate([halves, alternating])))


@cocotb.test()
async def one_chain_full(dut):
    """Each lane, pair, half in turn holds the largest products, the other lanes the smallest or nothing."""
    await start(dut)
    rows = []
    for size in (1, 2, 4, 8):
        for first in range(0, LANES, size):
            for a, w0, w1 in product((-256, 255), (-127, 127), (-127, 0, 127)):
                for other in ((0, 0, 0), (1, -1, 1), (a, -w0, w1)):
                    row = np.tile(other, (LANES, 1))
                    row[first:first + size] = (a, w0, w1)
                    rows.append(row)
    await check(dut, *spread(np.array(rows)))


@cocotb.test()
async def all_weight_pairs(dut):
    """All 255 * 255 pairs of weights, each with a random extreme activation, lanes shuffled."""
    await start(dut)
    rng = np.random.default_rng(1)
    values = np.arange(-MAX_WEIGHT, MAX_WEIGHT + 1)
    pairs = np.stack(np.meshgrid(values, values), axis=-1).reshape(-1, 2)
    pairs = rng.permutation(np.concatenate([pairs, pairs[:-len(pairs) % LANES]])).reshape(-1, LANES, 2)
    a = rng.choice([-256, -255, -128, 127, 254, 255], pairs.shape[:2])
    await check(dut, a, np.moveaxis(pairs, -1, 1))


@cocotb.test()
async def random_vectors(dut):
    """int8, uint8 and 9-bit codes, dense and sparse weights, all extreme ones among them."""
    await start(dut)
    rng = np.random.default_rng(2)
    count = 1000
    blocks = []
    for low, high in ((-128, 127), (0, 255), (-256, 255), (-2, 2)):
        blocks.append((rng.integers(low, high + 1, (count, LANES)), rng.integers(-127, 128, (count, 2, LANES))))
        blocks.append((rng.choice([low, high], (count, LANES)), rng.choice([-127, 0, 127], (count, 2, LANES))))
    order = rng.permutation(len(blocks) * count)
    a, w = (np.concatenate(part)[order] for part in zip(*blocks, strict=True))
    await check(dut, a, w)
