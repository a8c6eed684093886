"""Networks of DeiT's sizes: exact, as fast as promised, and as fast as the cycle model says."""

from __future__ import annotations

from typing import Any

import pytest

from flows.compile import config_for
from flows.contracts.artifact import TokenDrop
from flows.contracts.hardware import HardwareConfig
from sim.accelerator import MemoryOptions, build_accelerator
from tests.accelerator.harness import Job, assert_exact, assert_predicted, make_job, run_all
from tests.factory import random_artifact

MEMORY = MemoryOptions(latency=100)
SIZES: dict[str, dict[str, Any]] = {
    "deit_t": {"width": 192, "heads": 3, "depth": 12, "hidden": 768},
    "deit_s": {"width": 384, "heads": 6, "depth": 12, "hidden": 1536},
    "deit_b, two blocks": {"width": 768, "heads": 12, "depth": 2, "hidden": 3072},
}
TOKENS = 197
PRUNED = (0.5, 0.7)
DENSE = (1.0, 1.0)


def network_job(name: str, groups: int, keep_blocks: float, keep_tokens: float) -> Job:
    """Random weights and masks; tokens are dropped in three blocks, as far as there are so many."""
    drop: dict[int, TokenDrop] = {}
    tokens = TOKENS
    for layer in (3, 6, 9) if keep_tokens < 1 and SIZES[name]["depth"] > 9 else ():
        drop[layer] = TokenDrop("topk", keep=round(keep_tokens * (tokens - 1)))
        tokens = drop[layer].keep + 2
    artifact = random_artifact(**SIZES[name], tokens=TOKENS, patch_inputs=768, classes=1000, keep_blocks=keep_blocks,
                               drop=drop, seed=5)
    job = make_job(artifact, config_for(artifact, clusters=4, groups=groups))
    assert job.golden.tokens[-1] == tokens
    return job


def run_exact(job: Job) -> float:
    """Run a network, compare everything, and return its useful MACs over the peak of all clusters."""
    config: HardwareConfig = job.config
    # The simulation takes longer than the compilation here.
    built = build_accelerator(config, optimize="-O2 -march=native")
    (outcome,) = run_all([job.frame], config, memory=MEMORY, built=built, watchdogs={0: 0}, max_cycles=5_000_000)
    assert_exact(job, outcome)
    assert_predicted(job, outcome, MEMORY)
    reached = job.program.manifest["totals"]["useful_macs"] / (config.macs_per_cycle * outcome.run.cycles)
    print(f"{outcome.run.cycles} cycles, {100 * reached:.1f} % of peak")
    return reached


@pytest.mark.slow
@pytest.mark.parametrize(("name", "groups", "keep", "utilization"), [
    ("deit_t", 1, DENSE, 0.92), ("deit_t", 1, PRUNED, 0.90),
    ("deit_t", 2, DENSE, 0.91), ("deit_t", 2, PRUNED, 0.87),
    ("deit_t", 4, DENSE, 0.88), ("deit_t", 4, PRUNED, 0.83),
    ("deit_s", 4, DENSE, 0.92), ("deit_s", 4, PRUNED, 0.89),
    ("deit_b, two blocks", 4, DENSE, 0.90),
])
def test_deit(name: str, groups: int, keep: tuple[float, float], utilization: float) -> None:
    """Utilization counts multiplications by kept weights for tokens alive."""
    assert run_exact(network_job(name, groups, *keep)) >= utilization
