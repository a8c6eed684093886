"""One frame after the other without a reset: nothing of a program or an image is left in the next run."""

from __future__ import annotations

from typing import Any

import numpy as np

from sim.accelerator import MemoryOptions
from tests.accelerator.hardware import TWO
from tests.accelerator.harness import Outcome, assert_exact, make_job, run_all
from tests.accelerator.networks import threshold, topk
from tests.factory import random_artifact

MEMORY = MemoryOptions(latency=40, bandwidth=32)


def counters(outcome: Outcome) -> dict[str, Any]:
    """Everything in the registers but addresses."""
    return {name: value for name, value in outcome.run.registers.items() if not name.endswith(("_LO", "_HI"))} | {
        "cycles": outcome.run.cycles}


def test_two_programs_and_two_images() -> None:
    """Programs of different sizes take turns, with different images; each run is exact and repeats itself."""
    large = random_artifact(width=128, heads=4, hidden=128, tokens=50, depth=1, classes=40, seed=61,
                            drop={0: topk(20)})
    small = random_artifact(width=32, heads=2, hidden=64, tokens=9, depth=2, classes=7, seed=62,
                            drop={1: threshold(1.0, 9, 2)})
    first = make_job(large, TWO, 0)
    second = make_job(small, TWO, 0)
    third = make_job(large, TWO, 1, first.program)
    fourth = make_job(small, TWO, 1, second.program)
    # The first frame after a reset counts two cycles of waiting under another name, so it is not compared below.
    order = [second, first, second, third, first, fourth, third, third, second]
    outcomes = run_all([job.frame for job in order], TWO, memory=MEMORY)
    for job, outcome in zip(order, outcomes, strict=True):
        assert_exact(job, outcome)
    for one, other in ((1, 4), (3, 6), (6, 7), (2, 8)):
        # The registers too: counters start at 0, and TOKENS_KEPT holds nothing of the frame before.
        assert counters(outcomes[one]) == counters(outcomes[other])
        np.testing.assert_array_equal(outcomes[one].run.output, outcomes[other].run.output)
    assert (outcomes[1].run.logits != outcomes[3].run.logits).any()
    assert (outcomes[2].run.logits != outcomes[5].run.logits).any()


def test_output_of_a_small_network_is_all_that_is_written() -> None:
    """Seven classes fill one word of the output; the rest of the buffer stays as it was, also after a larger run."""
    large = make_job(random_artifact(width=32, heads=1, hidden=32, tokens=9, depth=1, classes=40, seed=63), TWO)
    small = make_job(random_artifact(width=32, heads=1, hidden=32, tokens=9, depth=1, classes=7, seed=64), TWO)
    for job, outcome in zip((large, small), run_all([large.frame, small.frame], TWO, memory=MEMORY), strict=True):
        assert_exact(job, outcome)
        words = -(-job.frame.classes // 16)
        written = outcome.run.output.reshape(-1, 32)
        assert (written[words:] == 0xA5).all()
        padding = written[:words].reshape(-1).view("<i2")[job.frame.classes:]
        assert not padding.any()
