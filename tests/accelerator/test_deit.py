"""A network of DeiT-Tiny's size: exact, as fast as promised, and as fast as the cycle model says."""

from __future__ import annotations

from typing import Any

import pytest

from flows.compile import config_for
from flows.contracts.artifact import TokenDrop
from sim.accelerator import MemoryOptions, build_accelerator
from tests.accelerator.harness import assert_exact, assert_predicted, make_job, run_all
from tests.factory import random_artifact

MEMORY = MemoryOptions(latency=100, bandwidth=32)
DEIT: dict[str, Any] = {"width": 192, "heads": 3, "depth": 12, "hidden": 768, "tokens": 197, "patch_inputs": 768,
                         "classes": 1000}


@pytest.mark.slow
@pytest.mark.parametrize(("keep_blocks", "keep_tokens", "utilization"), [(1.0, 1.0, 0.90), (0.5, 0.7, 0.85)])
def test_deit_tiny(keep_blocks: float, keep_tokens: float, utilization: float) -> None:
    """Utilization counts multiplications by kept weights for tokens alive, against the peak of all clusters."""
    drop: dict[int, TokenDrop] = {}
    tokens = DEIT["tokens"]
    if keep_tokens < 1:
        for layer in (3, 6, 9):
            drop[layer] = TokenDrop("topk", keep=round(keep_tokens * (tokens - 1)))
            tokens = drop[layer].keep + 2
    artifact = random_artifact(**DEIT, keep_blocks=keep_blocks, drop=drop, seed=5)
    config = config_for(artifact, clusters=4)
    job = make_job(artifact, config)
    # The simulation takes longer than the compilation here.
    built = build_accelerator(config, optimize="-O2 -march=native")
    (outcome,) = run_all([job.frame], config, memory=MEMORY, built=built, watchdogs={0: 0}, max_cycles=3_000_000)
    assert_exact(job, outcome)
    assert_predicted(job, outcome, MEMORY)
    useful = job.program.manifest["totals"]["useful_macs"]
    reached = useful / (config.macs_per_cycle * outcome.run.cycles)
    print(f"{outcome.run.cycles} cycles, {100 * reached:.1f} % of peak")
    assert reached >= utilization
    assert job.golden.tokens[-1] == tokens
