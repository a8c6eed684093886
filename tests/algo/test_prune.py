"""Block and neuron pruning."""

import numpy as np
import pytest
import torch

from algo.models import build_model
from algo.prune import prune_blocks, prune_neurons, register_scores, score_names
from algo.prune.blocks import keep_best
from algo.synthetic import synthetic_state
from flows.contracts.errors import ConfigError


@pytest.fixture(scope="module")
def state() -> dict[str, torch.Tensor]:
    return synthetic_state("vit_micro", 0)


def expand(mask: np.ndarray) -> np.ndarray:
    return np.repeat(np.repeat(mask, 16, 0), 16, 1)


def test_mask_counts_and_zeros(state: dict) -> None:
    pruned, masks = prune_blocks(state, 0.5)
    assert len(masks) == 3 * 4
    for name, mask in masks.items():
        before, after = state[f"{name}.weight"].numpy(), pruned[f"{name}.weight"].numpy()
        assert mask.shape == (before.shape[0] // 16, before.shape[1] // 16)
        assert mask.sum() == mask.size / 2
        assert (after[~expand(mask)] == 0).all()
        assert (after[expand(mask)] == before[expand(mask)]).all()
    assert all(torch.equal(pruned[name], state[name]) for name in state if name.removesuffix(".weight") not in masks)


def test_the_smallest_blocks_go_and_queries_keys_values_are_ranked_apart(state: dict) -> None:
    weight = state["blocks.0.attn.qkv.weight"].clone()
    weight[:64] *= 100
    _, masks = prune_blocks({**state, "blocks.0.attn.qkv.weight": weight}, {"blocks.0.attn.qkv": 0.5})
    mask = masks["blocks.0.attn.qkv"]
    assert [part.sum() for part in np.split(mask, 3)] == [8, 8, 8]
    size = (weight.numpy() ** 2).reshape(12, 16, 4, 16).sum((1, 3))
    for part, sizes in zip(np.split(mask, 3), np.split(size, 3), strict=True):
        assert sizes[part].min() > sizes[~part].max()


def test_balanced_masks_keep_the_same_number_in_every_row(state: dict) -> None:
    _, plain = prune_blocks(state, 0.5)
    _, masks = prune_blocks(state, 0.5, balanced=True)
    assert all((mask.sum(1) == mask.shape[1] / 2).all() for mask in masks.values())
    assert any(len(set(mask.sum(1))) > 1 for mask in plain.values())


def test_equal_scores_keep_the_first() -> None:
    assert keep_best(torch.ones(2, 3), 0.5, balanced=False).tolist() == [[True, True, True], [False, False, False]]
    assert keep_best(torch.ones(2, 2), 0.5, balanced=True).tolist() == [[True, False], [True, False]]
    assert keep_best(torch.ones(2, 2), 0.01, balanced=False).sum() == 1


def test_larger_pruning_blocks_are_whole_on_the_16_grid(state: dict) -> None:
    _, masks = prune_blocks(state, 0.5, (32, 32))
    for mask in masks.values():
        tiles = mask.reshape(mask.shape[0] // 2, 2, mask.shape[1] // 2, 2).sum((1, 3))
        assert set(tiles.flatten()) == {0, 4}


def test_share_per_block_and_layer(state: dict) -> None:
    _, masks = prune_blocks(state, {1: 0.5, "blocks.1.mlp.fc1": 0.25, "blocks.2.attn.proj": 0.75})
    assert {name: mask.mean() for name, mask in masks.items()} == {
        "blocks.1.attn.qkv": 0.5, "blocks.1.attn.proj": 0.5, "blocks.1.mlp.fc1": 0.25, "blocks.1.mlp.fc2": 0.5,
        "blocks.2.attn.proj": 0.75}


def test_embedding_can_be_pruned_on_request(state: dict) -> None:
    pruned, masks = prune_blocks(state, 0.5, extra=("patch_embed.proj",))
    assert masks["patch_embed.proj"].shape == (4, 12)
    weight = pruned["patch_embed.proj.weight"]
    assert weight.shape == (64, 3, 8, 8) and float((weight == 0).float().mean()) == 0.5


@pytest.mark.parametrize(("options", "message"), [
    ({"keep": 0.0}, "keep_blocks of every layer must be above 0"),
    ({"keep": 1.5}, "at most 1, not 1.5"),
    ({"keep": {7: 0.5}}, "keep_blocks names 7, which is no layer"),
    ({"keep": {"blocks.0.mlp": 0.5}}, "keep_blocks names 'blocks.0.mlp'"),
    ({"keep": 0.5, "block": (16, 24)}, "block size 16x24 must be multiples of 16"),
    ({"keep": 0.5, "block": (48, 16)}, "block size 48x16 does not divide"),
    ({"keep": 0.5, "scores": "guess"}, "unknown block scores 'guess'; known: magnitude"),
    ({"keep": 0.5, "extra": ("tail",)}, "no layer 'tail' to prune"),
])
def test_bad_options(state: dict, options: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        prune_blocks(state, **options)


def test_score_registry() -> None:
    assert score_names() == ["magnitude"]
    with pytest.raises(ValueError, match="registered twice"):
        register_scores("magnitude")(lambda weight, block: weight)


def test_neurons_are_removed_from_both_layers(state: dict) -> None:
    pruned = prune_neurons(state, 0.3)
    rows, columns = state["blocks.0.mlp.fc1.weight"], state["blocks.0.mlp.fc2.weight"]
    importance = rows.norm(dim=1) * columns.norm(dim=0)
    kept = sorted(importance.argsort(descending=True)[:80].tolist())  # 0.3 * 256 = 76.8, rounded to 80
    assert torch.equal(pruned["blocks.0.mlp.fc1.weight"], rows[kept])
    assert torch.equal(pruned["blocks.0.mlp.fc1.bias"], state["blocks.0.mlp.fc1.bias"][kept])
    assert torch.equal(pruned["blocks.0.mlp.fc2.weight"], columns[:, kept])
    build_model("vit_micro", [80] * 3).load_state_dict(pruned)


def test_neuron_limits(state: dict) -> None:
    assert all(torch.equal(tensor, state[name]) for name, tensor in prune_neurons(state, 1.0).items())
    assert prune_neurons(state, 0.001)["blocks.2.mlp.fc1.weight"].shape == (16, 64)
    with pytest.raises(ConfigError, match="keep_neurons must be above 0"):
        prune_neurons(state, 0.0)
