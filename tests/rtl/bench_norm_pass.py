"""cocotb bench of the norm pass: statistics and parameters in, normalised columns out, just in time."""

from __future__ import annotations

from typing import Any

import cocotb
import numpy as np

from flows.contracts.artifact import Norm
from flows.contracts.program import column_parameter_words
from rtl.norm_pass import NormPass
from rtl.residual import Residual, statistic_layout
from sim.bench import encode, pack, start
from sim.golden.layer_norm import layer_norm, rsqrt, statistics, variance
from tests.rtl.script import Responder, Script, bench_config, check_cycles, valid_outputs

CONFIG = bench_config()
WRITES = ("write__column", "write__token", "write__data")


class Bench:
    """The unit beside a residual memory whose contents are ``x`` int16 ``(tokens, channels)``."""

    def __init__(self, dut: Any, seed: int) -> None:
        self.dut = dut
        self.rng = np.random.default_rng(seed)
        self.x = np.zeros((1, 16), np.int16)
        self.norms: dict[int, Norm] = {}
        Responder(dut, ["read_address"], "read_data", Residual.READ, self._read)

    def _read(self, address: int) -> int:
        column, token = divmod(address, CONFIG.max_tokens)
        if token < len(self.x) and 16 * column < self.x.shape[1]:
            return pack(self.x[token, 16 * column:16 * column + 16].tolist(), 16)
        return 0

    def script(self, **idle: int) -> Script:
        """Nothing happens by itself; every payload is noise."""
        always = {"start": 0, "parameters__valid": 0, "statistic__valid": 0}
        return Script(self.dut, idle=always | idle, seed=int(self.rng.integers(1 << 30)),
                      noise=("parameters__address", "parameters__word", "parameters__data", "statistic__payload"))

    def new_stream(self, script: Script, x: np.ndarray) -> int:
        """Take over ``x`` and send its statistics, in any order; returns the cycle after."""
        self.x = x
        s1, s2 = statistics(x)
        mant, exp = rsqrt(variance(s1, s2, x.shape[1]))
        for cycle, token in enumerate(self.rng.permutation(len(x)).tolist()):
            fields = {"index": token, "s1": int(s1[token]), "mant": int(mant[token]), "exp": int(exp[token])}
            script.at(cycle, statistic__valid=1, statistic__payload=encode(statistic_layout(), fields))
        return len(x)

    def new_parameters(self, script: Script, begin: int, half: int, channels: int, gain: int) -> int:
        """Gamma and beta of one half, with gaps; a deviation of one becomes up to ``gain``. Returns the cycle after."""
        shift = int(self.rng.integers(14, 19))
        gamma, beta = gain << shift - 12, gain << shift
        norm = Norm(self.rng.integers(-gamma, gamma + 1, channels).astype(np.int16),
                    self.rng.integers(-beta, beta + 1, channels).astype(np.int32), shift)
        self.norms[half], cycle = norm, begin
        for column in range(channels // 16):
            part = slice(16 * column, 16 * column + 16)
            row = pack(norm.beta[part].tolist(), 32) | pack(norm.gamma[part].tolist(), 16) << 512
            bits = CONFIG.stream_bits
            words = [row >> bits * index & (1 << bits) - 1 for index in range(column_parameter_words(CONFIG))]
            for index, word in enumerate(words):
                cycle += 1 + int(self.rng.integers(0, 3))
                script.at(cycle, parameters__valid=1, parameters__word=index, parameters__data=word,
                          parameters__address=half * CONFIG.residual_cols + column)
        return cycle + 1

    def settings(self, half: int) -> dict[str, int]:
        """Ports that are stable during a pass."""
        tokens, channels = self.x.shape
        return {"columns": channels // 16, "half": half, "shift": self.norms[half].shift, "tokens": tokens,
                "width": channels}

    async def prepare(self, x: np.ndarray, halves: list[int], gain: int = 50) -> None:
        """New contents and parameters, without any write happening."""
        script = self.script()
        cycle = self.new_stream(script, x)
        for half in halves:
            cycle = self.new_parameters(script, cycle, half, x.shape[1], gain)
        seen = await script.run(["write__enable", "busy", "parameters__ready"], settle=2)
        assert not any(seen["write__enable"]) and not any(seen["busy"]) and all(seen["parameters__ready"])

    async def run(self, half: int, *, load_other_half: bool = False) -> None:
        """A pass; every write in its very cycle, and the counts of columns and ``busy`` in every cycle."""
        tokens, channels = self.x.shape
        begin, columns, rows = 3, channels // 16, CONFIG.row_cycles
        latency = NormPass.LATENCY + CONFIG.part_cycles
        before = int(self.dut.available.value)
        settings = self.settings(half)
        y = layer_norm(self.x, self.norms[half])
        script = self.script(**settings)
        script.at(begin, start=1)
        if load_other_half:
            self.new_parameters(script, begin, 1 - half, channels, 50)
        seen = await script.run(("write__enable", *WRITES, "available", "busy"),
                                settle=latency + rows * columns * tokens + 4)
        first = begin + latency
        expected = {first + rows * (column * tokens + token):
                    (column, token, pack(y[token, 16 * column:16 * column + 16], 8))
                    for column in range(columns) for token in range(tokens)}
        assert len(np.unique(y)) > 20
        check_cycles(valid_outputs(seen, "write__enable", *WRITES), expected)
        for cycle, (available, busy) in enumerate(zip(seen["available"], seen["busy"], strict=True)):
            # A column counts from the cycle of its first token's write.
            known = before if cycle <= begin else min(columns, max(0, -(-(cycle + 1 - first) // (rows * tokens))))
            assert available == known, f"cycle {cycle}: {available} columns, expected {known}"
            assert busy == (begin < cycle <= begin + rows * columns * tokens), f"cycle {cycle}: busy {busy}"


def random_stream(rng: np.random.Generator, tokens: int, channels: int) -> np.ndarray:
    """Tokens of every mean and every spread."""
    spread = np.left_shift(1, rng.integers(1, 15, (tokens, 1)))
    mean = rng.integers(-9000, 9001, (tokens, 1))
    return (mean + rng.integers(-spread, spread + 1, (tokens, channels))).astype(np.int16)


@cocotb.test()
async def passes(dut):
    """Full, odd and small frames, fewer channels than the hardware has, both halves; no reset between."""
    await start(dut, inputs={"start": 0, "parameters__valid": 0, "statistic__valid": 0})
    bench, most, width = Bench(dut, seed=1), CONFIG.max_tokens, CONFIG.max_width
    for tokens, channels in ((most, width), (most - 3, width - 16), (1, width), (5, 16), (most, width)):
        await bench.prepare(random_stream(bench.rng, tokens, channels), [0, 1])
        await bench.run(0)
        await bench.run(1)


@cocotb.test()
async def parameters_of_the_other_half(dut):
    """The program loads the next pass's parameters while this one runs."""
    await start(dut, inputs={"start": 0, "parameters__valid": 0, "statistic__valid": 0})
    bench = Bench(dut, seed=2)
    await bench.prepare(random_stream(bench.rng, CONFIG.max_tokens, CONFIG.max_width), [0])
    for half in (0, 1, 0, 1):
        await bench.run(half, load_other_half=True)


@cocotb.test()
async def largest_values(dut):
    """Residuals at their ends, codes that saturate both ways."""
    await start(dut, inputs={"start": 0, "parameters__valid": 0, "statistic__valid": 0})
    bench = Bench(dut, seed=3)
    x = bench.rng.choice([-32768, 32767, 0], (CONFIG.max_tokens, CONFIG.max_width)).astype(np.int16)
    await bench.prepare(x, [0], gain=400)
    await bench.run(0)
    codes = layer_norm(bench.x, bench.norms[0])
    assert {-127, 127} <= set(codes.ravel().tolist())
