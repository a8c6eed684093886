"""A pruned block and a dropped token save time, as much as the cycle model says: no less, and no more."""

from __future__ import annotations

from typing import Any

import pytest

from flows.contracts.artifact import TokenDrop
from sim.accelerator import MemoryOptions
from tests.accelerator.hardware import FOUR
from tests.accelerator.harness import Job, assert_exact, make_job, run_all
from tests.accelerator.networks import threshold, topk
from tests.factory import random_artifact

MEMORY = MemoryOptions(latency=100, bandwidth=32)
SIZES: dict[str, Any] = {"width": 192, "heads": 3, "hidden": 192, "tokens": 101, "depth": 2, "seed": 71}


def job_with(keep_blocks: float, drop: dict[int, TokenDrop] | None = None, image: int = 0) -> Job:
    """The network with a share of its blocks, and a token drop."""
    return make_job(random_artifact(**SIZES, keep_blocks=keep_blocks, drop=drop), FOUR, image)


@pytest.fixture(name="cycles", scope="module")
def fixture_cycles() -> dict[str, tuple[int, int, int]]:
    """Measured cycles, modelled cycles and slots of each variant."""
    jobs = {"dense": job_with(1.0), "pruned": job_with(0.5), "emptier": job_with(0.25),
            "dense, dropped": job_with(1.0, {0: topk(48)}), "pruned, dropped": job_with(0.5, {0: topk(48)}),
            "pruned, dropped late": job_with(0.5, {1: topk(48)})}
    outcomes = run_all([job.frame for job in jobs.values()], FOUR, memory=MEMORY)
    for job, outcome in zip(jobs.values(), outcomes, strict=True):
        assert_exact(job, outcome)
    return {name: (outcome.run.cycles, job.expected(MEMORY).total, outcome.run.registers["SLOTS"])
            for (name, job), outcome in zip(jobs.items(), outcomes, strict=True)}


@pytest.mark.parametrize(("more", "less", "share"), [
    ("dense", "pruned", 0.25), ("pruned", "emptier", 0.2), ("dense", "dense, dropped", 0.18),
    ("pruned", "pruned, dropped", 0.15), ("dense, dropped", "pruned, dropped", 0.25),
    ("pruned, dropped late", "pruned, dropped", 0.08)])
def test_saving(cycles: dict[str, tuple[int, int, int]], more: str, less: str, share: float) -> None:
    """At least ``share`` of the cycles is saved, and what the model says within 2 %."""
    measured = cycles[more][0] - cycles[less][0]
    modelled = cycles[more][1] - cycles[less][1]
    assert measured > share * cycles[more][0]
    assert abs(measured - modelled) <= 0.02 * modelled


def test_pruning_saves_slots_and_dropping_shortens_them(cycles: dict[str, tuple[int, int, int]]) -> None:
    """Where the savings come from."""
    assert cycles["pruned"][2] < 0.7 * cycles["dense"][2]
    # Dropped tokens leave fewer key blocks; the slots of weights stay as they are.
    assert 0 < cycles["dense"][2] - cycles["dense, dropped"][2] < 0.1 * cycles["dense"][2]


def test_fewer_tokens_of_one_image_save_cycles() -> None:
    """One program, two images: the hardware follows the number of tokens that the threshold left."""
    drop = {0: threshold(0.9, SIZES["tokens"], SIZES["heads"])}
    artifact = random_artifact(**SIZES, keep_blocks=0.5, drop=drop)
    candidates = [make_job(artifact, FOUR)]
    candidates += [make_job(artifact, FOUR, image, candidates[0].program) for image in range(1, 8)]
    candidates.sort(key=lambda job: job.golden.tokens[0])
    few, many = candidates[0], candidates[-1]
    assert few.golden.tokens[0] < many.golden.tokens[0]
    small, large = run_all([few.frame, many.frame], FOUR, memory=MEMORY)
    assert_exact(few, small)
    assert_exact(many, large)
    saved = large.run.cycles - small.run.cycles
    modelled = many.expected(MEMORY).total - few.expected(MEMORY).total
    assert saved > 0
    assert abs(saved - modelled) <= max(0.02 * modelled, 20)
