"""cocotb bench of the row maximum."""

from __future__ import annotations

from typing import Any

import cocotb
import numpy as np

from flows.contracts.numerics import SCORE_MASKED
from rtl.row_max import RowMax
from sim.bench import decode, encode, start
from tests.rtl.script import Script, bench_config, check_cycles

CONFIG = bench_config()
UNIT: Any = RowMax(CONFIG)


class Bench:
    """A script, and the maxima ``(local heads, tokens)`` it leads to."""

    def __init__(self, dut: Any, maxima: np.ndarray, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.maxima = maxima
        self.script = Script(dut, idle={"i__valid": 0}, noise=("i__payload", "local_head", "token"), seed=seed)
        self.expected: dict[int, list[int]] = {}

    def drain(self, begin: int, head: int, scores: np.ndarray) -> int:
        """Scores ``(tokens, keys)`` of a head, key block after key block; returns the cycle after the last row."""
        tokens, keys = scores.shape
        padded = np.full((tokens, -(-keys // 16) * 16), SCORE_MASKED)
        padded[:, :keys] = scores
        cycle = begin
        for block in range(padded.shape[1] // 16):
            for token in range(tokens):
                row = {"local_head": head, "token": token, "first": int(block == 0),
                       "score": padded[token, 16 * block:16 * block + 16].tolist()}
                self.script.at(cycle, i__valid=1, i__payload=encode(UNIT.layout(CONFIG), row))
                cycle += 1
            # Rows may come again after LATENCY cycles: fewer tokens than that have to wait.
            cycle += max(0, RowMax.LATENCY - tokens)
        self.maxima[head, :tokens] = scores.max(1)
        return cycle

    def read(self, cycle: int, heads: list[int], token: int) -> None:
        """Each cluster reads the row of its head."""
        self.script.at(cycle, local_head=encode(UNIT.local_head.shape(), heads), token=token)
        self.expected[cycle + RowMax.READ] = [int(self.maxima[head, token]) for head in heads]

    async def check(self) -> None:
        """Play, and compare every maximum in its cycle."""
        seen = await self.script.run(["maximum"], settle=RowMax.READ + 1)
        shape = UNIT.maximum.shape()
        check_cycles({cycle: decode(shape, seen["maximum"][cycle]) for cycle in self.expected}, self.expected)


def random_scores(rng: np.random.Generator, tokens: int, keys: int) -> np.ndarray:
    """Scores -127..127; some rows are as low, as high, as flat as can be, and the maximum may be in any lane."""
    scores = rng.integers(-127, 128, (tokens, keys)) >> rng.integers(0, 8, (tokens, 1))
    scores[rng.random(tokens) < 0.1] = -127
    low = np.flatnonzero(rng.random(tokens) < 0.5)
    scores[low] = -127
    scores[low, rng.integers(0, keys, len(low))] = rng.integers(-127, 128, len(low))
    return scores


def read_everything(bench: Bench, begin: int, tokens: int) -> None:
    """Slots of all tokens; the heads change from one cycle to the next."""
    cycle = begin
    for _ in range(4):
        heads = bench.rng.integers(0, CONFIG.score_heads, CONFIG.clusters).tolist()
        for token in range(tokens):
            bench.read(cycle, heads, token)
            cycle += 1


@cocotb.test()
async def maxima(dut):
    """Several images without a reset between, odd token counts, heads in any order, two and four rows only."""
    await start(dut)
    stored = np.zeros((CONFIG.score_heads, CONFIG.max_tokens), int)
    most = CONFIG.max_tokens
    for seed, tokens in enumerate((most, most - 3, 17 if most > 17 else 5, 4, 2, most)):
        bench, cycle = Bench(dut, stored, seed), 0
        for head in bench.rng.permutation(CONFIG.score_heads).tolist():
            cycle = bench.drain(cycle, head, random_scores(bench.rng, tokens, tokens))
        # The last row must be up to date LATENCY cycles after it came, the one before the loop's end.
        last = int(np.argmax(bench.maxima[:, tokens - 1]))
        bench.read(cycle, [last] * CONFIG.clusters, 0)
        read_everything(bench, cycle + RowMax.LATENCY - 1, tokens)
        await bench.check()


@cocotb.test()
async def read_as_soon_as_up_to_date(dut):
    """Each row is read exactly ``LATENCY`` cycles after its last scores, while the next ones drain."""
    await start(dut)
    stored = np.zeros((CONFIG.score_heads, CONFIG.max_tokens), int)
    bench = Bench(dut, stored, seed=8)
    for frame in range(3):
        begin = frame * 2 * CONFIG.max_tokens
        scores = random_scores(bench.rng, CONFIG.max_tokens, 9)
        bench.drain(begin, frame % CONFIG.score_heads, scores)
        for token in range(CONFIG.max_tokens):
            bench.read(begin + token + RowMax.LATENCY, [frame % CONFIG.score_heads] * CONFIG.clusters, token)
    await bench.check()
