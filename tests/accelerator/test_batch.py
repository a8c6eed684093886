"""Several images in one run: each is exact, whatever came before it, and no software is needed between them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from flows.contracts.artifact import SparseVit
from flows.contracts.hardware import HardwareConfig
from flows.contracts.registers import Error
from sim.accelerator import Frame, MemoryOptions, Run, lay_out, split_images
from tests.accelerator.hardware import HARDWARE, ONE, RESIDENT, TWO
from tests.accelerator.harness import Job, Outcome, assert_exact, make_job, run_all
from tests.accelerator.networks import threshold, topk
from tests.factory import random_artifact

MEMORY = MemoryOptions(latency=100, bandwidth=32)
FAST = MemoryOptions(latency=10, bandwidth=0)
SLOW = MemoryOptions(latency=200, latency_random=100, bandwidth=6, stall=25, seed=3)
COUNTERS = ("SLOTS", "STALL_MEMORY", "STALL_LOAD", "STALL_BARRIER", "STALL_COLUMN", "STALL_SELECT", "IMAGES_DONE")


def jobs_of(artifact: SparseVit, config: HardwareConfig, count: int) -> list[Job]:
    """One program, and as many images."""
    first = make_job(artifact, config, 0)
    return [first, *(make_job(artifact, config, image, first.program) for image in range(1, count))]


def batch_of(jobs: list[Job]) -> Frame:
    """All images in one frame."""
    first = jobs[0].frame
    return Frame(first.program, first.image, first.classes, tuple(job.frame.image for job in jobs[1:]))


def assert_batch(jobs: list[Job], outcome: Outcome) -> list[Run]:
    """Every image is exact, and the registers are those of the whole run. Returns the images."""
    assert outcome.error is Error.NONE
    images = split_images(outcome.run, batch_of(jobs))
    for job, image in zip(jobs, images, strict=True):
        comparison = job.check(image, kept=job is jobs[-1])
        assert not comparison.constant
    registers = outcome.run.registers
    slots = [sum(step.slots for step in job.expected(MEMORY).steps) for job in jobs]
    assert registers["SLOTS"] == sum(slots)
    assert registers["IMAGES_DONE"] == registers["IMAGES"] == len(jobs)
    assert sum(image.cycles for image in images) == outcome.run.cycles
    return images


def threshold_network() -> SparseVit:
    """Keeps another number of tokens of every image."""
    return random_artifact(width=64, heads=2, hidden=64, tokens=65, depth=2, classes=21, seed=15,
                           drop={0: threshold(0.8, 65, 2)})


@pytest.mark.parametrize("name", ["one", "two", "four_groups"])
def test_images_in_one_run(name: str) -> None:
    """A run of four images, each image alone, and the four again: the same integers and counters, fewer cycles."""
    config = HARDWARE[name]
    artifact = threshold_network() if name != "one" else random_artifact(
        width=64, heads=2, hidden=64, tokens=33, depth=2, classes=40, seed=16, drop={0: threshold(0.8, 33, 2)})
    jobs = jobs_of(artifact, config, 4)
    assert len({tuple(job.golden.tokens) for job in jobs}) >= 3
    alone = [job.frame for job in jobs]
    first, *single, again = run_all([batch_of(jobs), *alone, batch_of(jobs)], config, memory=MEMORY)
    images = assert_batch(jobs, first)
    assert_batch(jobs, again)
    for job, image, outcome in zip(jobs, images, single, strict=True):
        assert_exact(job, outcome)
        assert outcome.run.registers["IMAGES_DONE"] == 1
        np.testing.assert_array_equal(image.output, outcome.run.output)
        # Start, first fetch and output of one image hide behind the others; but the narrow bus has no time to spare.
        assert config is ONE or image.cycles < outcome.run.cycles or job is jobs[-1]
    saved = 0 if config is ONE else 3 * 2 * MEMORY.latency
    assert first.run.cycles < sum(outcome.run.cycles for outcome in single) - saved
    # The first frame after a reset counts two cycles of waiting under another name.
    for counter in ("SLOTS", "IMAGES_DONE", "TOKENS_KEPT"):
        assert first.run.registers[counter] == again.run.registers[counter]
    assert first.run.cycles == again.run.cycles


def test_top_k_and_other_programs_between() -> None:
    """Batches of two programs take turns."""
    small = jobs_of(random_artifact(width=32, heads=2, hidden=64, tokens=9, depth=2, classes=7, seed=62,
                                    drop={1: topk(3)}), TWO, 5)
    large = jobs_of(random_artifact(width=128, heads=4, hidden=128, tokens=50, depth=1, classes=40, seed=61,
                                    drop={0: topk(20)}), TWO, 3)
    order = [small, large, small, large, large]
    outcomes = run_all([batch_of(jobs) for jobs in order], TWO, memory=MEMORY)
    for jobs, outcome in zip(order, outcomes, strict=True):
        assert_batch(jobs, outcome)
    for one, other in ((1, 3), (3, 4)):
        before, after = outcomes[one].run.registers, outcomes[other].run.registers
        assert [before[name] for name in COUNTERS] == [after[name] for name in COUNTERS]


@pytest.mark.parametrize("memory", [SLOW, MemoryOptions(latency=1, bandwidth=0), MemoryOptions(latency=700)])
def test_memory_changes_only_time(memory: MemoryOptions) -> None:
    """Slow, pausing, ideal: always the same integers."""
    jobs = jobs_of(threshold_network(), TWO, 3)
    (outcome,) = run_all([batch_of(jobs)], TWO, memory=memory)
    assert_batch(jobs, outcome)


@pytest.mark.parametrize("memory", [MemoryOptions(latency=20), MemoryOptions(latency=300, bandwidth=3)])
def test_image_columns_that_no_block_reads(memory: MemoryOptions) -> None:
    """The embedding does not wait for them, but nothing else may be overwritten by them, nor the next image start."""
    artifact = random_artifact(width=32, heads=1, hidden=16, tokens=257, depth=1, classes=5, seed=64, patch_inputs=192,
                               keep_blocks=0.3)
    weight, mask = artifact.embed.weight.copy(), artifact.embed.mask.copy()
    weight[:, 32:], mask[:, 2:] = 0, False
    artifact = replace(artifact, embed=replace(artifact.embed, weight=weight, mask=mask))
    jobs = jobs_of(artifact, TWO, 3)
    assert len(jobs[0].frame.image) > 1.5 * len(jobs[0].frame.program)
    outcome, alone = run_all([batch_of(jobs), jobs[1].frame], TWO, memory=memory)
    assert outcome.error is alone.error is Error.NONE
    for job, image in zip(jobs, split_images(outcome.run, batch_of(jobs)), strict=True):
        job.check(image)
    jobs[1].check(alone.run)


def test_resident_program() -> None:
    """The program is read once, however many images there are: a slow memory slows only the first one down."""
    jobs = jobs_of(threshold_network(), RESIDENT, 4)
    assert jobs[0].program.manifest["resident"]
    slow = MemoryOptions(latency=300, bandwidth=2)
    runs = {memory: assert_batch(jobs, outcome) for memory, outcome in (
        (memory, run_all([batch_of(jobs)], RESIDENT, memory=memory)[0]) for memory in (FAST, slow))}
    assert runs[slow][0].cycles > 2 * runs[FAST][0].cycles
    # All images' patches fit the FIFO too, so that nothing is left to wait for.
    assert [image.cycles for image in runs[slow][1:3]] == [image.cycles for image in runs[FAST][1:3]]
    assert runs[slow][0].cycles + runs[slow][3].cycles > len(jobs[0].frame.program) / slow.bandwidth


def test_resident_program_and_others_between() -> None:
    """Programs that fit the store and one that does not; runs of one image; errors between them."""
    small = jobs_of(random_artifact(width=32, heads=2, hidden=64, tokens=9, depth=2, classes=40, seed=62,
                                    drop={1: topk(3)}), RESIDENT, 5)
    middle = jobs_of(threshold_network(), RESIDENT, 3)
    large = jobs_of(random_artifact(width=128, heads=4, hidden=256, tokens=50, depth=2, classes=40, seed=61,
                                    keep_blocks=1.0), RESIDENT, 2)
    assert [jobs[0].program.manifest["resident"] for jobs in (small, middle, large)] == [True, True, False]
    order = [small, large, small, middle, small[:1], middle, large, middle[1:2], small]
    frames = [batch_of(jobs) for jobs in order]
    place = lay_out(frames, RESIDENT)[1][3]
    # The output of the small network takes as long as the network.
    for memory in (MEMORY, MemoryOptions(latency=1500)):
        for jobs, outcome in zip(order, run_all(frames, RESIDENT, memory=memory), strict=True):
            assert_batch(jobs, outcome)
    for byte in (0, place.output_stride):
        outcomes = run_all(frames, RESIDENT, memory=MEMORY, error_in=(3, "output", byte))
        assert [index for index, outcome in enumerate(outcomes) if outcome.error is not Error.NONE] == [3]
        for jobs, outcome in zip(order, outcomes, strict=True):
            if outcome.error is Error.NONE:
                assert_batch(jobs, outcome)


@pytest.mark.parametrize("hurry", [False, True])
@pytest.mark.parametrize(("buffer", "error"), [("image", Error.AXI_READ), ("output", Error.AXI_WRITE)])
@pytest.mark.parametrize("image", [1, 2])
def test_error_in_a_later_image(buffer: str, error: Error, image: int, hurry: bool) -> None:
    """It ends the run; IMAGES_DONE says which outputs are there; the next runs are exact."""
    jobs = jobs_of(threshold_network(), TWO, 3)
    frame, good = batch_of(jobs), make_job(random_artifact(width=32, heads=1, hidden=32, tokens=9, depth=1, seed=63),
                                           TWO)
    place = lay_out([frame], TWO)[1][0]
    byte = image * getattr(place, f"{buffer}_stride") + 40
    failed, after, again = run_all([frame, good.frame, frame], TWO, memory=MEMORY, error_in=(0, buffer, byte),
                                   hurry=hurry)
    assert failed.error is error
    assert after.error is again.error is Error.NONE
    np.testing.assert_array_equal(after.run.logits, good.golden.logits)
    assert_batch(jobs, again)
    outputs = failed.run.output.reshape(3, -1)
    if not hurry:
        done = failed.run.registers["IMAGES_DONE"]
        assert done == image if buffer == "output" else done <= image
        assert (outputs[:done] == again.run.output.reshape(3, -1)[:done]).all()
        # Nothing is written for images that were not reached.
        assert (outputs[image + 1:] == 0xA5).all()


def test_program_that_ends_between_images() -> None:
    """PROGRAM_WORDS that do not match the header: the second pass starts at the wrong place and is refused."""
    jobs = jobs_of(threshold_network(), TWO, 3)
    frame = batch_of(jobs)
    cut = Frame(frame.program[:-64 * 32], frame.image, frame.classes, frame.following)
    bad, good = run_all([cut, frame], TWO, memory=MEMORY)
    assert bad.error in (Error.BAD_MAGIC, Error.WATCHDOG)
    assert bad.run.registers["IMAGES_DONE"] <= 1
    np.testing.assert_array_equal(bad.run.logits[0], jobs[0].golden.logits)
    assert_batch(jobs, good)
