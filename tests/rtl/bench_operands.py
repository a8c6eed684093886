"""cocotb bench of the operand stage: memories in, codes at the clusters' inputs out."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import cocotb
import numpy as np

from flows.contracts.hardware import BLOCK
from flows.contracts.numerics import SCORE_MASKED
from flows.contracts.program import Source
from rtl.cluster import OPERAND_BITS
from rtl.operands import Operands, capture_layout
from rtl.packets import slot_layout
from rtl.row_max import RowMax
from rtl.sequencer import MIN_SLOT, token_control_layout
from rtl.softmax import Exp
from sim.bench import decode, encode, pack, start, unpack
from sim.golden.softmax import exponentials
from tests.rtl.script import Script, bench_config, check_cycles, valid_outputs

CONFIG = bench_config()
CLUSTERS = CONFIG.clusters
CONTROL = token_control_layout(CLUSTERS)
WATCH = ("out_valid", "out_control", "operand", "capture__valid", "capture__payload")
WRITES = ("x_write", "a_write", "s_write")
TURN = 3
"""Cycles between the last row of a step and the first one of the next, at least."""

UPCOMING = 2
"""Cycles a slot stands on ``upcoming`` before it is taken."""


@dataclass
class Memories:
    """Contents: ``x`` and ``a`` int8 ``(columns, tokens, 16)``, scores int8 ``(heads, tokens, keys)``, the table."""

    tokens: int
    x: np.ndarray
    a: np.ndarray
    scores: np.ndarray
    table: np.ndarray

    @classmethod
    def random(cls, rng: np.random.Generator, tokens: int) -> Memories:
        def codes(*shape: int) -> np.ndarray:
            return rng.integers(-128, 128, shape).astype(np.int8)

        scores = np.maximum(codes(CONFIG.score_heads, tokens, tokens), -127)
        table = np.append(255, rng.integers(0, 256, 255)).astype(np.uint8)
        return cls(tokens, codes(CONFIG.x_cols, tokens, BLOCK), codes(CONFIG.act_cols, tokens, BLOCK), scores, table)

    def padded_scores(self) -> np.ndarray:
        """``(heads, tokens, key blocks, 16)``; keys beyond the last token are masked."""
        blocks = -(-self.tokens // BLOCK)
        padded = np.full((*self.scores.shape[:2], blocks * BLOCK), SCORE_MASKED, np.int8)
        padded[..., :self.tokens] = self.scores
        return padded.reshape(*padded.shape[:2], blocks, BLOCK)

    def exponentials(self) -> np.ndarray:
        """uint8, shaped as :meth:`padded_scores`; 0 beyond the last token."""
        padded = self.padded_scores()
        flat = padded.reshape(*padded.shape[:2], -1)
        return exponentials(flat, self.scores.max(-1), self.tokens, self.table).reshape(padded.shape)


@dataclass
class Slot:
    """What each cluster reads: a column, or (local head, key block) of the scores; None where it idles."""

    read: list[Any]
    capture: list[int] = field(default_factory=lambda: [0] * CLUSTERS)
    head: list[int] = field(default_factory=lambda: [0] * CLUSTERS)


def new_script(dut: Any, seed: int, **idle: int) -> Script:
    """All enables low, everything else noise unless said otherwise."""
    quiet = {"take": 0, "valid": 0, "image_write__enable": 0, "row_max__valid": 0, "exp_table__enable": 0}
    quiet |= {f"{port}__enable": 0 for port in WRITES}
    parts = [f"{port}__{part}" for port in (*WRITES, "image_write") for part in ("column", "token", "data")]
    noise = [*parts, "upcoming", "control", "row_max__payload", "exp_table__address", "exp_table__data"]
    return Script(dut, idle=quiet | idle, noise=[name for name in noise if name not in idle], seed=seed)


async def fill(dut: Any, memories: Memories, seed: int) -> None:
    """Write everything: half of A through the image port, scores together with their row maximum."""
    script, tokens = new_script(dut, seed), memories.tokens
    for address, value in enumerate(memories.table.tolist()):
        script.at(address, exp_table__enable=1, exp_table__address=address, exp_table__data=value)
    cycle = 0
    for name, codes in (("x", memories.x), ("a", memories.a[CONFIG.act_cols // 2:])):
        first = 0 if name == "x" else CONFIG.act_cols // 2
        for column in range(len(codes)):
            for token in range(tokens):
                values = {"enable": 1, "column": first + column, "token": token,
                          "data": pack(codes[column, token].tolist(), 8)}
                script.at(cycle, **{f"{name}_write__{part}": value for part, value in values.items()})
                cycle += 1
    wide = CONFIG.rows_per_word
    for part in range(CONFIG.act_cols // 2 // wide):
        for token in range(tokens):
            word = pack(memories.a[wide * part:wide * (part + 1), token].ravel().tolist(), 8)
            script.at(cycle, image_write__enable=1, image_write__column=part, image_write__token=token,
                      image_write__data=word)
            cycle += 1
    fill_scores(script, memories)
    await script.run([], settle=8)


def fill_scores(script: Script, memories: Memories) -> None:
    """As the drain hands them on."""
    padded, cycle = memories.padded_scores(), 0
    for head in range(len(padded)):
        for block in range(padded.shape[2]):
            for token in range(memories.tokens):
                row = padded[head, token, block].tolist()
                fields = {"local_head": head, "token": token, "first": int(block == 0), "score": row}
                script.at(cycle, s_write__enable=1, s_write__column=head * CONFIG.score_stride + block,
                          s_write__token=token, s_write__data=pack(row, 8), row_max__valid=1,
                          row_max__payload=encode(RowMax.layout(CONFIG), fields))
                cycle += 1
            cycle += RowMax.LATENCY


class Run:
    """Slots of one step, one directly behind the other, and what must come out."""

    def __init__(self, memories: Memories, source: Source, seed: int, *, unsigned: bool = False) -> None:
        self.memories, self.source, self.unsigned, self.seed = memories, source, unsigned, seed
        self.rng = np.random.default_rng(seed)
        self.latency = Operands.LATENCY + (Exp.LATENCY if source == Source.S else 0)
        self.operands: dict[tuple[int, int], list[int]] = {}
        self.controls: dict[int, int] = {}
        self.captures: list[dict[str, Any]] = []
        self._e = memories.exponentials()

    def _column(self, read: Any) -> int:
        return read[0] * CONFIG.score_stride + read[1] if self.source == Source.S else read

    def _codes(self, read: Any, token: int) -> list[int]:
        if self.source == Source.S:
            return self._e[read[0], token, read[1]].tolist()
        codes = (self.memories.x if self.source == Source.X else self.memories.a)[read, token]
        return (codes.view(np.uint8) if self.unsigned else codes).tolist()

    def _fields(self, slot: Slot) -> dict[str, Any]:
        entries = []
        for cluster, read in enumerate(slot.read):
            entry = {"valid": int(read is not None), "source_column": int(self.rng.integers(self._columns())),
                     "capture": slot.capture[cluster], "head": slot.head[cluster],
                     "key_block": int(self.rng.integers(32)), "local_head": int(self.rng.integers(16))}
            if read is not None:
                entry["source_column"] = self._column(read)
                if self.source == Source.S:
                    entry["local_head"], entry["key_block"] = read
            entries.append(entry)
        return {"clusters": entries, "dest_column": int(self.rng.integers(1024))}

    def _columns(self) -> int:
        return {Source.X: CONFIG.x_cols, Source.A: CONFIG.act_cols, Source.S: CONFIG.score_cols}[self.source]

    def lay_out(self, script: Script, slots: list[Slot], begin: int = UPCOMING + 1, *, last: bool = True) -> int:
        """Slots as the sequencer runs them: at least ``MIN_SLOT`` cycles each. Returns the cycle after them."""
        word = 0
        for slot in slots:
            word = encode(slot_layout(CONFIG), self._fields(slot))
            for cycle in range(begin - 1 - UPCOMING, begin):
                script.at(cycle, upcoming=word)
            script.at(begin - 1, take=1)
            length = max(MIN_SLOT, self.memories.tokens)
            for cycle in range(begin, begin + length):
                script.at(cycle, taken=word)
            for token in range(self.memories.tokens):
                self._issue(script, begin + token, slot, token)
            self.captures += [self._capture(slot, cluster) for cluster in range(CLUSTERS)
                              if slot.capture[cluster] and slot.read[cluster] is not None]
            begin += length
        # The last slot stays the running one.
        for cycle in range(begin, begin + 12 if last else begin):
            script.at(cycle, taken=word)
        return begin

    def _issue(self, script: Script, cycle: int, slot: Slot, token: int) -> None:
        fields = {"token": token, "start": int(token == 0), "fresh": int(self.rng.integers(1 << CLUSTERS)),
                  "active": int(self.rng.integers(1 << CLUSTERS)), "drain": int(self.rng.integers(2)),
                  "drain_cluster": int(self.rng.integers(16)), "fused": int(self.rng.integers(2)),
                  "source": int(self.source), "unsigned": int(self.unsigned)}
        control = encode(CONTROL, fields)
        script.at(cycle, valid=1, control=control)
        self.controls[cycle + self.latency] = control
        for cluster, read in enumerate(slot.read):
            if read is not None:
                self.operands[cycle + self.latency, cluster] = self._codes(read, token)

    def _capture(self, slot: Slot, cluster: int) -> dict[str, Any]:
        head, block = slot.read[cluster]
        return {"head": slot.head[cluster], "key_block": block, "e": self._e[head, 0, block].tolist()}

    async def check(self, dut: Any, slots: list[Slot]) -> None:
        """Play and compare: every token in its cycle, captures in order of clusters."""
        script = new_script(dut, self.seed, tokens=self.memories.tokens, taken=0)
        self.lay_out(script, slots)
        await self.compare(script)

    async def compare(self, script: Script) -> None:
        """Play what has been laid out, and compare."""
        seen = await script.run(WATCH, settle=8)
        controls = valid_outputs(seen, "out_valid", "out_control")
        check_cycles({cycle: word for cycle, (word,) in controls.items()}, self.controls)
        got = {}
        for cycle, cluster in self.operands:
            word = seen["operand"][cycle] >> cluster * OPERAND_BITS * BLOCK
            got[cycle, cluster] = unpack(word, OPERAND_BITS, BLOCK)
        check_cycles(got, self.operands)
        captures = [decode(capture_layout(), word)
                    for (word,) in valid_outputs(seen, "capture__valid", "capture__payload").values()]
        assert captures == self.captures


def choose(rng: np.random.Generator, columns: int) -> list[int | None]:
    """A column for each cluster, one per bank at most; some clusters idle, at least one does not."""
    of_bank: dict[int, int] = {}
    chosen: list[int | None] = []
    for _ in range(CLUSTERS):
        column = int(rng.integers(columns))
        column = of_bank.setdefault(column % CONFIG.banks, column)
        chosen.append(None if rng.random() < 0.2 else column)
    if chosen.count(None) == CLUSTERS:
        chosen[0] = 0
    return chosen


def score_slots(rng: np.random.Generator, tokens: int, count: int) -> list[Slot]:
    """Slots over all heads and key blocks; some capture the CLS row, idle clusters pretend to."""
    slots = []
    for _ in range(count):
        of_bank: dict[int, tuple[int, int]] = {}
        read: list[tuple[int, int] | None] = []
        for _ in range(CLUSTERS):
            place = int(rng.integers(CONFIG.score_heads)), int(rng.integers(-(-tokens // BLOCK)))
            bank = (place[0] * CONFIG.score_stride + place[1]) % CONFIG.banks
            read.append(None if rng.random() < 0.2 else of_bank.setdefault(bank, place))
        if read.count(None) == CLUSTERS:
            read[0] = (0, 0)
        slots.append(Slot(read, rng.integers(0, 2, CLUSTERS).tolist(), rng.integers(0, 16, CLUSTERS).tolist()))
    return slots


@cocotb.test()
async def sources(dut):
    """X, A signed and unsigned, and scores, for several token counts without a reset between."""
    ports = ("take", "valid", "image_write__enable", "row_max__valid", "exp_table__enable",
             *(f"{port}__enable" for port in WRITES))
    await start(dut, inputs=dict.fromkeys(ports, 0))
    rng = np.random.default_rng(1)
    most = CONFIG.max_tokens
    for seed, tokens in enumerate((most, most - 3, 17, 16, 5, 2)):
        memories = Memories.random(rng, tokens)
        await fill(dut, memories, seed)
        for source, unsigned in ((Source.X, False), (Source.A, False), (Source.A, True)):
            run = Run(memories, source, seed, unsigned=unsigned)
            columns = CONFIG.x_cols if source == Source.X else CONFIG.act_cols
            await run.check(dut, [Slot(choose(rng, columns)) for _ in range(6)])
        run = Run(memories, Source.S, seed)
        await run.check(dut, score_slots(rng, tokens, 12))
        assert run.captures
        last = memories.exponentials()[..., -1, :]
        assert tokens % 16 == 0 or not last[..., tokens % 16:].any()


@cocotb.test()
async def steps_overlap(dut):
    """Rows of a step enter while the last exponentials of the step before are still on their way."""
    ports = ("take", "valid", "image_write__enable", "row_max__valid", "exp_table__enable",
             *(f"{port}__enable" for port in WRITES))
    await start(dut, inputs=dict.fromkeys(ports, 0))
    rng = np.random.default_rng(2)
    for seed, tokens in enumerate((CONFIG.max_tokens, 16)):
        memories = Memories.random(rng, tokens)
        await fill(dut, memories, seed)
        for source in (Source.A, Source.X):
            script = new_script(dut, seed, tokens=tokens, taken=0)
            before, after = Run(memories, Source.S, seed), Run(memories, source, seed, unsigned=source == Source.A)
            end = before.lay_out(script, score_slots(rng, tokens, 3), last=False)
            columns = CONFIG.x_cols if source == Source.X else CONFIG.act_cols
            after.lay_out(script, [Slot(choose(rng, columns)) for _ in range(3)], begin=end + TURN)
            after.operands |= before.operands
            after.controls |= before.controls
            after.captures = before.captures + after.captures
            await after.compare(script)
