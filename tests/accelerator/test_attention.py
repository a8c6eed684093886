"""Attention that changes nothing is not computed by the hardware either, and saves its cycles."""

from __future__ import annotations

from sim.accelerator import MemoryOptions
from tests.accelerator.hardware import TWO
from tests.accelerator.harness import assert_exact, make_job, run_all
from tests.accelerator.networks import threshold, topk
from tests.factory import random_artifact, silence


def test_pruned_heads_and_channels() -> None:
    """Channels, heads, a whole group of heads, and all attention of a block; with and without token drop."""
    whole = random_artifact(width=128, heads=4, hidden=128, tokens=50, depth=2, keep_blocks=0.7, seed=3,
                            drop={0: topk(30)})
    late = random_artifact(width=128, heads=4, hidden=128, tokens=50, depth=2, keep_blocks=0.7, seed=4,
                           drop={1: threshold(0.8, 50, 4)})
    networks = [
        whole, silence(whole, pairs=(1, 3, 5, 7), values=(1, 3, 5, 7)), silence(whole, pairs=(6, 7), values=(6, 7)),
        silence(whole, pairs=range(8), values=range(8), blocks=(1,)), late,
        silence(late, pairs=(0, 1, 7), values=(0, 1, 6, 7))]
    jobs = [make_job(artifact, TWO) for artifact in networks]
    memory = MemoryOptions()
    outcomes = run_all([job.frame for job in jobs], TWO, memory=memory)
    cycles = []
    for job, outcome in zip(jobs, outcomes, strict=True):
        assert_exact(job, outcome, varied=job is not jobs[3])  # where all queries are zero
        cycles.append(outcome.run.cycles)
        assert abs(outcome.run.cycles - job.expected(memory).total) <= 0.02 * outcome.run.cycles
    assert max(cycles[1:4]) < 0.95 * cycles[0] and cycles[5] < 0.95 * cycles[4]
    assert any(job.golden.unused for job in jobs[1:])
