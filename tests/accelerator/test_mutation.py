"""The comparison finds single wrong bits: what the hardware computes depends on every bit it should depend on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from flows.contracts.artifact import SparseVit, validate
from flows.contracts.errors import MismatchError
from flows.contracts.registers import Error
from sim.accelerator import MemoryOptions
from tests.accelerator.hardware import TWO
from tests.accelerator.harness import Job, Outcome, assert_exact, changed, make_job, run_all
from tests.accelerator.mutations import header_mutations, network_mutations, payload_words
from tests.accelerator.networks import threshold, topk
from tests.factory import random_artifact

FAST = MemoryOptions(latency=10, bandwidth=0)
WATCHDOG = 600


@pytest.fixture(name="job", scope="module")
def fixture_job() -> Job:
    """Two heads in two groups would hide nothing; a top-k and a threshold drop, so that every field is used."""
    return make_job(random_artifact(width=64, heads=4, hidden=64, depth=2, tokens=33, classes=20, seed=91,
                                    keep_blocks=0.7, drop={0: topk(20), 1: threshold(0.9, 22, 4)}), TWO)


def other_tables(artifact: SparseVit) -> SparseVit:
    """The network with other tables of exponentials and of GELU."""
    exp = np.rint(255 * np.exp(-0.1 * np.arange(256))).astype(np.uint8)
    return replace(artifact, blocks=tuple(replace(block, exp=exp, gelu=block.gelu // 2) for block in artifact.blocks))


def differs(job: Job, outcome: Outcome) -> bool:
    """The frame ended in an error, or differs from the golden model."""
    if outcome.error is not Error.NONE:
        return True
    try:
        job.check(outcome.run)
    except MismatchError:
        return True
    return False


def test_bits_of_the_network(job: Job) -> None:
    """A flipped bit is seen exactly when the golden model says that it changes something, and then as it says."""
    rng = np.random.default_rng(7)
    mutants: list[tuple[str, Job]] = []
    for name, mutate in network_mutations():
        for _ in range(2):
            artifact = mutate(job.artifact, rng)
            validate(artifact)
            mutants.append((name, replace(make_job(artifact, TWO), patches=job.patches)))
    outcomes = run_all([mutant.frame for _, mutant in mutants], TWO, memory=FAST)
    effects = 0
    for (name, mutant), outcome in zip(mutants, outcomes, strict=True):
        assert_exact(mutant, outcome)
        effect = any(array.shape != job.golden.checkpoints[key].shape or (array != job.golden.checkpoints[key]).any()
                     for key, array in mutant.golden.checkpoints.items())
        assert differs(job, outcome) == effect, name
        effects += effect
    assert effects >= 0.8 * len(mutants)


def test_bits_of_the_image(job: Job) -> None:
    """One bit of one pixel code, the least significant ones included."""
    rng = np.random.default_rng(8)
    mutants = []
    for bit in (0, 0, 1, 3, 6):
        patches = job.patches.copy()
        token, place = int(rng.integers(1, patches.shape[0])), int(rng.integers(patches.shape[1]))
        patches[token, place] ^= 1 << bit
        mutants.append(replace(job, patches=patches))
    for mutant, outcome in zip(mutants, run_all([mutant.frame for mutant in mutants], TWO, memory=FAST), strict=True):
        assert_exact(mutant, outcome)
        assert differs(job, outcome) == (mutant.golden.checkpoints["embed"] != job.golden.checkpoints["embed"]).any()
        assert mutant.golden.logits.tolist() != job.golden.logits.tolist()


def test_header_fields(job: Job) -> None:
    """Every header field matters: a wrong one is found, and the frame after it is exact again."""
    mutants = list(header_mutations(job))
    # Something else in between: what a wrong frame fails to write must not be there already.
    between = make_job(other_tables(job.artifact), TWO, 1)
    frames = [frame for _, program in mutants for frame in (between.frame, changed(job.frame, program=program))]
    frames.append(between.frame)
    outcomes = run_all(frames, TWO, memory=FAST, watchdogs=dict.fromkeys(range(1, len(frames), 2), WATCHDOG))
    unseen = [name for (name, _), outcome in zip(mutants, outcomes[1::2], strict=True) if not differs(job, outcome)]
    spoilt = [name for (name, _), outcome in zip(mutants, outcomes[2::2], strict=True) if differs(between, outcome)]
    assert not unseen, "no effect"
    assert not spoilt, "wrong frame afterwards"
    assert_exact(between, outcomes[0])


def test_random_bits_of_the_payload(job: Job, record_property: Callable[[str, object], None]) -> None:
    """Random bits of everything that is no header. Not all of them matter: a bias of a half is rounded away, channels
    of padding have parameters, and table entries may be unused; the shares that are seen are known."""
    rng, each = np.random.default_rng(9), 16
    least = {"block": 0.75, "parameters": 0.4, "exp": 0.3, "gelu": 0.5, "norm": 0.25, "residual": 0.9}
    words, size = payload_words(job), job.config.stream_bytes
    assert set(words) == set(least)
    names, frames = [], []
    for name, places in words.items():
        for word in rng.choice(places, each):
            program = bytearray(job.frame.program)
            program[word * size + int(rng.integers(size))] ^= 1 << int(rng.integers(8))
            names.append(name)
            frames.append(changed(job.frame, program=bytes(program)))
    outcomes = run_all(frames, TWO, memory=FAST)
    for name, share in least.items():
        seen = [differs(job, outcome) for other, outcome in zip(names, outcomes, strict=True) if other == name]
        record_property(f"seen in {name}", f"{sum(seen)} of {len(seen)}")
        print(f"{name}: {sum(seen)} of {len(seen)} random bits seen")
        assert len(seen) == each and sum(seen) >= share * each, name
