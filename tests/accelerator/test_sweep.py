"""Whole networks on the RTL, bit for bit and cycle for cycle: sizes, pruning and token drops at their limits.

All networks of one accelerator run one after the other in one simulation without a reset, so every frame also starts
from what another program left behind.
"""

from __future__ import annotations

import numpy as np
import pytest

from flows.contracts.artifact import SparseVit, TokenDrop
from sim.accelerator import MemoryOptions
from tests.accelerator.hardware import ALL, HARDWARE, NAMES
from tests.accelerator.harness import Job, assert_exact, assert_predicted, make_job, run_all
from tests.accelerator.networks import LARGE, SWEEP, Case, threshold
from tests.factory import random_artifact

MEMORY = MemoryOptions(latency=100, bandwidth=32)


def jobs_of(name: str, cases: dict[str, Case]) -> list[tuple[str, Job]]:
    """Every case with every image, compiled once."""
    jobs: list[tuple[str, Job]] = []
    for label, case in cases.items():
        artifact, program = case.artifact(), None
        for image in case.images:
            job = make_job(artifact, ALL[name], image, program)
            program = job.program
            jobs.append((f"{label}, image {image}", job))
    return jobs


def run_and_check(name: str, jobs: list[tuple[str, Job]], subtests: pytest.Subtests, *,
                  varied: bool = True) -> dict[str, int]:
    """Run all jobs, check each, and return their cycles."""
    outcomes = run_all([job.frame for _, job in jobs], ALL[name], memory=MEMORY)
    for (label, job), outcome in zip(jobs, outcomes, strict=True):
        with subtests.test(label):
            assert_exact(job, outcome, varied=varied)
            assert_predicted(job, outcome, MEMORY)
    return {label: outcome.run.cycles for (label, _), outcome in zip(jobs, outcomes, strict=True)}


@pytest.mark.parametrize("name", NAMES)
def test_networks(name: str, subtests: pytest.Subtests) -> None:
    """Every integer of every network is exact, and the cycles are those of the cycle model within 1 %."""
    jobs = jobs_of(name, SWEEP[name])
    cycles = run_and_check(name, jobs, subtests)
    by_case: dict[str, set[tuple[tuple[int, ...], int]]] = {}
    for label, job in jobs:
        by_case.setdefault(label.split(", image")[0], set()).add((tuple(job.golden.tokens), cycles[label]))
    for label, seen in by_case.items():
        if len(SWEEP[name][label].images) > 1:
            with subtests.test(f"{label}: images differ"):
                # Another number of tokens is kept of each image, and each takes another number of cycles; but over
                # several groups these few tokens make slots of the shortest length.
                assert len({tokens for tokens, _ in seen}) == len(seen) > 1
                assert ALL[name].groups > 1 or len({cycles for _, cycles in seen}) == len(seen)


def merges(job: Job) -> dict[str, int]:
    """By step, how many columns are the sum of two clusters."""
    return {entry["name"]: int((placed.merge >= 0).sum())
            for entry, placed in zip(job.program.manifest["steps"], job.program.placements, strict=True)}


def kind(step: str) -> str:
    """``score`` of ``block3.score.1``."""
    return step.split(".")[1] if "." in step else step


def test_columns_on_two_clusters() -> None:
    """Halves are merged in every kind of step, at any speed of the memory, with the same integers."""
    jobs = [job for _, job in jobs_of("eight", SWEEP["eight"])]
    found = {kind(name) for job in jobs for name, count in merges(job).items() if count}
    assert found >= {"embed", "score", "context", "proj", "fc2"}
    for job in jobs:
        static = {entry["name"]: entry["static"] for entry in job.program.manifest["steps"]}
        assert not any(count for name, count in merges(job).items()
                       if not static[name] and kind(name) in ("score", "context"))
    for seed in (1, 2):
        memory = MemoryOptions(latency=50, latency_random=250, bandwidth=0, stall=30, seed=seed)
        for job, outcome in zip(jobs, run_all([job.frame for job in jobs], HARDWARE["eight"], memory=memory),
                                strict=True):
            assert_exact(job, outcome)


@pytest.mark.slow
@pytest.mark.parametrize("name", LARGE)
def test_large_networks(name: str, subtests: pytest.Subtests) -> None:
    """Deeper and wider ones."""
    run_and_check(name, jobs_of(name, LARGE[name]), subtests)


def random_network(name: str, seed: int) -> SparseVit:
    """A network of random sizes within those of an accelerator, with random token drops."""
    rng, config = np.random.default_rng([seed, len(name)]), ALL[name]
    head_width = int(rng.choice([16, 32, 64]))
    heads = int(rng.integers(1, min(16, config.max_width // head_width) + 1))
    tokens = int(rng.integers(2, min(config.max_tokens, 120) + 1))
    depth = int(rng.integers(1, 4))

    def drop() -> TokenDrop:
        if rng.random() < 0.5:
            return TokenDrop("topk", keep=int(rng.integers(0, tokens)))
        return threshold(float(rng.uniform(0.3, 1.5)), tokens, heads)

    return random_artifact(
        width=heads * head_width, heads=heads, depth=depth, tokens=tokens, seed=seed,
        hidden=16 * int(rng.integers(1, config.max_hidden // 16 + 1)), patch_inputs=int(rng.choice([48, 192])),
        classes=int(rng.integers(2, config.max_classes + 1)), keep_blocks=float(rng.uniform(0, 1)),
        drop={layer: drop() for layer in range(depth) if rng.random() < 0.6})


@pytest.mark.slow
@pytest.mark.parametrize("name", ALL)
def test_random_networks(name: str, subtests: pytest.Subtests) -> None:
    """Sizes that nobody chose."""
    jobs = [(f"seed {seed}", make_job(random_network(name, seed), ALL[name], seed)) for seed in range(16)]
    run_and_check(name, jobs, subtests, varied=False)
