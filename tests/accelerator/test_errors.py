"""Every way a run can go wrong ends with its code and the interrupt, and a good run right afterwards is exact."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from flows.compile.decode import packets
from flows.compile.layout import header_bytes
from flows.contracts.program import HELLO, STEP, WRITE, Fields, Kind, Target, Tile, unpack
from flows.contracts.registers import Error
from sim.accelerator import Frame, MemoryOptions
from tests.accelerator.hardware import ONE, TWO
from tests.accelerator.harness import WATCHDOG, Job, assert_exact, changed, make_job, run_all
from tests.accelerator.networks import topk
from tests.factory import random_artifact

FAST = MemoryOptions(latency=10, bandwidth=0)


@pytest.fixture(name="job", scope="module")
def fixture_job() -> Job:
    """A network that drops tokens; fewer classes than :func:`fixture_other`'s."""
    artifact = random_artifact(width=64, heads=2, depth=1, hidden=64, tokens=50, classes=10, seed=81,
                               drop={0: topk(20)})
    return make_job(artifact, TWO)


@pytest.fixture(name="other", scope="module")
def fixture_other() -> Job:
    """Another network: what fails is not what succeeds."""
    artifact = random_artifact(width=128, heads=4, depth=1, hidden=128, tokens=130, classes=40, seed=82,
                               patch_inputs=192, keep_blocks=0.4, drop={0: topk(100)})
    return make_job(artifact, TWO)


def with_fields(frame: Frame, word: int, fields: Fields, **values: int) -> Frame:
    """The frame's program with other values in the header at ``word``."""
    program = bytearray(frame.program)
    at = slice(word * TWO.stream_bytes, (word + 1) * TWO.stream_bytes)
    found = unpack(fields, int.from_bytes(program[at], "little"))
    program[at] = header_bytes(TWO, (fields, found | values)).tobytes()
    return changed(frame, program=bytes(program))


def every_second(frames: list[Frame]) -> dict[int, int]:
    """A short watchdog for frames 0, 2, 4 ..., which end in it."""
    return dict.fromkeys(range(0, len(frames), 2), 400)


def positions(job: Job, kind: Kind) -> list[int]:
    """Words at which packets of a kind begin."""
    return [packet.position for packet in packets(job.program.stream, job.config) if packet.kind is kind]


def damaged(job: Job) -> dict[str, tuple[Frame, Error]]:
    """Programs that the hardware has to refuse, and the code of each."""
    frame, step, write = job.frame, positions(job, Kind.STEP)[2], positions(job, Kind.WRITE)[1]
    unknown = {f"packet {kind}": (with_fields(frame, step, STEP, kind=kind), Error.BAD_PACKET)
               for kind in (0, 1, 6, 15)}
    foreign = make_job(job.artifact, ONE.replace(max_tokens=272, max_width=128), 0)
    return unknown | {
        "magic": (with_fields(frame, 0, HELLO, magic=0x54564952), Error.BAD_MAGIC),
        "no HELLO": (changed(frame, program=frame.program[TWO.stream_bytes:]), Error.BAD_MAGIC),
        "version": (with_fields(frame, 0, HELLO, version=2), Error.BAD_VERSION),
        "another hardware": (foreign.frame, Error.CONFIG_MISMATCH),
        "image tokens": (with_fields(frame, 0, HELLO, image_tokens=TWO.max_tokens + 1), Error.TOO_MANY_TOKENS),
        "step tokens": (with_fields(frame, step, STEP, tokens=TWO.max_tokens + 1), Error.TOO_MANY_TOKENS),
        "source": (with_fields(frame, step, STEP, source=3), Error.BAD_PACKET),
        "tile": (with_fields(frame, step, STEP, tile=3), Error.BAD_PACKET),
        "post": (with_fields(frame, step, STEP, post=6), Error.BAD_PACKET),
        "target": (with_fields(frame, write, WRITE, target=4), Error.BAD_PACKET),
        "empty write": (with_fields(frame, write, WRITE, words=0), Error.BAD_PACKET),
    }


@pytest.mark.parametrize("hurry", [False, True])
def test_refused_programs(job: Job, other: Job, hurry: bool) -> None:
    """Each has its code, and a good run follows each, at once or after all registers were read."""
    wrong = damaged(other)
    frames = [frame for bad, _ in wrong.values() for frame in (bad, job.frame)]
    outcomes = run_all(frames, TWO, memory=FAST, hurry=hurry)
    assert {name: outcome.error for name, outcome in zip(wrong, outcomes[::2], strict=True)} == \
        {name: error for name, (_, error) in wrong.items()}
    for outcome in outcomes[1::2]:
        assert outcome.error is Error.NONE
        np.testing.assert_array_equal(outcome.run.logits, job.golden.logits)
    assert_exact(job, outcomes[-1])


@pytest.mark.parametrize("hurry", [False, True])
def test_stopped_anywhere(job: Job, other: Job, hurry: bool) -> None:
    """A program that is cut off in the middle, or turns into nonsense there, leaves nothing behind.

    The places are spread over all steps: within blocks, before and after steps, while tokens are selected, in the head.
    """
    program = other.frame.program
    words = len(program.rstrip(b"\0")) // TWO.stream_bytes
    cuts = sorted({*np.linspace(3, words - 1, 12).astype(int).tolist(),
                   *(position + 1 for position in positions(other, Kind.STEP))})
    frames: list[Frame] = []
    for cut in cuts:
        kept = program[:cut * TWO.stream_bytes]
        frames += [changed(other.frame, program=kept), job.frame]
        # Zeros are no packet; within a block they are weights, so that the error comes later.
        frames += [changed(other.frame, program=kept + bytes(64 * TWO.stream_bytes)), job.frame]
    short = dict.fromkeys(range(0, len(frames), 2), 400)
    outcomes = run_all(frames, TWO, memory=FAST, watchdogs=short, hurry=hurry)
    assert {outcome.error for outcome in outcomes[::4]} == {Error.WATCHDOG}
    assert {outcome.error for outcome in outcomes[2::4]} == {Error.BAD_PACKET, Error.WATCHDOG}
    wrong = [cuts[index // 2] for index, outcome in enumerate(outcomes[1::2]) if outcome.error is not Error.NONE
             or (outcome.run.logits != job.golden.logits).any()]
    assert not wrong, f"the run after a program that stops at words {wrong} is wrong"
    if not hurry:
        for outcome in outcomes[1::2]:
            assert_exact(job, outcome)


def bus_errors(job: Job) -> dict[str, tuple[str, int, Error]]:
    """Places in the buffers whose access fails."""
    program = len(job.frame.program.rstrip(b"\0"))
    return {
        "first program word": ("program", 0, Error.AXI_READ),
        "early in the program": ("program", program // 5, Error.AXI_READ),
        "middle of the program": ("program", program // 2, Error.AXI_READ),
        "end of the program": ("program", program - TWO.stream_bytes, Error.AXI_READ),
        "first image word": ("image", 0, Error.AXI_READ),
        "last image word": ("image", len(job.frame.image) - 1, Error.AXI_READ),
        "first output word": ("output", 0, Error.AXI_WRITE),
        "last output word": ("output", 2 * job.frame.classes - 1, Error.AXI_WRITE),
    }


@pytest.mark.parametrize("place", ["first program word", "early in the program", "middle of the program",
                                   "end of the program", "first image word", "last image word", "first output word",
                                   "last output word"])
def test_bus_errors(job: Job, other: Job, place: str) -> None:
    """An error response ends the run, whatever is under way then; the other buffers still work."""
    buffer, byte, error = bus_errors(other)[place]
    frames = [job.frame, other.frame, job.frame, other.frame, job.frame]
    # Equal programs are stored once, images and outputs are not: only a program fails in both of its frames.
    for hurry in (False, True):
        outcomes = run_all(frames, TWO, memory=MemoryOptions(latency=40), error_in=(1, buffer, byte), hurry=hurry)
        again = error if buffer == "program" else Error.NONE
        assert [outcome.error for outcome in outcomes] == [Error.NONE, error, Error.NONE, again, Error.NONE]
        for index in (0, 2, 4):
            np.testing.assert_array_equal(outcomes[index].run.logits, job.golden.logits)
        assert_exact(job, outcomes[4])


def test_dead_memory(job: Job) -> None:
    """A memory that never answers ends in WATCHDOG within the limit; the registers can be read, twice."""
    outcomes = run_all([job.frame, job.frame], TWO, memory=MemoryOptions(dead=True), watchdogs={1: 500})
    for outcome, limit in zip(outcomes, (WATCHDOG, 500), strict=True):
        assert outcome.error is Error.WATCHDOG
        assert limit <= outcome.run.cycles <= limit + 300  # the hardware comes to rest before it reports
        assert outcome.run.registers["SLOTS"] == 0 and len(outcome.run.records) == 0
        assert outcome.run.registers["STALL_MEMORY"] >= limit - 50


def test_watchdog_does_not_bite_slow_memory(job: Job) -> None:
    """Waiting for less than the limit is no error."""
    slow = MemoryOptions(latency=1000)
    (outcome,) = run_all([job.frame], TWO, memory=slow, watchdogs={0: 1500})
    assert_exact(job, outcome)


def test_tables_that_are_written_by_a_stopped_program(job: Job, other: Job) -> None:
    """A program that ends within a table write has changed part of a table; the next one writes all it needs."""
    targets: dict[Target, Any] = {}
    for packet in packets(other.program.stream, TWO):
        if packet.kind is Kind.WRITE:
            targets.setdefault(Target(packet.fields["target"]), packet.position + packet.header)
    assert set(targets) == set(Target)
    frames: list[Frame] = []
    for word in targets.values():
        garbage = bytearray(other.frame.program[:(word + 1) * TWO.stream_bytes])
        garbage[word * TWO.stream_bytes:] = bytes([0x5A]) * TWO.stream_bytes
        frames += [changed(other.frame, program=bytes(garbage)), job.frame]
    outcomes = run_all(frames, TWO, memory=FAST, watchdogs=dict.fromkeys(range(0, len(frames), 2), 400))
    assert [outcome.error for outcome in outcomes] == [Error.WATCHDOG, Error.NONE] * len(targets)
    for outcome in outcomes[1::2]:
        assert_exact(job, outcome)


def test_key_tiles_are_not_waited_for_by_a_new_program(job: Job, other: Job) -> None:
    """A program that stops just where key tiles would be loaded, which wait for the barrier."""
    tiles = [packet.position for packet in packets(other.program.stream, TWO)
             if packet.kind is Kind.STEP and packet.fields["tile"] == Tile.KEY]
    assert tiles
    frames = [frame for word in tiles for extra in (1, 2) for frame in (
        changed(other.frame, program=other.frame.program[:(word + extra) * TWO.stream_bytes]), job.frame)]
    outcomes = run_all(frames, TWO, memory=FAST, watchdogs=dict.fromkeys(range(0, len(frames), 2), 400))
    for outcome in outcomes[1::2]:
        assert_exact(job, outcome)
