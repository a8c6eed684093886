"""The comparison is not lenient: every probe record is needed, once, with every bit as it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from flows.contracts.errors import MismatchError
from sim.accelerator import Run
from sim.probes import PROBES, UNITS
from tests.accelerator.hardware import TWO
from tests.accelerator.harness import Job, assert_exact, make_job, run_all
from tests.accelerator.networks import topk
from tests.factory import random_artifact

LANE_BYTES = {"X": 16, "A": 16, "KV": 16, "S": 16, "R": 32, "L": 32}
"""Meaningful bytes of a record's data."""


@pytest.fixture(name="done", scope="module")
def fixture_done() -> tuple[Job, Run]:
    """One exact run."""
    job = make_job(random_artifact(width=64, heads=2, hidden=64, depth=1, tokens=20, classes=20, seed=95,
                                   drop={0: topk(9)}), TWO)
    (outcome,) = run_all([job.frame], TWO)
    assert_exact(job, outcome)
    return job, outcome.run


def record_of(run: Run, unit: str, rng: np.random.Generator) -> int:
    """Index of a random record of a unit."""
    return int(rng.choice(np.flatnonzero(run.records["unit"] == UNITS[unit])))


def flip_data(records: np.ndarray, index: int, unit: str, rng: np.random.Generator) -> np.ndarray:
    """One bit of the value."""
    records["data"][index, int(rng.integers(LANE_BYTES[unit]))] ^= 1 << int(rng.integers(8))
    return records


def flip_field(name: str) -> Callable[[np.ndarray, int, str, np.random.Generator], np.ndarray]:
    """The lowest bit of a field."""
    def change(records: np.ndarray, index: int, unit: str, rng: np.random.Generator) -> np.ndarray:
        records[name][index] ^= 1
        return records
    return change


CHANGES: dict[str, Callable[[np.ndarray, int, str, np.random.Generator], np.ndarray]] = {
    "a bit of the data": flip_data,
    "column": flip_field("column"),
    "token": flip_field("token"),
    "step": flip_field("step"),
    "unit": flip_field("unit"),
    "removed": lambda records, index, unit, rng: np.delete(records, index),
    "twice": lambda records, index, unit, rng: np.insert(records, index, records[index]),
    "moved to the end": lambda records, index, unit, rng: np.append(np.delete(records, index), records[:1]),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("unit", [probe.unit for probe in PROBES])
def test_changed_record(done: tuple[Job, Run], unit: str, change: str) -> None:
    """Every kind of change of a record of every unit makes the comparison fail."""
    job, run = done
    for seed in range(5):
        rng = np.random.default_rng([seed, 5])
        records = CHANGES[change](run.records.copy(), record_of(run, unit, rng), unit, rng)
        with pytest.raises(MismatchError):
            job.check(replace(run, records=records))
    job.check(run)


def test_no_records(done: tuple[Job, Run]) -> None:
    """Nothing recorded is not equal."""
    job, run = done
    with pytest.raises(MismatchError):
        job.check(replace(run, records=run.records[:0]))


def test_output_and_registers(done: tuple[Job, Run]) -> None:
    """The output buffer and the TOKENS_KEPT registers are compared too."""
    job, run = done
    for place in range(run.logits.size):
        logits = run.logits.copy()
        logits[place] ^= 1
        with pytest.raises(MismatchError, match=f"output buffer, class {place}:"):
            job.check(replace(run, logits=logits))
    with pytest.raises(MismatchError, match="output|logits"):
        job.check(replace(run, logits=run.logits[:-1]))
    kept = run.registers["TOKENS_KEPT"]
    for wrong in ([kept[0] + 1, *kept[1:]], [*kept[:-1], 1]):
        with pytest.raises(MismatchError, match="TOKENS_KEPT"):
            job.check(replace(run, registers={**run.registers, "TOKENS_KEPT": wrong}))
