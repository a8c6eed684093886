"""cocotb bench of the program decoder: hand-packed streams, random delays on every port."""

from __future__ import annotations

import random
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any

import cocotb
from cocotb.triggers import RisingEdge

from flows.contracts.program import (
    MAGIC,
    STEP,
    VERSION,
    WRITE,
    Kind,
    Target,
    Tile,
    column_parameter_words,
    pack,
    slot_header_words,
    unpack,
)
from flows.contracts.registers import Error
from flows.contracts.timing import Timing
from rtl.column_queue import ColumnQueue
from rtl.core import LOAD_DELAY
from rtl.key_value import KeyValue
from rtl.operands import Operands
from rtl.softmax import Exp
from sim.bench import start
from tests.rtl.script import Responder, bench_config
from tests.rtl.streams import Outcome, Stream, tile_word

CONFIG = bench_config()
CLUSTERS = CONFIG.clusters
INPUTS = ("clear", "start", "program__valid", "step__ready", "slot__ready", "parameters_taken",
          "norm_write__ready", "residual_write__ready")
TILES_UNDER_WAY = KeyValue.LATENCY + 2
"""Cycles after a start in which tiles of a program that was stopped still arrive; no memory answers that fast."""
LIMIT = 60000
"""Cycles after which a program is given up."""


@dataclass
class Pace:
    """How fast everything around the decoder is.

    Attributes
    ----------
    word, take, write : probabilities per cycle that the stream has a word, that a step or slot, that a write is taken
    drain : longest time from taking a slot to its parameters becoming active, in cycles
    """

    word: float = 1.0
    take: float = 1.0
    write: float = 1.0
    drain: int = 1


FAST = Pace()
PACES = (FAST, Pace(word=0.5), Pace(take=0.1, drain=30), Pace(word=0.7, take=0.4, write=0.3, drain=300))


class Bench:
    """Everything around the decoder: stream, sequencer, clusters, memories."""

    def __init__(self, dut: Any, seed: int) -> None:
        self.dut = dut
        self.edge = RisingEdge(dut.clk)
        self.rng = random.Random(seed)
        Responder(dut, ["tile_column", "tile_key_block", "tile_word"], "tile_data", KeyValue.LATENCY,
                  partial(tile_word, CONFIG))

    async def begin(self, stream: Stream, *, clear: bool = True) -> None:
        """Pulse ``start``, and ``clear`` with it."""
        dut = self.dut
        self.stream, self.outcome, self.cycle = stream, Outcome(), 0
        self.accepted: list[int] = []
        self.taken: list[int] = []
        self.waits = 0
        self._activate: list[int] = []  # cycles in which parameters become active
        self._sets = 0  # parameters loaded and not active
        self._swap = -1  # cycle in which blocks become active, seen from the decoder's end of the delay
        self._loads_due = 0
        self._tile = Tile.STREAM
        self._offered = self._step_waits = False
        for name in INPUTS:
            getattr(dut, name).value = int(name == "start" or (clear and name == "clear"))
        dut.tokens.value = stream.tokens
        await self.edge
        dut.clear.value = dut.start.value = 0
        for _ in range(TILES_UNDER_WAY):
            await self.edge

    async def run(self, pace: Pace, *, words: int | None = None, settle: int = 12) -> None:
        """Feed the stream (or its first ``words``) until it is used up and the decoder has finished or stopped."""
        count = len(self.stream.words) if words is None else words
        quiet = 0
        for _ in range(LIMIT):
            await self.one_cycle(pace, count)
            done = len(self.accepted) == count and (words is not None or int(self.dut.finished.value))
            quiet = quiet + 1 if done or int(self.dut.error.value) else 0
            if quiet > settle:
                return
        raise AssertionError(f"the decoder is stuck after {len(self.accepted)} of {count} words")

    async def one_cycle(self, pace: Pace, count: int) -> None:
        """Drive and observe one cycle; the stream ends after ``count`` words."""
        dut, rng, at = self.dut, self.rng, len(self.accepted)
        offered = at < count and (self._offered or rng.random() < pace.word)
        dut.program__valid.value = int(offered)
        dut.program__payload.value = self.stream.words[at] if offered else rng.getrandbits(CONFIG.stream_bits)
        # The sequencer takes no slot while a step waits.
        dut.step__ready.value = rng.random() < pace.take
        dut.slot__ready.value = not self._step_waits and rng.random() < pace.take
        dut.norm_write__ready.value = rng.random() < pace.write
        dut.residual_write__ready.value = rng.random() < pace.write
        dut.parameters_taken.value = self.cycle in self._activate
        await self.edge
        self._observe(pace)
        self._offered = offered and not int(dut.program__ready.value)
        if offered and not self._offered:
            self.accepted.append(self.cycle)
        waiting = int(dut.waiting.value)
        assert not (waiting and offered), "the decoder waits for a word that is there"
        assert not (waiting and int(dut.finished.value)), "the decoder waits after the end"
        self.waits += waiting
        self.cycle += 1

    def _fires(self, prefix: str, *, ready: bool = True) -> bool:
        return bool(int(getattr(self.dut, f"{prefix}__valid").value)
                    and (not ready or int(getattr(self.dut, f"{prefix}__ready").value)))

    def _observe(self, pace: Pace) -> None:
        dut, outcome = self.dut, self.outcome
        if self._fires("hello", ready=False):
            outcome.hello.append(int(dut.hello__payload.value))
        if enable := int(dut.load__enable.value):
            # Until the slot taken last becomes active only its own blocks may come.
            own = len(outcome.loads) < self._loads_due
            assert own or self.cycle > self._swap, f"cycle {self.cycle}: a block is overwritten before it is active"
            outcome.loads.append((enable, int(dut.load__transposed.value), int(dut.load__word.value)))
        if self._fires("parameter_load", ready=False):
            outcome.parameters.append(int(dut.parameter_load__payload.value))
        for name, entries in (("exp_table", outcome.exp), ("gelu_table", outcome.gelu)):
            if int(getattr(dut, f"{name}__enable").value):
                entries.append((int(getattr(dut, f"{name}__address").value), int(getattr(dut, f"{name}__data").value)))
        for name, writes in (("norm_write", outcome.norm), ("residual_write", outcome.residual)):
            if self._fires(name):
                port = [int(getattr(dut, f"{name}__{part}").value) for part in ("address", "word", "data")]
                writes.append((port[0], port[1], port[2]))
        self._observe_control(pace)

    def _observe_control(self, pace: Pace) -> None:
        """Steps and slots; whatever is offered must be complete, and come after what was before it."""
        dut, outcome = self.dut, self.outcome
        if self.cycle == self._swap:
            assert len(outcome.loads) == self._loads_due, f"cycle {self.cycle}: blocks become active before their time"
        self._sets -= self.cycle in self._activate
        self._step_waits = bool(int(dut.step__valid.value)) and not self._fires("step")
        if self._fires("step"):
            outcome.order.append(("step", int(dut.step__payload.value)))
            self._tile = Tile(unpack(STEP, outcome.order[-1][1])["tile"])
        if self._fires("slot"):
            index = len(self.taken)
            assert index < len(self.stream.loads_by_slot), "more slots than the program has"
            assert len(outcome.parameters) == self.stream.parameters_by_slot[index], f"slot {index}: parameters"
            payload = int(dut.slot__payload.value)
            outcome.order.append(("slot", payload))
            self.taken.append(self.cycle)
            # The first row is issued in the next cycle; scores take longer to the clusters.
            late = Exp.LATENCY if self._tile is Tile.VALUE else 0
            self._swap = self.cycle + 1 + Operands.LATENCY + late - (LOAD_DELAY + 1)
            self._loads_due = self.stream.loads_by_slot[index]
            if payload >> 4 & 1:
                self._sets += 1
                assert self._sets <= ColumnQueue.SETS
                last = self._activate[-1] if self._activate else 0
                self._activate.append(max(last, self.cycle) + self.rng.randint(1, pace.drain))
        if int(dut.finished.value):
            assert len(outcome.order) == len(self.stream.expected.order), "finished before the last slot was taken"

    async def check(self, stream: Stream, pace: Pace) -> None:
        """A whole program, from start to finish."""
        await self.begin(stream)
        await self.run(pace)
        assert int(self.dut.error.value) == Error.NONE
        self.outcome.check(stream.expected)
        assert int(self.dut.finished.value)

    async def check_error(self, stream: Stream, code: Error, taken: int) -> None:
        """A program that must be refused with ``code`` after ``taken`` words, and nothing be taken from then on."""
        await self.begin(stream)
        await self.run(FAST)
        assert int(self.dut.error.value) == code, f"error {int(self.dut.error.value)}, expected {code!r}"
        assert len(self.accepted) == taken, f"{len(self.accepted)} words were taken, expected {taken}"
        assert not int(self.dut.finished.value)


def random_valid(rng: random.Random) -> list[int]:
    """Some clusters, at least one."""
    valid = [int(rng.random() < 0.6) for _ in range(CLUSTERS)]
    valid[rng.randrange(CLUSTERS)] = 1
    return valid


def add_slots(stream: Stream, count: int) -> None:
    """Slots of which about half drain; key blocks on both sides of the last token."""
    rng = stream.rng
    for _ in range(count):
        valid = random_valid(rng)
        drain = rng.choice([index for index, bit in enumerate(valid) if bit]) if rng.random() < 0.5 else None
        stream.slot(valid, drain=drain)


def add_writes(stream: Stream) -> None:
    """All targets, in random order, whole tables and parts."""
    rng, norm = stream.rng, column_parameter_words(CONFIG)
    writes = [(Target.EXP, 0, 256 // CONFIG.stream_bytes), (Target.GELU, 0, 256 // CONFIG.stream_bytes),
              (Target.EXP, 128, 1), (Target.NORM, rng.randrange(40), 2 * norm), (Target.NORM, 3, norm),
              (Target.RESIDUAL, rng.randrange(1 << 15), 19), (Target.RESIDUAL, 7, 1)]
    rng.shuffle(writes)
    for target, address, words in writes:
        stream.write(target, address, words)


def random_program(tokens: int, seed: int) -> Stream:
    """Every kind of packet, every source of tiles, steps without slots among them."""
    stream = Stream(CONFIG, tokens, seed).hello()
    add_writes(stream)
    for tile in (Tile.STREAM, Tile.KEY, Tile.VALUE, Tile.STREAM, Tile.KEY):
        stream.step(tile)
        add_slots(stream, stream.rng.randrange(7))
        if stream.rng.random() < 0.5:
            stream.write(Target.NORM, 5, column_parameter_words(CONFIG))
    stream.step()
    add_slots(stream, 2)
    return stream.end()


@cocotb.test()
async def programs(dut):
    """Whole programs one after the other, every pace, token counts with and without key blocks to skip."""
    await start(dut, inputs=dict.fromkeys(INPUTS, 0))
    bench, skipped = Bench(dut, seed=1), 0
    counts = (CONFIG.max_tokens, 17, 16, 1, CONFIG.max_tokens - 15, 33)
    for seed, tokens in enumerate(counts):
        stream = random_program(tokens, seed)
        pace = PACES[seed % len(PACES)]
        await bench.check(stream, pace)
        assert (bench.waits > 0) == (pace.word < 1)
        skipped += stream.skipped
    assert skipped > 5 or CLUSTERS > 5  # so many clusters are hardly ever all without work


@cocotb.test()
async def key_blocks_beyond_the_last_token(dut):
    """Clusters without work are cleared, the drain with them; a slot without any is skipped, its parameters are not."""
    await start(dut, inputs=dict.fromkeys(INPUTS, 0))
    bench, everyone = Bench(dut, seed=2), [1] * CLUSTERS
    for tokens in (16, 17, 32):
        last = (tokens - 1) // 16
        for tile in (Tile.KEY, Tile.VALUE):
            stream = Stream(CONFIG, tokens, seed=tokens).hello().step(tile)
            stream.slot(everyone, drain=0, key_blocks=[last + 1] * CLUSTERS)
            stream.slot(everyone, drain=0, key_blocks=[last] * CLUSTERS)
            stream.slot(everyone, drain=CLUSTERS - 1, key_blocks=[0] * (CLUSTERS - 1) + [last + 1])
            stream.slot(everyone, key_blocks=[last + 1] * CLUSTERS)
            stream.slot(everyone, drain=CLUSTERS - 1, key_blocks=[last + 1] * (CLUSTERS - 1) + [0])
            # Blocks of the stream are never skipped.
            stream.step().slot(everyone, drain=0, key_blocks=[last + 1] * CLUSTERS).end()
            assert sum(kind == "slot" for kind, _ in stream.expected.order) in (3, 4)
            for pace in PACES:
                await bench.check(stream, pace)


@cocotb.test()
async def keys_wait_for_their_step(dut):
    """Keys do not exist before the step's barrier: their tiles are read after it; weights are loaded before it."""
    await start(dut, inputs=dict.fromkeys(INPUTS, 0))
    bench, everyone = Bench(dut, seed=3), [1] * CLUSTERS
    for tile, early in ((Tile.KEY, False), (Tile.STREAM, True)):
        stream = Stream(CONFIG, 32, seed=4).hello().step(tile).slot(everyone, drain=0, key_blocks=[0] * CLUSTERS).end()
        await bench.begin(stream)
        for _ in range(60 + 8 * CLUSTERS):
            await bench.one_cycle(Pace(take=0), len(stream.words))
        assert int(dut.step__valid.value)
        assert len(bench.outcome.loads) == (CONFIG.block_words * CLUSTERS if early else 0)
        assert int(dut.slot__valid.value) == early
        await bench.run(FAST)
        bench.outcome.check(stream.expected)


def gaps(bench: Bench, first: int, count: int) -> list[int]:
    """Cycles between the acceptances of ``count`` words and the ones before them."""
    return [after - before for before, after in pairwise(bench.accepted[first - 1:first + count])]


@cocotb.test()
async def throughput(dut):
    """One word a cycle, and the decoder's overheads that the cycle model counts with."""
    await start(dut, inputs=dict.fromkeys(INPUTS, 0))
    bench, timing, header = Bench(dut, seed=5), Timing(), slot_header_words(CONFIG)
    valid = [1] * CLUSTERS
    stream = Stream(CONFIG, 16, seed=5).hello().step().slot(valid, drain=0).slot(valid).slot(valid, drain=0)
    stream.step(Tile.VALUE).slot(valid, drain=0, key_blocks=[0] * CLUSTERS)
    norm = column_parameter_words(CONFIG)
    stream.write(Target.EXP, 0, 2).write(Target.RESIDUAL, 0, 4).write(Target.NORM, 0, norm).end()
    await bench.check(stream, FAST)
    blocks, decode = CONFIG.block_words * CLUSTERS, 1 + timing.slot_decode
    parameters = norm
    at = 2
    for words in (blocks + parameters, blocks, blocks + parameters):
        # Headers are taken at once, blocks when it is known which clusters have work.
        assert gaps(bench, at, header + words) == [1] * header + [decode] + [1] * (words - 1)
        at += header + words
    # The last slot is taken in the cycle after its last word; then comes the step.
    assert gaps(bench, at, 1) == [2]
    at += 1
    assert gaps(bench, at + header, 1) == [decode + blocks + timing.tile_extra]
    at += header + parameters
    assert gaps(bench, at, 3) == [1, 1, timing.table_word(CONFIG)]
    at += 3
    assert gaps(bench, at, 1 + 4 + 1 + norm + 1) == [1] * (7 + norm)
    assert at + 7 + norm == len(stream.words)


@cocotb.test()
async def errors(dut):
    """Every error code; after each the next program runs as if nothing had been."""
    await start(dut, inputs=dict.fromkeys(INPUTS, 0))
    bench, most = Bench(dut, seed=6), CONFIG.max_tokens

    def fresh() -> Stream:
        return Stream(CONFIG, 16, seed=6)

    def with_word(word: int) -> Stream:
        stream = fresh().hello().step().slot([1] * CLUSTERS, drain=0).write(Target.EXP, 0, 1)
        stream.words.append(word)
        return stream.end()

    before = len(with_word(0).words) - 2
    cases = [(fresh().hello(**{name: value}).end(), code, 1) for name, value, code in (
        ("magic", MAGIC ^ 1, Error.BAD_MAGIC), ("magic", MAGIC ^ 1 << 31, Error.BAD_MAGIC),
        ("kind", Kind.STEP, Error.BAD_MAGIC), ("kind", 0, Error.BAD_MAGIC),
        ("version", VERSION + 1, Error.BAD_VERSION), ("version", VERSION | 1 << 15, Error.BAD_VERSION),
        ("config_hash", CONFIG.config_hash() ^ 1 << 31, Error.CONFIG_MISMATCH),
        ("config_hash", CONFIG.replace(bus_bits=512).config_hash(), Error.CONFIG_MISMATCH),
        ("image_tokens", most + 1, Error.TOO_MANY_TOKENS))]
    cases.append((fresh().hello().step(tokens=most + 1).end(), Error.TOO_MANY_TOKENS, 2))
    # A packet of an unknown kind stays on the stream.
    cases += [(with_word(kind), Error.BAD_PACKET, before) for kind in (0, 6, 15, int(Kind.HELLO))]
    empty = pack(WRITE, {"kind": Kind.WRITE, "target": Target.NORM, "words": 0})
    cases.append((with_word(empty), Error.BAD_PACKET, before + 1))
    unknown = [pack(WRITE, {"kind": Kind.WRITE, "target": 4 + target, "words": 1}) for target in range(4)]
    unknown += [pack(STEP, {"kind": Kind.STEP, "tokens": 1, name: code})
                for name, code in (("source", 3), ("tile", 3), ("post", 6), ("post", 7))]
    cases += [(with_word(word), Error.BAD_PACKET, before + 1) for word in unknown]
    assert {code for _, code, _ in cases} == {Error.BAD_MAGIC, Error.BAD_VERSION, Error.CONFIG_MISMATCH,
                                              Error.BAD_PACKET, Error.TOO_MANY_TOKENS}
    good = fresh().hello(image_tokens=most).step(tokens=most).slot([1] * CLUSTERS, drain=0)
    good.write(Target.NORM, 1, 3).end()
    for stream, code, taken in cases:
        await bench.check_error(stream, code, taken)
        assert (len(bench.outcome.hello) == 0) == (taken == 1)
        await bench.check(good, FAST)


@cocotb.test()
async def stopped_anywhere(dut):
    """A program cut off after any of its words, as by a bus error, leaves nothing behind for the next one."""
    await start(dut, inputs=dict.fromkeys(INPUTS, 0))
    bench, everyone = Bench(dut, seed=7), [1] * CLUSTERS
    stream = Stream(CONFIG, 32, seed=7).hello().write(Target.NORM, 2, 6).write(Target.EXP, 0, 2)
    stream.write(Target.RESIDUAL, 9, 2).step().slot(everyone, drain=0).step(Tile.KEY)
    stream.slot(everyone, drain=0, key_blocks=[1] * CLUSTERS).step(Tile.VALUE).slot(everyone, key_blocks=[0] * CLUSTERS)
    stream.end()
    for words in range(1, len(stream.words)):
        await bench.begin(stream)
        await bench.run(PACES[words % 2], words=words, settle=words % 9)
        await bench.check(stream, FAST)


@cocotb.test()
async def padding(dut):
    """What follows END is thrown away, before or after the next start; then the next program runs."""
    await start(dut, inputs=dict.fromkeys(INPUTS, 0))
    bench, everyone = Bench(dut, seed=8), [1] * CLUSTERS

    def program(seed: int, size: int) -> Stream:
        stream = Stream(CONFIG, 32, seed).hello().write(Target.NORM, 2, 3).step().slot(everyone, drain=0)
        return stream.end(size)

    for seed, (size, late) in enumerate(((0, 0), (1, 0), (1, 1), (9, 0), (9, 4), (127, 127), (40, 39))):
        for pace in (FAST, Pace(word=0.5)):
            first, second = program(2 * seed, size), program(2 * seed + 1, size)
            await bench.begin(first)
            await bench.run(pace, words=len(first.words) - late)
            bench.outcome.check(first.expected)
            assert int(dut.finished.value) and not int(dut.error.value)
            second.words = first.words[len(first.words) - late:] + second.words
            await bench.begin(second, clear=False)
            await bench.run(pace)
            assert not int(dut.error.value)
            bench.outcome.check(second.expected)
            assert bench.waits == 0 or pace is not FAST
