"""cocotb bench of the token selection."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import cocotb
import numpy as np
from cocotb.triggers import RisingEdge

from flows.contracts.artifact import TokenDrop
from flows.contracts.numerics import inverse_heads
from flows.contracts.program import Drop
from rtl.token_drop import Select
from sim.bench import Gaps, decode, encode, mask, send, start, wait_cycles
from sim.golden.softmax import reciprocal
from sim.golden.token_drop import scores, select, weights

MAX_TOKENS = int(os.environ.get("MAX_TOKENS", "208"))
MAX_HEADS = int(os.environ.get("MAX_HEADS", "12"))
ROW_CYCLES = int(os.environ.get("ROW_CYCLES", "1"))
MODES = {"topk": Drop.TOPK, "threshold": Drop.THRESHOLD, "none": Drop.NONE}
INPUTS = ("capture__valid", "recip__valid", "start", "mode", "keep", "threshold", "heads", "inverse_heads", "tokens",
          "map_address")


@dataclass
class Case:
    """A selection: CLS row of exponentials ``(heads, tokens)`` and what to do with it."""

    e: np.ndarray
    mode: str
    keep: int = 0
    threshold: int = 0

    @property
    def score(self) -> np.ndarray:
        return scores(self.e, *self.reciprocals())

    def reciprocals(self) -> tuple[np.ndarray, np.ndarray]:
        return reciprocal(self.e.sum(1, dtype=np.int64))

    def kept(self) -> np.ndarray:
        if self.mode == "none":
            return np.ones(self.e.shape[1], bool)
        return select(self.score, TokenDrop(self.mode, self.keep, self.threshold))


def exponentials(rng: np.random.Generator, heads: int, tokens: int, levels: int = 256) -> np.ndarray:
    """Rows of exponentials as softmax makes them: 255 once at least; few ``levels`` make many ties."""
    e = rng.integers(0, levels, (heads, tokens)) * 255 // max(1, levels - 1)
    e[np.arange(heads), rng.integers(0, tokens, heads)] = 255
    return e.astype(np.uint8)


async def capture(dut: Any, case: Case, rng: np.random.Generator) -> None:
    """Exponentials and reciprocals in random order; lanes beyond the last token hold anything."""
    heads, tokens = case.e.shape
    padded = rng.integers(0, 256, (heads, -(-tokens // 16) * 16))
    padded[:, :tokens] = case.e
    words = [encode(Select.CAPTURE, {"head": h, "key_block": b, "e": padded[h, 16 * b:16 * b + 16].tolist()})
             for h in range(heads) for b in range(padded.shape[1] // 16)]
    rng.shuffle(words)
    mant, exp = case.reciprocals()
    recips = [encode(Select.RECIP, {"head": h, "mant": int(mant[h]), "exp": int(exp[h])}) for h in range(heads)]
    garbage = mask(len(dut.capture__payload))
    sending = cocotb.start_soon(send(dut, "recip", recips, gaps=Gaps(0.5, seed=1), garbage=mask(25)))
    await send(dut, "capture", words, gaps=Gaps(0.1, seed=2), garbage=garbage)
    await sending


async def run(dut: Any, case: Case) -> int:
    """Pulse start, then change every parameter; returns the cycles of busy."""
    heads, tokens = case.e.shape
    edge = RisingEdge(dut.clk)
    assert not int(dut.busy.value)
    values = {"mode": int(MODES[case.mode]), "keep": case.keep, "threshold": case.threshold, "heads": heads,
              "inverse_heads": inverse_heads(heads), "tokens": tokens}
    dut.start.value = 1
    for name, value in values.items():
        getattr(dut, name).value = value
    await edge
    for name, value in values.items():
        getattr(dut, name).value = value ^ 1
    dut.start.value = 0
    await edge
    cycles = 0
    while int(dut.busy.value):
        cycles += 1
        # A start while busy is ignored.
        dut.start.value = int(cycles == 3)
        assert cycles < 5000, "busy never ends"
        await edge
    return cycles


async def read_map(dut: Any, tokens: int) -> list[dict[str, int]]:
    """All entries of the map, an address a cycle."""
    edge, words = RisingEdge(dut.clk), []
    for address in range(tokens + 2):
        dut.map_address.value = min(address, tokens - 1)
        await edge
        # The edge takes this address over and still shows the data of the one two before.
        words.append(int(dut.map_data.value))
    return [decode(Select.MAP, word) for word in words[1:tokens + 1]]


def check(case: Case, entries: list[dict[str, int]], new_tokens: int, dropped: int) -> None:
    """Compare a map with the golden model."""
    kept = case.kept()
    weight = weights(case.score, case.e.shape[0])
    assert [entry["keep"] for entry in entries] == kept.astype(int).tolist(), f"{case.mode} keep {case.keep}"
    assert [entry["index"] for entry in entries if entry["keep"]] == list(range(kept.sum()))
    assert [entry["weight"] for entry in entries if not entry["keep"]] == weight[~kept].tolist()
    assert dropped == (not kept.all())
    assert new_tokens == (len(kept) if kept.all() else kept.sum() + 1)


async def check_case(dut: Any, case: Case, rng: np.random.Generator) -> None:
    """Capture, select, read back, compare; the number of cycles is the declared one."""
    await capture(dut, case, rng)
    cycles = await run(dut, case)
    heads, tokens = case.e.shape
    declared = Select.cycles(tokens, heads, MODES[case.mode], ROW_CYCLES)
    assert cycles == declared, f"{cycles} cycles for {case.e.shape} {case.mode}"
    new_tokens, dropped = int(dut.new_tokens.value), int(dut.dropped.value)
    check(case, await read_map(dut, tokens), new_tokens, dropped)


def random_case(rng: np.random.Generator) -> Case:
    """Any size, any mode, with and without many ties."""
    heads, tokens = int(rng.integers(1, MAX_HEADS + 1)), int(rng.integers(1, MAX_TOKENS + 1))
    e = exponentials(rng, heads, tokens, int(rng.choice([2, 4, 256])))
    case = Case(e, str(rng.choice(["topk", "threshold", "topk", "threshold", "none"])),
                keep=int(rng.choice([int(rng.integers(0, tokens + 2)), tokens - 1], p=[0.8, 0.2])))
    # A threshold equal to a score, so that ">=" and ">" differ.
    case.threshold = int(rng.choice(case.score))
    return case


@cocotb.test()
async def random_selections(dut):
    """Random selections one after the other, without a reset between; all outcomes occur."""
    await start(dut, inputs=dict.fromkeys(INPUTS, 0))
    rng = np.random.default_rng(1)
    cases = [random_case(rng) for _ in range(40)]
    outcomes = {(case.mode, bool(case.kept().all())) for case in cases}
    assert outcomes >= {("topk", False), ("topk", True), ("threshold", False), ("none", True)}
    for case in cases:
        await check_case(dut, case, rng)


@cocotb.test()
async def every_keep(dut):
    """All k of a small image with ties across a block boundary: none kept up to all kept, and beyond."""
    await start(dut, inputs=dict.fromkeys(INPUTS, 0))
    rng = np.random.default_rng(2)
    tokens = min(21, MAX_TOKENS)
    e = exponentials(rng, min(2, MAX_HEADS), tokens, 3)
    assert len(np.unique(Case(e, "topk").score[1:])) < 12
    for keep in range(tokens + 3):
        await check_case(dut, Case(e, "topk", keep), rng)


@cocotb.test()
async def extreme_scores(dut):
    """All equal; all attention on one token, CLS or another; thresholds at the ends of the range."""
    await start(dut, inputs=dict.fromkeys(INPUTS, 0))
    rng = np.random.default_rng(3)
    equal = np.full((MAX_HEADS, MAX_TOKENS), 255, np.uint8)
    cases = [Case(equal, "topk", MAX_TOKENS // 2), Case(equal, "threshold", threshold=(1 << 21) - 1)]
    for token in (0, min(17, MAX_TOKENS // 2), MAX_TOKENS - 1):
        single = np.zeros((MAX_HEADS, MAX_TOKENS), np.uint8)
        single[:, token] = 255
        cases += [Case(single, "topk", 1), Case(single, "topk", 0), Case(single, "threshold", threshold=1),
                  Case(single, "threshold", threshold=0)]
    # The mean over 6 heads, whose inverse is rounded up, is the one that exceeds 16 bits.
    full = np.zeros((min(6, MAX_HEADS), MAX_TOKENS), np.uint8)
    full[:, -1] = 255
    cases.append(Case(full, "topk", 0))
    for case in cases:
        await check_case(dut, case, rng)


@cocotb.test()
async def smallest_images(dut):
    """One and two tokens in every mode."""
    await start(dut, inputs=dict.fromkeys(INPUTS, 0))
    rng = np.random.default_rng(4)
    for tokens in (1, 2):
        for mode in MODES:
            for keep in (0, 1):
                await check_case(dut, Case(exponentials(rng, 1, tokens), mode, keep, 1 << 20), rng)
                await wait_cycles(dut, 3)
