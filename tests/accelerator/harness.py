"""Frames on one simulator, each with an outcome of its own: bit-exact, different, or ended with an error code.

:func:`sim.accelerator.run_frames` raises at the first error; these tests also have to see what comes after it.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from flows.compile import Estimate, Program, compile_program, estimate, image_words
from flows.contracts.artifact import SparseVit
from flows.contracts.errors import MismatchError
from flows.contracts.hardware import HardwareConfig
from flows.contracts.registers import TOKENS_KEPT_ENTRIES, Error, error_text
from flows.sim_flow import tokens_after_drops
from sim import probes
from sim.accelerator import ROOT, Frame, MemoryOptions, Run, lay_out, logits_of
from sim.compare import Comparison, compare, compare_logits
from sim.golden.network import Result, run
from sim.runner import Build
from sim.runner import run as run_simulator
from tests.accelerator.hardware import simulator
from tests.factory import random_patches

WATCHDOG = 3000
"""Cycles without progress; a memory of 300 cycles latency stays far below."""
MAX_CYCLES = 400_000
"""Bound of a frame of these tests."""
TIMEOUT = 900.0


@dataclass(frozen=True, eq=False)
class Job:
    """A network with one image, compiled, and what the golden model says of it."""

    artifact: SparseVit
    program: Program
    patches: np.ndarray

    @cached_property
    def golden(self) -> Result:
        """All integers."""
        return run(self.artifact, self.patches, record=True)

    @property
    def config(self) -> HardwareConfig:
        """The hardware."""
        return self.program.config

    @property
    def frame(self) -> Frame:
        """Program and image as the hardware reads them."""
        return Frame(self.program.stream.tobytes(), image_words(self.program, self.patches).tobytes(),
                     self.artifact.head.weight.shape[0])

    @cached_property
    def drops(self) -> dict[int, int]:
        """Tokens alive after each step that drops tokens, by step index.

        From the program, not the network: the compiler leaves out a top-k drop that can never drop anything.
        """
        return tokens_after_drops(self.program, self.golden)

    def expected(self, memory: MemoryOptions) -> Estimate:
        """What the cycle model says, knowing how many tokens are alive."""
        return estimate(self.program.stream, self.config, bytes_per_cycle=memory.bandwidth,
                        latency=memory.latency, alive=self.drops)

    def check(self, result: Run, *, kept: bool = True) -> Comparison:
        """Compare a run with the golden model: every probe record, the output buffer, the TOKENS_KEPT registers.

        Without ``kept`` not the registers: of several images they show the last.

        Raises
        ------
        MismatchError
            For the first difference.
        """
        steps = [entry["name"] for entry in self.program.manifest["steps"]]
        comparison = compare(self.golden.checkpoints, result.records, steps, self.config, self.golden.unused)
        compare_logits(self.golden.logits, result.logits)
        drops = list(self.drops.values())
        if kept and result.registers["TOKENS_KEPT"] != drops + [0] * (TOKENS_KEPT_ENTRIES - len(drops)):
            raise MismatchError(f"registers TOKENS_KEPT hold {result.registers['TOKENS_KEPT']}, expected {drops}")
        return comparison


@dataclass(frozen=True, eq=False)
class Outcome:
    """How a frame ended: its error code, and the run (logits are what the output buffer holds, after errors too)."""

    error: Error
    run: Run


def make_job(artifact: SparseVit, config: HardwareConfig, image: int = 0, program: Program | None = None) -> Job:
    """Compile a network, or take its ``program``, for random image ``image``."""
    return Job(artifact, program or compile_program(artifact, config), random_patches(artifact, image))


def assert_exact(job: Job, outcome: Outcome, *, varied: bool = True) -> Comparison:
    """The frame went well and every integer is the golden model's.

    With ``varied`` no checkpoint may hold one value only, as equality would say little then. Only a network without
    any block in its qkv layer has such: all its keys are equal.
    """
    assert outcome.error is Error.NONE, error_text(outcome.error)
    comparison = job.check(outcome.run)
    assert comparison.records == int((outcome.run.records["unit"] < len(probes.PROBES)).sum()) > 0
    assert not (varied and comparison.constant), comparison.constant
    return comparison


def assert_predicted(job: Job, outcome: Outcome, memory: MemoryOptions, tolerance: float = 0.01) -> None:
    """Slots as the cycle model counts them, cycles within ``tolerance`` of it."""
    expected = job.expected(memory)
    assert outcome.run.registers["SLOTS"] == sum(step.slots for step in expected.steps)
    assert abs(outcome.run.cycles - expected.total) <= tolerance * expected.total, \
        f"{outcome.run.cycles} cycles, the cycle model says {expected.total}"


def changed(frame: Frame, *, program: bytes | None = None, image: bytes | None = None) -> Frame:
    """A frame with another program or image."""
    return replace(frame, **{name: value for name, value in (("program", program), ("image", image))
                             if value is not None})


def run_all(frames: Sequence[Frame], config: HardwareConfig, *, memory: MemoryOptions | None = None,
            watchdogs: Mapping[int, int] | None = None, error_in: tuple[int, str, int] | None = None,
            hurry: bool = False, max_cycles: int = MAX_CYCLES, built: Build | None = None) -> list[Outcome]:
    """Run frames one after the other without a reset between them, whatever each of them does.

    Parameters
    ----------
    memory : behaviour of the memory
    watchdogs : watchdog of single frames, :data:`WATCHDOG` for the others
    hurry : after a frame but the last start the next one at once; of its registers only ERROR is read
    error_in : the memory answers with an error in this buffer: frame, ``"program"``, ``"image"`` or ``"output"``, byte
    max_cycles : bound of each frame
    built : a simulator, when not that of :func:`tests.accelerator.hardware.simulator`

    Raises
    ------
    SimulationError
        When a frame does not end, or does not leave the hardware idle.
    """
    initial, places = lay_out(frames, config)
    options = memory or MemoryOptions()
    if error_in is not None:
        index, buffer, byte = error_in
        options = replace(options, error_at=getattr(places[index], buffer) + byte)
    home = ROOT / "build" / "runs"
    home.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="test-", dir=home))
    try:
        (folder / "memory.bin").write_bytes(initial)
        entries = [{**place.job(frame), "watchdog": (watchdogs or {}).get(index, WATCHDOG),
                    "hurry": hurry and index < len(frames) - 1}
                   for index, (frame, place) in enumerate(zip(frames, places, strict=True))]
        (folder / "job.json").write_text(json.dumps(
            {"frames": entries, "max_cycles": max_cycles, "config_hash": config.config_hash()}))
        plusargs = [f"+memory={folder / 'memory.bin'}", f"+memory_out={folder / 'memory_out.bin'}",
                    f"+probe={folder / 'probe.bin'}", *options.plusargs()]
        run_simulator(built or simulator(config), test_module="tests.accelerator.bench_frames",
                      env={"SIEVIT_JOB": str(folder)}, plusargs=plusargs, run_dir=folder, timeout=TIMEOUT)
        ended = json.loads((folder / "frames.json").read_text())
        final = np.fromfile(folder / "memory_out.bin", np.uint8)
        records = probes.read_records(folder / "probe.bin")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    _check_untouched(initial, final, [(place.output, place.output_bytes) for place in places])
    starts = [item["begin"] for item in ended]
    assert len(starts) == len(frames)
    parts = np.split(records, np.searchsorted(records["cycle"], starts[1:]))
    return [_outcome(frame, final[place.output:place.output + place.output_bytes], part, item["registers"])
            for frame, place, part, item in zip(frames, places, parts, ended, strict=True)]


def _outcome(frame: Frame, output: np.ndarray, records: np.ndarray, registers: dict[str, Any]) -> Outcome:
    cycles = registers["CYCLES_HI"] << 32 | registers["CYCLES_LO"] if "CYCLES_LO" in registers else 0
    run_ = Run(cycles, logits_of(output, frame), output.copy(), records, registers, None, 0.0)
    return Outcome(Error(registers["ERROR"]), run_)


def _check_untouched(before: bytes, after: np.ndarray, outputs: Sequence[tuple[int, int]]) -> None:
    """No frame writes outside its own output buffer, not even with a damaged program."""
    differs = np.frombuffer(before, np.uint8) != after
    for address, size in outputs:
        differs[address:address + size] = False
    assert not differs.any(), f"memory was written outside the output buffers, first at {int(np.argmax(differs)):#x}"

