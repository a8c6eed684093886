"""cocotb bench of the residual stream: columns drain into it, with and without token drop."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cocotb
import numpy as np

from rtl.residual import Residual, residual_layout, statistic_layout
from sim.bench import Gaps, decode, encode, mask, pack, send_stream, start
from sim.golden.layer_norm import rsqrt, statistics, variance
from sim.golden.residual import add
from sim.golden.token_drop import fuse
from tests.rtl.script import Script, bench_config, check_cycles, valid_outputs

CONFIG = bench_config()
UNIT: Any = Residual(CONFIG)
WRITTEN = UNIT.written.payload.shape()
COLUMNS = CONFIG.residual_cols
MIN_SLOT = 16
LATENCY = Residual.LATENCY + CONFIG.part_cycles
STATISTICS = Residual.STATISTICS + 2 * CONFIG.part_cycles


@dataclass
class Step:
    """One step: ``y`` int16 ``(tokens, channels)`` is added; ``kept`` bool and ``weight`` when tokens are dropped."""

    y: np.ndarray
    kept: np.ndarray | None = None
    weight: np.ndarray | None = None

    def result(self, x: np.ndarray) -> np.ndarray:
        total = add(x, self.y)
        return total if self.kept is None or self.weight is None else fuse(total, self.kept, self.weight)


class Bench:
    """The unit with a copy of its memory ``(columns, tokens, 16)``."""

    def __init__(self, dut: Any, seed: int) -> None:
        self.dut = dut
        self.rng = np.random.default_rng(seed)
        self.memory = np.zeros((COLUMNS, CONFIG.max_tokens, 16), np.int16)
        self.x = np.zeros((0, 0), np.int16)

    def script(self, width: int) -> Script:
        return Script(self.dut, idle={"i__valid": 0, "width": width}, noise=("i__payload", "read_address"),
                      seed=int(self.rng.integers(1 << 30)))

    def contents(self, tokens: int, channels: int) -> np.ndarray:
        """Residual values: mostly moderate, some at either end."""
        x = self.rng.integers(-3000, 3000, (tokens, channels)) << self.rng.integers(0, 4, (tokens, 1))
        ends = self.rng.random((tokens, channels))
        return np.where(ends < 0.03, 32767, np.where(ends > 0.97, -32768, x)).astype(np.int16)

    async def initialise(self, columns: list[int], tokens: int) -> None:
        """Initial contents of some columns, through the port with ready; returns when all have been taken."""
        words = []
        for column in columns:
            self.memory[column, :tokens] = self.contents(tokens, 16)
            words += [(column * CONFIG.max_tokens + token, pack(self.memory[column, token].tolist(), 16))
                      for token in range(tokens)]
        self.rng.shuffle(words)
        gaps = Gaps(0.3, seed=int(self.rng.integers(1 << 30)))
        await send_stream(WordPort(self.dut), "initial", words, gaps=gaps)

    def load(self, tokens: int, columns: int) -> None:
        """Take over the first columns as the stream's value."""
        self.x = self.memory[:columns, :tokens].transpose(1, 0, 2).reshape(tokens, -1)

    def lay_out(self, script: Script, step: Step, gaps: float) -> tuple[dict[int, Any], dict[int, Any]]:
        """Rows of all columns, in any order of columns; returns what is written and the statistics, by cycle."""
        columns = self.rng.permutation(step.y.shape[1] // 16).tolist()
        result, cycle = step.result(self.x), 3
        written, figures = {}, {}
        for place, column in enumerate(columns):
            begin, channels = cycle, slice(16 * column, 16 * column + 16)
            for row in self._rows(step, channels):
                fields = {"column": column, "first": int(place == 0), "last": int(column == columns[-1])}
                script.at(cycle, i__valid=1, i__payload=encode(residual_layout(), row | fields))
                if row["keep"] or row["fused"]:
                    # Written with the edge that ends the cycle before LATENCY have passed.
                    word = pack(result[row["index"], channels].tolist(), 16)
                    written[cycle + LATENCY - 1] = (column, row["index"], word)
                    self.memory[column, row["index"]] = result[row["index"], channels]
                    if fields["last"]:
                        figures[cycle + STATISTICS - 1] = row["index"]
                cycle += CONFIG.row_cycles + int(self.rng.integers(1, 4) * (self.rng.random() < gaps))
            cycle = max(cycle, begin + MIN_SLOT)
        self.x = result
        return written, {at: self._statistic(index) for at, index in figures.items()}

    def _rows(self, step: Step, channels: slice) -> list[dict[str, Any]]:
        """Rows of one column as the drain hands them on, the fused row last."""
        count = len(step.y)
        kept = np.ones(count, bool) if step.kept is None else step.kept
        weight = self.rng.integers(0, 1 << 16, count) if step.weight is None else step.weight
        index = np.where(kept, np.cumsum(kept) - 1, self.rng.integers(0, CONFIG.max_tokens, count))
        rows = [{"y": step.y[token, channels].tolist(), "token": token, "index": int(index[token]),
                 "keep": int(kept[token]), "weight": int(weight[token]), "start": int(token == 0), "fused": 0}
                for token in range(count)]
        if step.kept is not None:
            rows.append({"y": self.rng.integers(-32768, 32768, 16).tolist(), "token": count,
                         "index": int(kept.sum()), "keep": 0, "weight": int(self.rng.integers(1 << 16)),
                         "start": 0, "fused": 1})
        return rows

    def _statistic(self, index: int) -> dict[str, int]:
        s1, s2 = statistics(self.x[index])
        mant, exp = rsqrt(variance(s1, s2, self.x.shape[1]))
        return {"index": index, "s1": int(s1), "mant": int(mant), "exp": int(exp)}

    async def run(self, step: Step, *, gaps: float = 0.0, initial: list[int] | None = None) -> None:
        """Drain a step, meanwhile write initial contents elsewhere, and compare everything."""
        script = self.script(step.y.shape[1])
        written, figures = self.lay_out(script, step, gaps)
        writing = cocotb.start_soon(self.initialise(initial or [], CONFIG.max_tokens))
        names = ("written__valid", "written__payload", "statistic__valid", "statistic__payload")
        seen = await script.run(names, settle=STATISTICS + 3)
        await writing
        got = valid_outputs(seen, "written__valid", "written__payload")
        rows = {cycle: tuple(decode(WRITTEN, word).values()) for cycle, (word,) in got.items()}
        check_cycles(rows, written)
        got = valid_outputs(seen, "statistic__valid", "statistic__payload")
        check_cycles({cycle: decode(statistic_layout(), word) for cycle, (word,) in got.items()}, figures)

    async def check_memory(self) -> None:
        """Read everything back."""
        script = self.script(16)
        places = [(column, token) for column in range(COLUMNS) for token in range(CONFIG.max_tokens)]
        expected = {}
        for cycle, (column, token) in enumerate(places):
            script.at(cycle, read_address=column * CONFIG.max_tokens + token)
            expected[cycle + Residual.READ] = pack(self.memory[column, token].tolist(), 16)
        seen = await script.run(["read_data"], settle=Residual.READ + 1)
        check_cycles({cycle: seen["read_data"][cycle] for cycle in expected}, expected)


class WordPort:
    """Lets :func:`sim.bench.send_stream` drive a port whose payload is address and data."""

    def __init__(self, dut: Any) -> None:
        self.clk = dut.clk
        self.initial__valid, self.initial__ready = dut.initial__valid, dut.initial__ready
        self.initial__payload = self
        self._address, self._data, self._word = dut.initial__address, dut.initial__data, dut.initial__word

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "value":
            self._address.value, self._data.value = value
            self._word.value = value[0] % 4  # counts for norm parameters only
        else:
            super().__setattr__(name, value)


def random_y(rng: np.random.Generator, tokens: int, channels: int) -> np.ndarray:
    """What a column adds: little for some tokens, all of int16 for others."""
    spread = np.left_shift(1, rng.integers(2, 16, (tokens, 1)))
    return rng.integers(-spread, spread, (tokens, channels)).astype(np.int16)


def random_drop(rng: np.random.Generator, x: np.ndarray, keep: float) -> Step:
    """Each patch is kept with probability ``keep``; at least one goes."""
    count = len(x)
    kept = rng.random(count) < keep
    kept[0], kept[int(rng.integers(1, count))] = True, False
    weight = rng.integers(0, 1 << int(rng.choice([11, 16])), count)
    return Step(random_y(rng, *x.shape), kept, weight)


async def frame(bench: Bench, tokens: int, columns: int, gaps: float, *, elsewhere: bool) -> None:
    """Initial contents, a plain step, two that drop tokens, a plain one."""
    await bench.initialise(list(range(columns)), tokens)
    bench.load(tokens, columns)
    others = [COLUMNS - 1] if elsewhere else None
    await bench.run(Step(random_y(bench.rng, *bench.x.shape)), gaps=gaps, initial=others)
    for keep in (0.7, 0.1):
        await bench.run(random_drop(bench.rng, bench.x, keep), gaps=gaps)
        assert len(bench.x) <= tokens
    await bench.run(Step(random_y(bench.rng, *bench.x.shape)), gaps=gaps, initial=others)
    await bench.check_memory()


@cocotb.test()
async def frames(dut):
    """Frames of full, odd and small size, without gaps and with, one after the other without a reset."""
    await start(dut, inputs={"i__valid": 0, "initial__valid": 0, "width": 16})
    bench, most = Bench(dut, seed=1), CONFIG.max_tokens
    await bench.initialise(list(range(COLUMNS)), most)
    await frame(bench, most, COLUMNS, 0.0, elsewhere=False)
    await frame(bench, most - 3, COLUMNS - 1, 0.3, elsewhere=True)
    await frame(bench, 5, COLUMNS - 1, 0.0, elsewhere=True)


@cocotb.test()
async def saturation(dut):
    """Sums beyond int16 both ways, and a fused token that saturates."""
    await start(dut, inputs={"i__valid": 0, "initial__valid": 0, "width": 16})
    bench, tokens = Bench(dut, seed=2), CONFIG.max_tokens
    await bench.initialise(list(range(COLUMNS)), tokens)
    bench.load(tokens, COLUMNS)
    y = np.where(bench.x > 0, 32767, -32768).astype(np.int16)
    await bench.run(Step(y))
    assert (np.abs(bench.x.astype(int)) >= 32767).mean() > 0.9
    kept = np.arange(tokens) < 2
    y = np.where(np.arange(bench.x.shape[1]) % 2, 32767, -32768) + np.zeros((tokens, 1), int)
    await bench.run(Step(y.astype(np.int16), kept, np.full(tokens, 65535)))
    assert {-32768, 32767} <= set(bench.x[-1].tolist())
    await bench.check_memory()


@cocotb.test()
async def visible_when_declared(dut):
    """A row can be read ``LATENCY`` cycles after it came, and not one earlier."""
    await start(dut, inputs={"i__valid": 0, "initial__valid": 0, "width": 16})
    bench = Bench(dut, seed=3)
    await bench.initialise([0], 2)
    old = pack(bench.memory[0, 1].tolist(), 16)
    y = np.arange(1, 17)
    new = pack(add(bench.memory[0, 1], y.astype(np.int16)).tolist(), 16)
    script = bench.script(16)
    row = {"y": y.tolist(), "token": 1, "index": 1, "keep": 1, "start": 1, "first": 1}
    # The port serves reads only while no row comes.
    script.at(4, i__valid=1, i__payload=encode(residual_layout(), row))
    for cycle in range(4 + LATENCY - 1, 4 + LATENCY + 1):
        script.at(cycle, read_address=1)
    data = (await script.run(["read_data"], settle=4))["read_data"]
    assert old != new
    assert data[4 + LATENCY - 1 + Residual.READ] == old
    assert data[4 + LATENCY + Residual.READ] == new
    assert new <= mask(256)
