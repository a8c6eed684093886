"""cocotb bench of the drain: which clusters' sums leave, alone or added, through requantizer and softmax division."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

import cocotb
import numpy as np
from amaranth.lib import data

from flows.contracts.hardware import BLOCK
from flows.contracts.numerics import ROW_SUM_BITS
from flows.contracts.program import Dest, Post, column_parameter_words
from rtl.drain import SELECT, drain_cycles
from rtl.packets import slot_layout, step_layout
from rtl.sequencer import token_control_layout
from rtl.softmax import Normalise, Reciprocal
from sim.bench import encode, mask, pack, start
from sim.golden.requant import requant
from sim.golden.softmax import normalise, reciprocal
from tests.rtl.script import Script, bench_config, check_cycles, valid_outputs

CONFIG = bench_config()
CLUSTERS = CONFIG.clusters
ACC, ROW_SUM = data.ArrayLayout(32 * BLOCK, CLUSTERS), data.ArrayLayout(ROW_SUM_BITS, CLUSTERS)
CONTROL, SLOT = token_control_layout(CLUSTERS), slot_layout(CONFIG)
SLOT_CYCLES = 40
ROWS = 17
PARAMETERS_AT = 10
"""Cycles before a slot's first row: the parameters of the column that ends in it."""
WRITTEN = 3
"""Cycles of a barrier after a word has come to the port of memory A."""
RNG = random.Random(1)


@dataclass
class Slot:
    """A slot and what its clusters have summed, row by row."""

    drain: int | None
    merge: int | None
    column: int
    acc: np.ndarray       # (rows, clusters, 16)
    row_sum: np.ndarray   # (rows, clusters)
    bias: np.ndarray
    mult: np.ndarray

    @property
    def ending(self) -> list[int]:
        return [cluster for cluster in (self.drain, self.merge) if cluster is not None]


def random_slots(count: int, *, context: bool) -> list[Slot]:
    """Slots in which no column ends, one of one cluster, or one of two; all pairs of clusters occur."""
    pairs = [(a, b) for a in range(CLUSTERS) for b in range(CLUSTERS) if a != b]
    rng = np.random.default_rng(2)
    slots = []
    for index in range(count):
        kind = index % 3
        drain, merge = pairs[index % len(pairs)]
        shape = (ROWS, CLUSTERS)
        row_sum = rng.integers(1, 40000, shape)
        # Context is an average of value codes, weighted by exponentials.
        limit = 127 * row_sum[..., None] if context else 2**29
        slots.append(Slot(
            None if kind == 2 else drain, merge if kind == 0 else None, RNG.randrange(CONFIG.act_cols),
            rng.integers(-limit, limit, (*shape, BLOCK)), row_sum,
            np.zeros(BLOCK, np.int64) if context else rng.integers(-2**20, 2**20, BLOCK),
            rng.integers(20000, 65536, BLOCK)))
    return slots


def play(script: Script, slots: list[Slot], *, context: bool) -> None:
    """Rows of every slot back to back, its header and parameters ahead of it."""
    for index, slot in enumerate(slots):
        begin = (index + 1) * SLOT_CYCLES
        header: dict[str, Any] = {"kind": 3, "dest": int(Dest.A), "dest_column": slot.column,
                                  "clusters": [{"valid": 1}] * CLUSTERS}
        if slot.drain is not None:
            header |= {"drain": 1, "drain_cluster": slot.drain}
        if slot.merge is not None:
            header |= {"merge": 1, "merge_cluster": slot.merge}
        script.at(begin - 1, take=1, upcoming=encode(SLOT, header))
        if slot.drain is not None:
            division = Reciprocal.LATENCY + Normalise.LATENCY if context else 0
            script.at(begin + SELECT + division + 1, retire=1)
            words = pack([*slot.bias], 32) | pack([*slot.mult], 16) << 512
            for word in range(column_parameter_words(CONFIG)):
                script.at(begin - PARAMETERS_AT + word, parameter_load__valid=1,
                          parameter_load__payload=words >> CONFIG.stream_bits * word & mask(CONFIG.stream_bits))
        for row in range(ROWS):
            # An unused merge_cluster is random: only merge says that there is one.
            control = {"token": row, "start": int(row == 0), "drain": int(slot.drain is not None),
                       "drain_cluster": slot.drain if slot.drain is not None else RNG.randrange(CLUSTERS),
                       "merge": int(slot.merge is not None),
                       "merge_cluster": slot.merge if slot.merge is not None else RNG.randrange(CLUSTERS)}
            acc = [pack(slot.acc[row, c], 32) for c in range(CLUSTERS)]
            script.at(begin + row, valid=1, control=encode(CONTROL, control), acc=encode(ACC, acc),
                      row_sum=encode(ROW_SUM, slot.row_sum[row].tolist()))


def expected(slots: list[Slot], shift: int, latency: int, *, context: bool) -> dict[int, tuple[int, ...]]:
    """Column, token and word by cycle."""
    words = {}
    for index, slot in enumerate(slots):
        if not slot.ending:
            continue
        acc = slot.acc[:, slot.ending].sum(1)
        if context:
            mant, q = reciprocal(slot.row_sum[:, slot.ending].sum(1))
            acc = normalise(acc, mant[:, None], q[:, None])
        y = requant(acc, slot.bias, slot.mult, shift, 8)
        for row in range(ROWS):
            words[(index + 1) * SLOT_CYCLES + row + latency] = slot.column, row, pack(y[row], 8)
    return words


async def run(dut: Any, post: Post, shift: int) -> None:
    """Slots of one step; words reach the port in the cycle that the barrier assumes."""
    context = post == Post.CONTEXT
    idle = {"group": 0, "clear": 0, "started": 0, "retire": 0, "take": 0, "valid": 0, "parameter_load__valid": 0,
            "gelu_table__enable": 0, "tokens": ROWS, "dropping": 0,
            "step": encode(step_layout, {"kind": 2, "post": int(post), "shift": shift})}
    await start(dut, inputs=idle)
    # A step begins long after the pipeline has drained; random sums all the time, but no valid row.
    script = Script(dut, idle=idle, noise=["acc", "row_sum", "upcoming", "parameter_load__payload", "map_data"])
    slots = random_slots(3 * CLUSTERS * (CLUSTERS - 1), context=context)
    play(script, slots, context=context)
    seen = await script.run(["a__enable", "a__column", "a__token", "a__data"], settle=120)
    latency = drain_cycles(0, 0, 0, 0)[post] - WRITTEN
    got = valid_outputs(seen, "a__enable", "a__column", "a__token", "a__data")
    wanted = expected(slots, shift, latency, context=context)
    assert sum(len(slot.ending) == 2 for slot in slots) >= CLUSTERS * (CLUSTERS - 1)
    check_cycles(got, wanted)


@cocotb.test()
async def halves_are_added(dut):
    """Requantized sums of one cluster or of two."""
    await run(dut, Post.INT8, 39)


@cocotb.test()
async def row_sums_are_added(dut):
    """The softmax division takes the row sums of both halves."""
    await run(dut, Post.CONTEXT, 24)
