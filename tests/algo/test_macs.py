"""MACs and parameters, against published figures, a count by hand, and the compiler."""

import numpy as np
import pytest
import torch

from algo.export import export
from algo.macs import count_work
from algo.models import build_model
from algo.prune.blocks import Keep
from algo.prune.plan import PruningPlan, apply_plan
from algo.synthetic import synthetic_state
from algo.tokens.count import topk_schedule
from flows.compile import config_for
from flows.compile.steps import network_steps

# MACs in G, attention in G, by token keep rate; EViT reports 4.6, 4.0, 3.0, 2.3 G for DeiT-S.
PUBLISHED = {
    "deit_t": (3, {1: (1.254, .179), .9: (1.092, .144), .7: (0.821, .098), .5: (0.629, .075)}),
    "deit_s": (6, {1: (4.599, .358), .9: (4.022, .288), .7: (3.029, .195), .5: (2.309, .150)}),
    "deit_b": (12, {1: (17.56, .715), .9: (15.40, None), .7: (11.61, None), .5: (8.82, None)}),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_figures(name: str) -> None:
    heads, rows = PUBLISHED[name]
    with torch.device("meta"):
        state = build_model(name).state_dict()
    for keep, (macs, attention) in rows.items():
        work = count_work(state, heads, topk_schedule(197, (3, 6, 9), keep), {}, skip_unused=False)
        assert work.macs / 1e9 == pytest.approx(macs, abs=0.006 if macs > 10 else 0.0006)
        if attention is not None:
            assert work.attention / 1e9 == pytest.approx(attention, abs=0.0006)
    parameters = {"deit_t": 5_717_416, "deit_s": 22_050_664, "deit_b": 86_567_656}
    assert work.parameters == parameters[name]


# No column of attention is empty here: whether the hardware computes those is a matter of their own.
SPARSE = {0: 0.75, "blocks.1.mlp.fc1": 0.3, "blocks.1.mlp.fc2": 0.5, "blocks.2.attn.qkv": 0.9}


@pytest.mark.parametrize(("blocks", "tokens"), [(1.0, 1.0), (SPARSE, 0.7), (SPARSE, 0.5)])
def test_equal_to_the_compilers_useful_macs(blocks: Keep, tokens: float) -> None:
    artifact = export("vit_micro", keep_blocks=blocks, keep_tokens=tokens, calibration_images=4, synthetic=True)
    useful = sum(step.useful_macs for step in network_steps(artifact, config_for(artifact)))
    masks = {f"blocks.{index}.{layer}": linear.mask for index, block in enumerate(artifact.blocks)
             for layer, linear in (("attn.qkv", block.qkv), ("attn.proj", block.proj), ("mlp.fc1", block.fc1),
                                   ("mlp.fc2", block.fc2))}
    drops = {index: block.drop for index, block in enumerate(artifact.blocks) if block.drop is not None}
    work = count_work(synthetic_state("vit_micro", 0), 2, drops, masks)
    assert work.macs == useful
    assert (useful < count_work(synthetic_state("vit_micro", 0), 2).macs) == (tokens < 1)


def test_dead_head_by_hand() -> None:
    """17 tokens, 64 wide, heads of 32 channels: one of two heads of block 1 goes, and 32 neurons of block 0."""
    state = synthetic_state("vit_micro", 0)
    dense = count_work(state, 2)
    neurons = np.arange(256) >= 32
    pruned = apply_plan(state, PruningPlan("test", heads={1: np.array([True, False])}, neurons={0: neurons}))
    work = count_work(pruned.state, 2)
    assert dense.linear - work.linear == 17 * (4 * 64 * 32 + 2 * 64 * 32)
    assert dense.attention - work.attention == 2 * 17**2 * 32
    assert dense.parameters - work.parameters == 4 * 64 * 32 + 2 * 64 * 32 + 32
    assert count_work(pruned.state, 2, skip_unused=False).attention == dense.attention
    assert (dense.embed, dense.head) == (work.embed, work.head) == (16 * 192 * 64, 640)


def test_token_selection_needs_every_heads_scores() -> None:
    """Where tokens are dropped, a dead head's scores and its first value column stay."""
    state = synthetic_state("vit_micro", 0)
    drops = topk_schedule(17, (1,), 0.5)
    pruned = apply_plan(state, PruningPlan("test", heads={1: np.array([True, False])}))
    saved = count_work(state, 2, drops).attention - count_work(pruned.state, 2, drops).attention
    # scores keep one of two columns of 16 channels, values one of two
    assert saved == 2 * 17**2 * 16
