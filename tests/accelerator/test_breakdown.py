"""Where the cycles of simulated runs go: the parts add up, agree with the hardware's counters and the cycle model."""

from __future__ import annotations

import numpy as np
import pytest

from flows import breakdown
from flows.contracts.errors import SimulationError
from sim.accelerator import MemoryOptions
from sim.probes import SLOT_UNIT
from tests.accelerator.hardware import FOUR_GROUPS, TWO
from tests.accelerator.harness import Job, Outcome, assert_exact, make_job, run_all
from tests.accelerator.networks import threshold, topk
from tests.factory import random_artifact

USUAL = MemoryOptions(latency=100, bandwidth=32)
SLOW = MemoryOptions(latency=150, bandwidth=6, stall=20, seed=2)


def job_for(name: str) -> Job:
    """A network with a token drop: few tokens for four groups, so that some slots are longer than their rows."""
    drop = threshold(0.9, 50, 2) if name == "threshold" else topk(21)
    artifact = random_artifact(width=64, heads=2, hidden=128, depth=2, tokens=50, patch_inputs=192, classes=40, seed=61,
                               keep_blocks=0.6, drop={0: drop})
    return make_job(artifact, FOUR_GROUPS if name == "four groups" else TWO)


def parts_of(job: Job, outcome: Outcome, memory: MemoryOptions) -> dict[str, int]:
    """The breakdown of a run."""
    return breakdown.measured(outcome.run.records, outcome.run.cycles, job.expected(memory))


@pytest.mark.parametrize("memory", [USUAL, SLOW], ids=["usual", "slow"])
@pytest.mark.parametrize("name", ["two", "four groups", "threshold"])
def test_parts_add_up(name: str, memory: MemoryOptions) -> None:
    """The sum is the run's length; stall counters are contained in the parts, but for a cycle or two a slot."""
    job = job_for(name)
    (outcome,) = run_all([job.frame], job.config, memory=memory)
    assert_exact(job, outcome)
    parts = parts_of(job, outcome, memory)
    assert sum(parts.values()) == outcome.run.cycles
    assert list(parts) == list(breakdown.PARTS)
    assert all(count >= 0 for count in parts.values())
    assert sum(breakdown.shares(parts).values()) == pytest.approx(1)
    stalls = outcome.run.stalls
    waiting = sum(parts[name] for name in ("first_fill", *stalls))
    assert 0 <= waiting - sum(stalls.values()) <= 2 * outcome.run.registers["SLOTS"]
    for cause, count in stalls.items():
        # The counters begin with the run, the parts with the first slot.
        assert parts[cause] <= count + 2 * outcome.run.registers["SLOTS"]
        assert parts[cause] >= count - parts["first_fill"]
    # The head has one row and, with 3 columns of 4 blocks for two clusters, one of them divided, 7 slots.
    assert parts["short_slots"] >= 7 * 15
    assert name != "two" or parts["short_slots"] == 7 * 15


@pytest.mark.parametrize("name", ["two", "four groups"])
def test_the_cycle_model_agrees(name: str) -> None:
    """Part by part; what the model calls loading is waiting for words or for blocks."""
    job = job_for(name)
    (outcome,) = run_all([job.frame], job.config, memory=USUAL)
    seen, model = parts_of(job, outcome, USUAL), breakdown.estimated(job.expected(USUAL))
    assert sum(model.values()) == job.expected(USUAL).total
    for parts in (seen, model):
        parts["load"] += parts.pop("memory")
    assert {key: seen[key] for key in ("slots", "short_slots")} == {key: model[key] for key in ("slots", "short_slots")}
    close = 0.004 * outcome.run.cycles
    assert all(abs(seen[key] - model[key]) <= close for key in seen), (seen, model)


def test_wrong_records_are_refused() -> None:
    """A slot too few, and slots closer together than they are long."""
    job = job_for("two")
    (outcome,) = run_all([job.frame], job.config, memory=USUAL)
    records = outcome.run.records
    places = np.flatnonzero(records["unit"] == SLOT_UNIT)
    with pytest.raises(SimulationError, match=r"saw (\d+) slots, the program has"):
        breakdown.measured(np.delete(records, places[3]), outcome.run.cycles, job.expected(USUAL))
    records = records.copy()
    records["cycle"][places[5]] = records["cycle"][places[4]] + 1
    with pytest.raises(SimulationError, match="started before the one before it had ended"):
        breakdown.measured(records, outcome.run.cycles, job.expected(USUAL))
