"""cocotb bench of the slot sequencer: every cycle of random programs is compared with the rules of a slot's start."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import cocotb
from cocotb.triggers import RisingEdge

from flows.contracts.program import Drop, Post, Source, Tile
from rtl.packets import slot_layout, step_layout
from rtl.sequencer import MIN_SLOT, Sequencer, token_control_layout
from sim.bench import decode, encode, start
from tests.rtl.script import bench_config

CONFIG = bench_config()
CLUSTERS, ROW_CYCLES = CONFIG.clusters, CONFIG.row_cycles
DRAIN_CYCLES = {post: 5 + 3 * index for index, post in enumerate(Post)}
NORM_CYCLES = 11
READ_CYCLES = 9
LONGEST = max(DRAIN_CYCLES.values()) + NORM_CYCLES
INPUTS = ("clear", "step__valid", "slot__valid", "columns", "select_busy", "new_tokens")
FLAGS = ("go", "started", "take", "valid", "running", "idle", "wait_step", "wait_columns", "wait_select", "tokens",
         "current", "draining", "draining_started")
CONTROL = token_control_layout(CLUSTERS)
RNG = random.Random(1)


@dataclass
class Slot:
    """A slot and the cycles the decoder needs for it after the one before."""

    fields: dict[str, Any]
    delay: int = 0


@dataclass
class Step:
    """A step and its slots, one at least; ``busy`` and ``new_tokens`` of its selection, the pace of its norm pass."""

    fields: dict[str, int]
    slots: list[Slot]
    delay: int = 0
    busy: int = 0
    new_tokens: int = 0
    column_every: int = 1


@dataclass
class Cycle:
    """Inputs and outputs of one cycle."""

    step: Step | None
    slot: Slot | None
    columns: int
    select_busy: int
    new_tokens: int
    out: dict[str, int] = field(default_factory=dict)


class Driver:
    """Plays decoder, selection and norm pass, and records every cycle."""

    def __init__(self, dut: Any) -> None:
        self.dut = dut
        self.edge = RisingEdge(dut.clk)
        self.trace: list[Cycle] = []
        self._select_from = self._select_until = self._columns_from = 0
        self._running: Step | None = None
        self._new_tokens = 0

    def _drive(self, step: Step | None, slot: Slot | None, held: Slot | None) -> Cycle:
        at, dut = len(self.trace), self.dut
        columns = 0
        if self._running is not None:
            columns = max(0, at - self._columns_from) // self._running.column_every
        busy = int(self._select_from <= at < self._select_until)
        # The selection's result is there when it is no longer busy.
        now = Cycle(step, slot, min(columns, 255), busy, RNG.getrandbits(9) if busy else self._new_tokens)
        dut.step__valid.value, dut.slot__valid.value = int(step is not None), int(slot is not None)
        if step is not None:
            dut.step__payload.value = encode(step_layout, step.fields)
        if (shown := slot or held) is not None:
            dut.slot__payload.value = encode(slot_layout(CONFIG), shown.fields)
        dut.columns.value, dut.select_busy.value, dut.new_tokens.value = now.columns, busy, now.new_tokens
        return now

    async def cycle(self, step: Step | None, slot: Slot | None, held: Slot | None = None) -> Cycle:
        """One cycle with these two offered; ``held`` is a slot that is not valid yet."""
        now = self._drive(step, slot, held)
        await self.edge
        now.out = {name: int(getattr(self.dut, name).value) for name in FLAGS}
        if now.out["valid"]:
            now.out |= decode(CONTROL, int(self.dut.control.value))
        self.trace.append(now)
        if now.out["go"] and step is not None:
            at = len(self.trace)
            self._running, self._new_tokens = step, step.new_tokens
            # The selection and the norm pass are started by ``started`` and show it a cycle later.
            self._select_from, self._select_until = at + 1, at + 1 + step.busy
            self._columns_from = at + 1
        return now

    async def run(self, program: Sequence[Step], *, rest: int = LONGEST + 40) -> None:
        """Offer all steps and slots as the decoder does: a slot may wait behind its step, a step behind no slot."""
        pending: Step | None = None
        for step in program:
            for _ in range(step.delay):
                await self.cycle(None, None)
            pending = step
            for slot in step.slots:
                # The decoder holds a slot for a cycle at least before it is valid.
                for _ in range(max(slot.delay, 1)):
                    if (await self.cycle(pending, None, slot)).out["go"]:
                        pending = None
                taken = False
                for _ in range(4000):
                    now = await self.cycle(pending, slot)
                    pending = None if now.out["go"] else pending
                    taken = bool(now.out["take"])
                    if taken:
                        break
                assert taken, "a slot is never taken"
            while pending is not None:
                pending = None if (await self.cycle(pending, None)).out["go"] else pending
        for _ in range(rest):
            await self.cycle(None, None)


class Rules:
    """What the outputs must be, cycle by cycle, derived from the inputs and from what has started before."""

    def __init__(self, tokens: int = 0) -> None:
        self.tokens = tokens
        self.current: dict[str, int] = {"post": int(Post.INT8)}
        self.slot: dict[str, Any] | None = None
        self.begin = self.end = -LONGEST - 1  # first and last cycle of the running slot
        self.rows = 0
        self.go = -2
        self.opened: set[int] = set()
        self.fresh: set[int] = set()
        self.draining: dict[str, int] = {}
        self.drained = -1  # last cycle in which the drain is still busy with the step before
        self.offered = 0  # cycles the pending step has been offered
        self.takes: list[int] = []
        self.goes: list[int] = []
        self.columns = 0  # in the cycle before
        self.drains_from: list[int] = []  # first cycle of each step in which a slot that drains may be taken

    @property
    def dropping(self) -> bool:
        return self.current.get("drop", 0) != Drop.NONE

    def check(self, at: int, now: Cycle) -> None:
        """Compare one cycle, then go on."""
        running = self.begin <= at <= self.end
        self.offered = 0 if now.step is None else self.offered + 1
        self._check_go(at, now, running=running)
        self._check_take(at, now, running=running)
        self._check_token(at, now)
        idle = not running and at - self.end - 1 >= LONGEST and not now.select_busy and at > self.drained
        self._same(at, "idle", now.out["idle"], idle)
        self._same(at, "running", now.out["running"], running)
        self._same(at, "started", now.out["started"], at == self.go + 1)
        self._same(at, "tokens", now.out["tokens"], self.tokens)
        self._check_draining(at, now)
        if now.out["go"]:
            self._go(at, now)
        if now.out["take"]:
            self._take(at, now)
        self.columns = now.columns

    @staticmethod
    def _same(at: int, name: str, got: int, wanted: int) -> None:
        assert got == wanted, f"cycle {at}: {name} is {got}, expected {int(wanted)}"

    def _check_go(self, at: int, now: Cycle, *, running: bool) -> None:
        """A step starts when what was written before can be read: exactly then if it has been waiting for it."""
        allowed = now.step is not None and not running and not now.select_busy and at > self.drained \
            and self._ready(at, now.step.fields)
        if now.out["go"]:
            assert allowed, f"cycle {at}: a step starts {at - self.end - 1} cycles after the last slot"
        else:
            # A step that has only just been offered may take a cycle to be looked at.
            assert not (allowed and self.offered > 1), f"cycle {at}: a step does not start"

    def _ready(self, at: int, step: dict[str, int]) -> bool:
        """Whether what a step reads has been written: its first row, or all rows."""
        whole = step.get("tokens", 0) or self.dropping or step.get("tile", 0) == Tile.KEY
        since = at - self.end - 1 if whole else at - self.begin
        needed = DRAIN_CYCLES[Post(self.current["post"])]
        if step.get("norm", 0):
            return since >= needed + NORM_CYCLES - Sequencer.START_CYCLES and at - self.end - 1 >= READ_CYCLES
        return since >= needed - (Sequencer.START_CYCLES - 1)

    def _check_draining(self, at: int, now: Cycle) -> None:
        """The drain takes over a step as soon as it is done with the one before."""
        started = at == max(self.go, self.drained) + 1 and self.go >= 0
        self._same(at, "draining_started", now.out["draining_started"], started)
        for name, fields in (("current", self.current), ("draining", self.draining)):
            index = decode(step_layout, now.out[name])["index"]
            self._same(at, f"index of {name}", index, fields.get("index", 0))
        if started:
            self.draining = self.current

    def _check_take(self, at: int, now: Cycle, *, running: bool) -> None:
        free = now.step is None and at != self.go + 1 and (not running or at == self.end) and now.slot is not None
        columns = select = drains = False
        if now.slot is not None:
            # The columns of the cycle before count, unless the norm pass that makes them began in it.
            counted = self.current.get("norm", 0) or self.current.get("image", 0)
            begins = self.current.get("norm", 0) and at == self.go + 2
            columns = not counted or (not begins and self.columns >= now.slot.fields.get("need_columns", 0))
            drains = not (now.slot.fields.get("drain", 0) and (at == self.go + 1 or at <= self.drained))
            select = not (now.slot.fields.get("drain", 0) and self.dropping and now.select_busy)
        self._same(at, "take", now.out["take"], free and columns and select and drains)
        late = now.step is not None or (free and not drains)
        self._same(at, "wait_step", now.out["wait_step"], not running and late)
        free = free and drains
        self._same(at, "wait_columns", now.out["wait_columns"], not running and free and not columns)
        self._same(at, "wait_select", now.out["wait_select"], not running and free and columns and not select)

    def _check_token(self, at: int, now: Cycle) -> None:
        rows = self.rows
        row, cycle = divmod(at - self.begin, ROW_CYCLES)
        issuing = 0 <= row < rows and cycle == 0
        self._same(at, "valid", now.out["valid"], issuing)
        if not issuing or self.slot is None:
            return
        clusters = self.slot["clusters"]
        wanted = {"token": row, "start": row == 0, "fused": self.dropping and row == rows - 1,
                  "drain": self.slot.get("drain", 0), "drain_cluster": self.slot.get("drain_cluster", 0),
                  "merge": self.slot.get("merge", 0), "merge_cluster": self.slot.get("merge_cluster", 0),
                  "active": sum(entry["valid"] << index for index, entry in enumerate(clusters)),
                  "fresh": sum(1 << index for index in self.fresh),
                  "source": self.current.get("source", 0), "unsigned": self.current.get("unsigned", 0)}
        for name, value in wanted.items():
            # Whether an idle cluster's block is fresh means nothing.
            seen = now.out[name] & wanted["active"] if name == "fresh" else now.out[name]
            self._same(at, name, seen, value & wanted["active"] if name == "fresh" else value)

    def _go(self, at: int, now: Cycle) -> None:
        assert now.step is not None
        quiet = at - self.end - 1
        left = DRAIN_CYCLES[Post(self.current["post"])] - quiet
        self.drained = at + left if left > 0 else -1
        self.drains_from.append(max(self.drained, at + 1) + 1)
        if now.step.fields.get("tokens", 0):
            self.tokens = now.step.fields["tokens"]
        elif self.dropping:
            self.tokens = now.new_tokens
        self.current, self.go, self.offered = now.step.fields, at, 0
        self.goes.append(at)

    def _take(self, at: int, now: Cycle) -> None:
        assert now.slot is not None
        self.slot = now.slot.fields
        self.rows = self.tokens + int(self.dropping)
        self.begin, self.end = at + 1, at + max(MIN_SLOT, ROW_CYCLES * self.rows)
        valid = {index for index, entry in enumerate(self.slot["clusters"]) if entry["valid"]}
        self.fresh = set(range(CLUSTERS)) - self.opened
        self.opened |= valid
        if self.slot.get("drain", 0):
            self.opened.discard(self.slot["drain_cluster"])
            if self.slot.get("merge", 0):
                self.opened.discard(self.slot["merge_cluster"])
        self.takes.append(at)


def random_slots(count: int, *, columns: int = 0, delay: float = 0.0) -> list[Slot]:
    """Slots in which some clusters idle and every second one drains, some of them the halves of two clusters."""
    slots = []
    for index in range(count):
        drain = RNG.random() < 0.5
        cluster = RNG.randrange(CLUSTERS)
        merge = drain and RNG.random() < 0.5
        other = (cluster + RNG.randrange(1, CLUSTERS)) % CLUSTERS if merge else 0
        ending = {cluster, other} if merge else {cluster} if drain else set()
        valid = [int(RNG.random() < 0.7 or c in ending) for c in range(CLUSTERS)]
        fields = {"kind": 3, "drain": int(drain), "drain_cluster": cluster if drain else 0,
                  "merge": int(merge), "merge_cluster": other,
                  "dest_column": RNG.randrange(1024), "need_columns": min(index + 1, columns),
                  "clusters": [{"valid": bit, "source_column": RNG.randrange(1024)} for bit in valid]}
        slots.append(Slot(fields, RNG.randrange(1, 40) if RNG.random() < delay else 0))
    return slots


def random_step(tokens: int, *, delay: float) -> Step:
    """Any post-processing; a norm pass, an image or a token drop, or none of them."""
    kind = RNG.choice(["plain", "norm", "image", "drop"])
    fields = {"kind": 2, "post": int(RNG.choice(list(Post))), "tokens": tokens, "index": RNG.randrange(1 << 16),
              "source": int(RNG.choice(list(Source))), "unsigned": RNG.randrange(2),
              "tile": int(RNG.choice([Tile.STREAM, Tile.STREAM, Tile.KEY]))}
    step = Step(fields, random_slots(RNG.randrange(1, 7), delay=delay),
                delay=RNG.randrange(1, LONGEST + 20) if RNG.random() < delay else 0)
    if kind in ("norm", "image"):
        fields[kind] = 1
        step.slots = random_slots(RNG.randrange(1, 7), columns=5, delay=delay)
        step.column_every = RNG.choice([1, 20, 60])
    elif kind == "drop":
        fields["drop"] = int(RNG.choice([Drop.TOPK, Drop.THRESHOLD]))
        step.busy, step.new_tokens = RNG.randrange(1, 150), RNG.randrange(1, CONFIG.max_tokens + 1)
    return step


async def begin(dut: Any) -> Driver:
    """Reset, then clear as at the start of every program."""
    await start(dut, inputs=dict.fromkeys(INPUTS, 0))
    dut.clear.value = 1
    await RisingEdge(dut.clk)
    dut.clear.value = 0
    return Driver(dut)


def check(driver: Driver) -> Rules:
    """All cycles recorded since the clear."""
    rules = Rules()
    for at, now in enumerate(driver.trace):
        rules.check(at, now)
    return rules


@cocotb.test()
async def no_bubble_between_slots(dut):
    """Slots that are ready follow each other every ``max(N * ROW_CYCLES, 16)`` cycles."""
    driver = await begin(dut)
    sizes = (CONFIG.max_tokens, 17, 16, 15, 1, CONFIG.max_tokens - 1)
    program = [Step({"kind": 2, "post": 1, "tokens": tokens}, random_slots(6)) for tokens in sizes]
    await driver.run(program)
    rules = check(driver)
    assert len(rules.takes) == 6 * len(sizes)
    for index, tokens in enumerate(sizes):
        takes = rules.takes[6 * index:6 * index + 6]
        assert [b - a for a, b in pairwise(takes)] == [max(ROW_CYCLES * tokens, MIN_SLOT)] * 5
        # The first slot follows two cycles after the step's start, or when the drain is free.
        drains = program[index].slots[0].fields["drain"]
        assert takes[0] == max(rules.goes[index] + 2, rules.drains_from[index] if drains else 0)


@cocotb.test()
async def one_more_row_when_tokens_drop(dut):
    """The fused row makes a slot one row longer; the next step runs with the tokens the selection left."""
    driver = await begin(dut)
    program = []
    for tokens, left in ((CONFIG.max_tokens - 1, 19), (0, 17), (0, 15), (0, 3)):
        program.append(Step({"kind": 2, "post": 2, "tokens": tokens, "drop": 1}, random_slots(4), new_tokens=left))
        program.append(Step({"kind": 2, "post": 1}, random_slots(2)))
    await driver.run(program)
    rules = check(driver)
    assert rules.tokens == 3 and len(rules.takes) == 24
    lengths = [b - a for a, b in pairwise(rules.takes)]
    assert lengths[:3] == [ROW_CYCLES * CONFIG.max_tokens] * 3
    assert lengths[6:9] == [ROW_CYCLES * 20] * 3
    assert lengths[12:15] == [ROW_CYCLES * 18] * 3


@cocotb.test()
async def barrier(dut):
    """A waiting step starts exactly when the one before has drained, with and without the norm pass's wait."""
    driver = await begin(dut)
    program = [Step({"kind": 2, "post": int(post), "tokens": 20, "norm": norm}, random_slots(2))
               for post in Post for norm in (0, 1)]
    await driver.run(program)
    rules = check(driver)
    for index, (before, step) in enumerate(pairwise(program), 1):
        needed = DRAIN_CYCLES[Post(before.fields["post"])]
        needed += NORM_CYCLES - 3 if step.fields["norm"] else -2
        last = rules.takes[2 * index - 1] + ROW_CYCLES * 20
        assert rules.goes[index] - last - 1 == max(needed, READ_CYCLES if step.fields["norm"] else 0)


@cocotb.test()
async def overlap(dut):
    """A step with the same tokens starts behind the first row of the last slot, at best right after its last row."""
    driver = await begin(dut)
    rows = CONFIG.max_tokens - 4
    program = [Step({"kind": 2, "post": 1, "tokens": rows}, random_slots(2))]
    program += [Step({"kind": 2, "post": int(post), "norm": norm}, random_slots(2)) for post in Post for norm in (0, 1)]
    await driver.run(program)
    rules, gaps = check(driver), []
    for index, (before, step) in enumerate(pairwise(program), 1):
        needed = DRAIN_CYCLES[Post(before.fields["post"])]
        needed += NORM_CYCLES - 3 if step.fields["norm"] else -2
        first = rules.takes[2 * index - 1] + 1
        soonest = first + ROW_CYCLES * rows + (READ_CYCLES if step.fields["norm"] else 0)
        assert rules.goes[index] == max(soonest, first + needed, rules.drains_from[index - 1])
        gaps.append(rules.goes[index] - first - ROW_CYCLES * rows)
    assert min(gaps) == 0 and max(gaps) < LONGEST


@cocotb.test()
async def step_that_comes_late(dut):
    """A step that the stream delivers while the pipeline drains waits like any other, whatever the step before was."""
    driver = await begin(dut)
    program = []
    for post in Post:
        for delay in range(1, 16 + LONGEST + 4, 3):
            program.append(Step({"kind": 2, "post": int(post), "tokens": 16}, random_slots(1)))
            program.append(Step({"kind": 2, "post": int(post), "norm": 1}, random_slots(1), delay=delay))
    await driver.run(program)
    assert len(check(driver).goes) == len(program)


@cocotb.test()
async def columns_and_selection(dut):
    """Slots wait for their column, and only draining ones for the selection; both stalls occur."""
    driver = await begin(dut)
    quick = random_slots(1)  # over long before its selection
    quick[0].fields["drain"] = 0
    program = [Step({"kind": 2, "post": 1, "tokens": 16, "norm": 1}, random_slots(6, columns=6), column_every=25),
               Step({"kind": 2, "post": 1, "image": 1}, random_slots(6, columns=3), column_every=70),
               Step({"kind": 2, "post": 2, "drop": 1}, random_slots(8), busy=90, new_tokens=9),
               Step({"kind": 2, "post": 2, "drop": 2}, quick, busy=120, new_tokens=7),
               Step({"kind": 2, "post": 1}, random_slots(3))]
    await driver.run(program)
    rules = check(driver)
    assert rules.tokens == 7
    for name in ("wait_columns", "wait_select", "wait_step"):
        assert sum(now.out[name] for now in driver.trace) > 5, f"{name} never occurs"


@cocotb.test()
async def random_programs(dut):
    """Programs of random steps, fast and slow decoders, cleared in between, once in the middle of a slot."""
    await start(dut, inputs=dict.fromkeys(INPUTS, 0))
    merged = 0
    for trial in range(8):
        dut.clear.value = 1
        await RisingEdge(dut.clk)
        dut.clear.value = 0
        driver = Driver(dut)
        delay = 0.0 if trial % 2 else 0.5
        program = [random_step(RNG.randrange(1, CONFIG.max_tokens), delay=delay)]
        program += [random_step(RNG.choice([0, 0, 0, 17]), delay=delay) for _ in range(9)]
        # Every third program ends while its last slot runs.
        await driver.run(program, rest=3 if trial % 3 == 2 else LONGEST + 40)
        rules = check(driver)
        assert len(rules.takes) == sum(len(step.slots) for step in program) > 5
        assert len(rules.goes) == len(program)
        merged += sum(slot.fields["merge"] for step in program for slot in step.slots)
    assert merged > 20
