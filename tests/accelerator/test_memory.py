"""The memory decides when, never what: any latency, bandwidth and pauses give the same integers."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from sim.accelerator import MemoryOptions
from tests.accelerator.hardware import ALL, NAMES, TWO
from tests.accelerator.harness import Job, assert_exact, make_job, run_all
from tests.accelerator.networks import topk
from tests.factory import random_artifact

IDEAL = MemoryOptions(latency=1, bandwidth=0)
MEMORIES = {
    "usual": MemoryOptions(latency=100, bandwidth=32),
    "pausing": MemoryOptions(latency=20, latency_random=10, bandwidth=0, stall=45, seed=3),
    "far": MemoryOptions(latency=300, latency_random=300, bandwidth=32, seed=4),
    "narrow": MemoryOptions(latency=100, bandwidth=8),
    "bad in every way": MemoryOptions(latency=200, latency_random=150, bandwidth=7.5, stall=30, seed=5),
}


def job_for(name: str) -> Job:
    """A network with two token drops, for one of the accelerators."""
    artifact = random_artifact(width=64, heads=2, hidden=128, depth=2, tokens=39, patch_inputs=192, classes=40, seed=51,
                               keep_blocks=0.5, drop={0: topk(21), 1: topk(6)})
    return make_job(artifact, ALL[name])


@pytest.mark.parametrize("name", NAMES)
def test_same_integers_other_cycles(name: str) -> None:
    """Every memory gives exactly the golden integers; none is as fast as the ideal one."""
    job = job_for(name)
    (ideal,) = run_all([job.frame], job.config, memory=IDEAL)
    assert_exact(job, ideal)
    cycles = [ideal.run.cycles]
    for memory in MEMORIES.values():
        (outcome,) = run_all([job.frame], job.config, memory=memory)
        assert_exact(job, outcome)
        np.testing.assert_array_equal(outcome.run.output, ideal.run.output)
        assert outcome.run.registers["SLOTS"] == ideal.run.registers["SLOTS"]
        assert outcome.run.cycles > ideal.run.cycles
        cycles.append(outcome.run.cycles)
    assert len(set(cycles)) == len(cycles)


def test_bandwidth_bounds_the_run() -> None:
    """A run takes at least the time of its transfers, and that is counted as waiting for memory, columns or blocks."""
    job = job_for("two")
    frame = job.frame
    for bandwidth in (8, 4):
        (outcome,) = run_all([frame], TWO, memory=MemoryOptions(latency=100, bandwidth=bandwidth))
        assert_exact(job, outcome)
        # The stream ends with zeros after END, which nobody waits for.
        useful = len(frame.program.rstrip(b"\0")) + len(frame.image)
        assert useful / bandwidth <= outcome.run.cycles < 1.35 * (len(frame.program) + len(frame.image)) / bandwidth


def test_latency_is_paid_once() -> None:
    """The prefetch hides latency: a longer one costs its difference at the start, at the end, and little between."""
    job = job_for("two")
    runs = {latency: run_all([job.frame], TWO, memory=MemoryOptions(latency=latency))[0] for latency in (10, 60, 110)}
    for low, high in itertools.pairwise(runs):
        delay = runs[high].run.cycles - runs[low].run.cycles
        assert 2 * (high - low) <= delay <= 4 * (high - low), (low, high, delay)


def test_memory_seed_repeats() -> None:
    """Random pauses are the same for the same seed, and others for another: the simulation is deterministic."""
    job = job_for("two")

    def cycles(seed: int) -> int:
        memory = MemoryOptions(latency=50, latency_random=50, bandwidth=0, stall=30, seed=seed)
        (outcome,) = run_all([job.frame], TWO, memory=memory)
        assert_exact(job, outcome)
        return outcome.run.cycles

    first = cycles(1)
    assert cycles(1) == first
    assert cycles(2) != first
