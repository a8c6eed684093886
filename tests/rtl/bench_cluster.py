"""cocotb bench of the MAC cluster: slots of tokens over blocks that load behind the slot before."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Any

import cocotb
import numpy as np

from rtl.cluster import Cluster, operand_layout
from rtl.flow import lanes
from rtl.row_parts import part_cycles
from sim.bench import decode, encode, pack, start
from sim.golden.cluster import matmul
from tests.rtl.script import Script, check_cycles, valid_outputs

MAX_TOKENS = int(os.environ.get("MAX_TOKENS", "16"))
LOAD_ROWS = int(os.environ.get("LOAD_BITS", "256")) // 128
ROW_CYCLES = int(os.environ.get("ROW_CYCLES", "1"))
MIN_SLOT = 16
SETTLE = 12 + part_cycles(ROW_CYCLES)


@dataclass
class Slot:
    """One slot: ``codes`` int8 or uint8 ``(tokens, 16)`` over ``weight`` int8 ``(16, 16)``, row = output channel.

    A slot without weight is one in which the cluster is idle. ``token`` names the accumulator row of each code vector,
    ``gaps`` the cycles before each, ``load`` the cycles of its block's words relative to the slot before.
    """

    codes: np.ndarray
    weight: np.ndarray | None
    fresh: bool
    transposed: bool = False
    token: np.ndarray | None = None
    gaps: np.ndarray | None = None
    load: str = "early"
    issued: list[int] = field(default_factory=list)


class Model:
    """Golden accumulators: 16 sums and the sum of the codes for every token."""

    def __init__(self) -> None:
        self._sums: dict[int, np.ndarray] = {}

    def add(self, token: int, terms: np.ndarray, *, fresh: bool) -> np.ndarray:
        self._sums[token] = terms if fresh else self._sums[token] + terms
        return self._sums[token]


def random_codes(rng: np.random.Generator, tokens: int) -> np.ndarray:
    """int8 or uint8 codes: small, wide, or all extreme."""
    info = np.iinfo(np.int8 if rng.random() < 0.5 else np.uint8)
    kind = rng.integers(0, 3)
    if kind == 2:
        return rng.choice([info.min, info.max], (tokens, 16)).astype(info.dtype)
    high = info.max if kind else 3
    return rng.integers(0 if info.min == 0 else -high, high + 1, (tokens, 16)).astype(info.dtype)


def random_block(rng: np.random.Generator) -> np.ndarray:
    """Weights -127..127, sparse ones and all extreme ones among them."""
    if rng.random() < 0.25:
        return rng.choice([-127, 127], (16, 16)).astype(np.int8)
    return (rng.integers(-127, 128, (16, 16)) * (rng.random((16, 16)) < rng.choice([0.2, 1.0]))).astype(np.int8)


def load_words(slot: Slot) -> list[int]:
    """The words of a block. A word holds some rows; rows are output channels, or input channels if transposed."""
    assert slot.weight is not None
    block = slot.weight.T if slot.transposed else slot.weight
    return [pack(block[row:row + LOAD_ROWS].ravel().tolist(), 8) for row in range(0, 16, LOAD_ROWS)]


def lay_out(script: Script, slots: list[Slot], rng: np.random.Generator) -> None:
    """Put slots one directly behind the other; each block loads during the slot before, early or late."""
    layout = operand_layout(MAX_TOKENS)
    begin, before = 20, 0  # the first block loads before anything runs
    for slot in slots:
        if slot.weight is not None:
            place_load(script, slot, before, begin, rng)
        cycle = begin
        for index, codes in enumerate(slot.codes):
            cycle += 0 if slot.gaps is None or index == 0 else int(slot.gaps[index])
            token = index if slot.token is None else int(slot.token[index])
            if slot.weight is not None:
                payload = encode(layout, {"a": codes.astype(int).tolist(), "token": token, "start": int(index == 0),
                                          "fresh": int(slot.fresh)})
                script.at(cycle, i__valid=1, i__payload=payload)
                slot.issued.append(cycle)
            cycle += ROW_CYCLES
        if slot.weight is not None:
            before = begin
        begin = max(cycle, begin + MIN_SLOT)


def place_load(script: Script, slot: Slot, swap: int, begin: int, rng: np.random.Generator) -> None:
    """The words lie between the swap of the block before (the earliest) and this slot's start (the latest)."""
    first, words = swap + Cluster.SWAP, load_words(slot)
    count = len(words)
    cycles = {"early": range(first, first + count), "late": range(begin - count, begin),
              "spread": sorted(rng.choice(np.arange(first, begin), count, replace=False).tolist())}[slot.load]
    for cycle, word in zip(cycles, words, strict=True):
        script.at(cycle, load_enable=1, load_transposed=int(slot.transposed), load_word=word)


def expected(slots: list[Slot]) -> dict[int, tuple[int, ...]]:
    """Sums and row sum by the cycle in which they must leave."""
    model, results = Model(), {}
    for slot in slots:
        if slot.weight is None:
            continue
        products = matmul(slot.codes, slot.weight).astype(np.int64)
        # The row sum is that of uint8 codes: nobody reads it when the codes are signed.
        row_sum = slot.codes.view(np.uint8).astype(np.int64).sum(1, keepdims=True)
        terms = np.concatenate([products, row_sum], 1)
        for index, cycle in enumerate(slot.issued):
            token = index if slot.token is None else int(slot.token[index])
            sums = model.add(token, terms[index], fresh=slot.fresh)
            leaves = cycle + Cluster.LATENCY + part_cycles(ROW_CYCLES)
            results[leaves] = (*sums[:16].tolist(), int(sums[16]) % (1 << 17))
    return results


async def check(dut: Any, slots: list[Slot], seed: int = 1) -> None:
    """Run slots and compare every sum in its cycle."""
    script = Script(dut, idle={"i__valid": 0, "load_enable": 0},
                    noise=("i__payload", "load_word", "load_transposed"), seed=seed)
    lay_out(script, slots, np.random.default_rng(seed))
    seen = await script.run(("valid", "acc", "row_sum"), settle=SETTLE)
    got = {cycle: (*decode(lanes(32), acc), row_sum)
           for cycle, (acc, row_sum) in valid_outputs(seen, "valid", "acc", "row_sum").items()}
    check_cycles(got, expected(slots))


def random_slots(rng: np.random.Generator, count: int, tokens: int, gaps: float) -> list[Slot]:
    """Columns of one or several blocks, idle slots between, every way to load."""
    slots: list[Slot] = []
    fresh = True
    while len(slots) < count:
        if rng.random() < 0.2:
            slots.append(Slot(random_codes(rng, tokens), None, fresh=False))
            continue
        slot = Slot(random_codes(rng, tokens), random_block(rng), fresh, transposed=bool(rng.integers(2)),
                    load=str(rng.choice(["early", "late", "spread"])))
        if gaps:
            slot.gaps = rng.integers(1, 4, tokens) * (rng.random(tokens) < gaps)
        fresh = bool(rng.random() < 0.4)
        slots.append(slot)
    return slots


@cocotb.test()
async def columns(dut):
    """Random columns, without gaps and then with gaps between tokens, without a reset between."""
    await start(dut)
    rng = np.random.default_rng(1)
    for tokens, gaps in ((MAX_TOKENS, 0.0), (min(17, MAX_TOKENS), 0.0), (MAX_TOKENS, 0.3), (5, 0.0)):
        slots = random_slots(rng, max(12, 360 // max(tokens, 16)), tokens, gaps)
        assert {slot.fresh for slot in slots if slot.weight is not None} == {False, True}
        assert {slot.transposed for slot in slots} == {False, True}
        await check(dut, slots, seed=tokens)


@cocotb.test()
async def same_token_after_three_cycles(dut):
    """The shortest distance of two blocks of a column at which the sum is read after it has been written."""
    await start(dut)
    rng = np.random.default_rng(2)
    token = np.arange(18) % 3
    block = random_block(rng)
    warm = Slot(random_codes(rng, 3), block, fresh=True)
    await check(dut, [warm, Slot(random_codes(rng, 18), random_block(rng), fresh=False, token=token)])


@cocotb.test()
async def largest_sums(dut):
    """A column of 256 blocks of the largest products, positive and negative; row sums wrap at 17 bits."""
    await start(dut)
    rng = np.random.default_rng(3)
    sign = rng.choice([-1, 1], 16)
    block = np.broadcast_to(127 * sign[:, None], (16, 16)).astype(np.int8)
    codes = np.full((2, 16), 255, np.uint8)
    codes[1] = 254
    slots = [Slot(codes, block, fresh=index == 0) for index in range(256)]
    await check(dut, slots)
    top = max(map(max, expected(slots).values()))
    assert top == 256 * 16 * 127 * 255
