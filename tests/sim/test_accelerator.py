"""The accelerator through its testbench: bit-exact frames, and every way a run can go wrong."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from flows.compile import Program, compile_program, config_for, image_words
from flows.contracts.artifact import SparseVit, TokenDrop
from flows.contracts.errors import MismatchError, SimulationError
from flows.contracts.hardware import HardwareConfig
from flows.contracts.registers import Error
from flows.sim_flow import compare_run
from sim.accelerator import (
    FIRST_ADDRESS,
    Frame,
    HardwareError,
    MemoryOptions,
    Run,
    build_accelerator,
    lay_out,
    run_accelerator,
    run_batch,
    run_frames,
    split_frames,
)
from sim.golden.network import run
from sim.probes import RECORD, START_UNIT
from sim.runner import Build
from tests.factory import random_artifact, random_patches

WATCHDOG = 3000
FAST = MemoryOptions(latency=10, bandwidth=0)


@pytest.fixture(name="artifact", scope="module")
def fixture_artifact() -> SparseVit:
    """A small network that drops tokens."""
    return random_artifact(width=64, heads=2, depth=2, hidden=64, tokens=17, classes=21, seed=8,
                           drop={0: TokenDrop("topk", keep=9)})


@pytest.fixture(name="config", scope="module")
def fixture_config(artifact: SparseVit) -> HardwareConfig:
    """Hardware that it fits."""
    return config_for(artifact, clusters=2)


@pytest.fixture(name="program", scope="module")
def fixture_program(artifact: SparseVit, config: HardwareConfig) -> Program:
    """The network compiled."""
    return compile_program(artifact, config)


@pytest.fixture(name="built", scope="module")
def fixture_built(config: HardwareConfig) -> Build:
    """One simulator for all tests."""
    return build_accelerator(config, assertions=True, optimize="-O1")


def frame_of(artifact: SparseVit, program: Program, seed: int) -> tuple[Frame, np.ndarray]:
    """A frame with a random image, and the image's codes."""
    codes = random_patches(artifact, seed)
    return Frame(program.stream.tobytes(), image_words(program, codes).tobytes(), artifact.head.weight.shape[0]), codes


def simulate(artifact: SparseVit, program: Program, built: Build, **options: object) -> Run:
    """Run one frame."""
    frame, _ = frame_of(artifact, program, 0)
    return run_frames([frame], program.config, built=built, **{"memory": FAST, **options})[0]  # type: ignore[arg-type]


def test_frames_without_reset(artifact: SparseVit, program: Program, built: Build) -> None:
    """Frames one after the other are each bit exact: nothing of one is left in the next."""
    made = [frame_of(artifact, program, seed) for seed in range(3)]
    results = run_frames([frame for frame, _ in made], program.config, built=built, memory=FAST)
    assert len({result.logits.tobytes() for result in results}) == 3
    for result, (_, codes) in zip(results, made, strict=True):
        compare_run(run(artifact, codes, record=True), result, program)


def test_batch(artifact: SparseVit, program: Program, built: Build) -> None:
    """Several images in one run of the hardware: records, logits and outputs of each, cycles that add up."""
    made = [frame_of(artifact, program, seed) for seed in range(3)]
    classes = made[0][0].classes
    batch = run_batch(made[0][0].program, [frame.image for frame, _ in made], program.config, classes=classes,
                      built=built, memory=FAST)
    alone = run_frames([frame for frame, _ in made], program.config, built=built, memory=FAST)
    assert sum(image.cycles for image in batch.images) == batch.cycles < sum(run_.cycles for run_ in alone)
    for image, single, (_, codes) in zip(batch.images, alone, made, strict=True):
        compare_run(run(artifact, codes, record=True), image, program)
        np.testing.assert_array_equal(image.output, single.output)
    assert batch.registers["IMAGES_DONE"] == 3
    (only,) = run_batch(made[1][0].program, [made[1][0].image], program.config, classes=classes, built=built,
                        memory=FAST).images
    np.testing.assert_array_equal(only.logits, alone[1].logits)


def test_batch_without_or_with_unequal_images(program: Program) -> None:
    """Refused before anything is simulated."""
    with pytest.raises(SimulationError, match="at least one image"):
        run_batch(program.stream.tobytes(), [], program.config, classes=5)
    with pytest.raises(SimulationError, match="must have one size, not 4096 and 64"):
        lay_out([Frame(b"p", bytes(4096), 5, (bytes(4096), bytes(64)))], program.config)


def test_lay_out_of_a_batch(config: HardwareConfig) -> None:
    """Images and outputs lie at equal distances, which the registers can hold."""
    frame = Frame(b"p" * 5000, b"i" * 5000, 10, (b"j" * 5000, b"k" * 5000))
    memory, (place,) = lay_out([frame], config)
    assert place.image_stride == 8192 and place.output_stride == 4096 and place.output_bytes == 3 * 4096
    for index, image in enumerate((frame.image, *frame.following)):
        at = place.image + index * place.image_stride
        assert memory[at:at + len(image)] == image
    assert place.job(frame) == {"program": place.program, "image": place.image, "output": place.output, "words": 156,
                                "images": 3, "image_stride": 8192, "output_stride": 4096}


@pytest.mark.parametrize("memory", [MemoryOptions(latency=150, latency_random=60, bandwidth=9.5, stall=35, seed=4),
                                    MemoryOptions(latency=1, bandwidth=0)])
def test_memory_changes_only_time(artifact: SparseVit, program: Program, built: Build, memory: MemoryOptions) -> None:
    """A slow, pausing memory and an ideal one give the same integers."""
    frame, codes = frame_of(artifact, program, 5)
    (result,) = run_frames([frame], program.config, built=built, memory=memory)
    compare_run(run(artifact, codes, record=True), result, program)
    assert result.cycles > 1000


def test_slow_memory_is_slower(artifact: SparseVit, program: Program, built: Build) -> None:
    """The memory's options reach the design, and its stall counter sees them."""
    fast = simulate(artifact, program, built)
    slow = simulate(artifact, program, built, memory=MemoryOptions(latency=100, bandwidth=4))
    assert slow.cycles > 1.5 * fast.cycles
    assert slow.stalls["memory"] > fast.stalls["memory"] + 1000


def test_one_call(artifact: SparseVit, program: Program, built: Build) -> None:
    """The one-frame form, and the figures it brings."""
    frame, codes = frame_of(artifact, program, 1)
    seen: list[tuple[int, int, int]] = []
    result = run_accelerator(frame.program, frame.image, program.config, classes=frame.classes, built=built,
                             memory=FAST, progress=lambda *state: seen.append(state))
    golden = run(artifact, codes)
    np.testing.assert_array_equal(result.logits, golden.logits)
    assert result.tokens_kept == [11]
    assert result.registers["SLOTS"] == program.manifest["totals"]["slots"]
    assert all(step < len(program.manifest["steps"]) for _, step, _ in seen)


def test_golden_of_another_image_differs(artifact: SparseVit, program: Program, built: Build) -> None:
    """The comparison is not vacuous: with the golden run of another image it fails."""
    result = simulate(artifact, program, built)
    other = run(artifact, random_patches(artifact, 99), record=True)
    with pytest.raises(MismatchError, match=r"unit R .*step embed.*hardware -?\d+, golden -?\d+ \(cycle \d+\)"):
        compare_run(other, result, program)


def test_memory_error_on_read(artifact: SparseVit, program: Program, built: Build) -> None:
    """An error response ends the run with AXI_READ, wherever it hits."""
    frame, _ = frame_of(artifact, program, 0)
    (place,) = lay_out([frame], program.config)[1]
    for address in (FIRST_ADDRESS + 32, FIRST_ADDRESS + program.stream.size // 2, place.image + 64):
        with pytest.raises(HardwareError, match="AXI_READ") as caught:
            simulate(artifact, program, built, memory=replace(FAST, error_at=address), watchdog=WATCHDOG)
        assert caught.value.code == Error.AXI_READ


def test_memory_error_on_write(artifact: SparseVit, program: Program, built: Build) -> None:
    """An error response to the output ends the run with AXI_WRITE."""
    frame, _ = frame_of(artifact, program, 0)
    (place,) = lay_out([frame], program.config)[1]
    with pytest.raises(HardwareError, match="AXI_WRITE"):
        simulate(artifact, program, built, memory=replace(FAST, error_at=place.output), watchdog=WATCHDOG)


def test_memory_that_never_answers(artifact: SparseVit, program: Program, built: Build) -> None:
    """The watchdog ends the run."""
    with pytest.raises(HardwareError, match="WATCHDOG") as caught:
        simulate(artifact, program, built, memory=replace(FAST, dead=True), watchdog=WATCHDOG)
    assert caught.value.registers["CYCLES_LO"] < 2 * WATCHDOG


@pytest.mark.parametrize(("byte", "error"), [(4, Error.BAD_MAGIC), (8, Error.BAD_VERSION), (12, Error.CONFIG_MISMATCH)])
def test_damaged_header(artifact: SparseVit, program: Program, built: Build, byte: int, error: Error) -> None:
    """The hardware refuses a program that is none, of another version, or for another configuration."""
    frame, _ = frame_of(artifact, program, 0)
    stream = bytearray(frame.program)
    stream[byte] ^= 1
    with pytest.raises(HardwareError, match=error.name) as caught:
        run_frames([replace(frame, program=bytes(stream))], program.config, built=built, memory=FAST,
                   watchdog=WATCHDOG)
    assert caught.value.code == error


def test_other_hardware_is_noticed(artifact: SparseVit, program: Program, built: Build) -> None:
    """Like a driver, the simulation checks the configuration hash before it starts."""
    frame, _ = frame_of(artifact, program, 0)
    with pytest.raises(SimulationError, match="register CONFIG_HASH is"):
        run_frames([frame], program.config.replace(fifo_words=1024), built=built, memory=FAST)


def test_bound_on_cycles(artifact: SparseVit, program: Program, built: Build) -> None:
    """A run that takes longer than it may is ended, with the step it was in."""
    with pytest.raises(SimulationError, match=r"no interrupt after \d+ cycles, step \d+"):
        simulate(artifact, program, built, memory=MemoryOptions(bandwidth=0.02), max_cycles=30_000)


def test_lay_out(config: HardwareConfig) -> None:
    """Buffers lie on pages of their own; equal programs are stored once."""
    frames = [Frame(b"p" * 5000, b"i" * 100, 10), Frame(b"p" * 5000, b"j" * 4096, 10), Frame(b"q" * 32, b"k", 10)]
    memory, places = lay_out(frames, config)
    assert places[0].program == places[1].program == FIRST_ADDRESS
    for frame, place in zip(frames, places, strict=True):
        for address, content in ((place.program, frame.program), (place.image, frame.image)):
            assert address % 4096 == 0
            assert memory[address:address + len(content)] == content
        assert place.output % 4096 == 0
        assert memory[place.output:place.output + place.output_bytes] == b"\xa5" * place.output_bytes
    starts = {address for place in places for address in (place.program, place.image, place.output)}
    assert len(starts) == 8


def test_split_frames() -> None:
    """Records are split where an earlier step starts, and a wrong number of frames is noticed."""
    records = np.zeros(9, RECORD)
    records["step"] = [0, 1, 0, 1, 5, 4, 0, 0, 2]
    records["unit"] = [START_UNIT, START_UNIT, 0, 0, START_UNIT, 0, START_UNIT, 0, START_UNIT]
    assert [len(part) for part in split_frames(records, 2)] == [6, 3]
    with pytest.raises(SimulationError, match="show 2 frames, 3 were run"):
        split_frames(records, 3)


def test_failed_run_leaves_its_log(artifact: SparseVit, program: Program, built: Build, tmp_path: Path) -> None:
    """With a folder given, registers and log stay there for a look."""
    with pytest.raises(HardwareError):
        simulate(artifact, program, built, memory=replace(FAST, dead=True), watchdog=WATCHDOG, run_dir=tmp_path)
    assert json.loads((tmp_path / "registers.json").read_text())[0]["ERROR"] == Error.WATCHDOG
    assert (tmp_path / "run.log").is_file()
