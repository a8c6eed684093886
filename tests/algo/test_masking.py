"""Masks that change while a network is trained: shares, straight-through gradients, order of channels, schedules."""

import numpy as np
import pytest
import torch

from algo.models import build_model
from algo.prune.gradual import Magnitude
from algo.prune.importance import channel_order, measure_power
from algo.prune.learned import SPREAD, Learned
from algo.prune.masking import Fixed, imply
from algo.prune.order import reorder
from algo.synthetic import synthetic_state
from algo.train.network import forward
from algo.train.schedule import kept_blocks, kept_token_share, learning_rate
from algo.train.student import prepare_channels
from flows.contracts.errors import ConfigError


@pytest.fixture
def model():
    network = build_model("vit_micro")
    network.load_state_dict(synthetic_state("vit_micro", 1))
    return network


@pytest.fixture
def images() -> torch.Tensor:
    return torch.randn(8, 3, 32, 32, generator=torch.Generator().manual_seed(2))


def shares_of(masks) -> tuple[float, float]:
    kept = masks.at(masks.keep)
    attention = [kept.masks[name].mean() * kept.masks[name].size for name in kept.masks if "attn" in name]
    hidden = sum(len(kept.state[f"blocks.{layer}.mlp.fc1.bias"]) for layer in range(3))
    return sum(attention) / (3 * 4 * 16), hidden / (3 * 256)


@pytest.mark.parametrize("kind", [Learned, Magnitude])
def test_attention_may_keep_more_and_the_mlp_pays(model, images, kind) -> None:
    masks = kind(model, "alternate", attention=0.7)
    prepare_channels(model, masks, images)
    masks.keep = 0.5
    masks.refresh()
    attention, mlp = shares_of(masks)
    assert 0.6 < attention <= 0.7 and abs(mlp - (0.5 * 3 - 0.7) / 2) < 0.05
    assert masks.kept_share() <= 0.5 + 0.02
    assert masks.shares(1.0) == {"attn": 1.0, "mlp": 1.0}
    assert masks.shares(0.25)["attn"] == pytest.approx(0.49)


def test_gradients_reach_scores_straight_through_the_selection(model, images) -> None:
    masks = Learned(model, "alternate")
    masks.keep = 0.5
    masks.refresh()
    logits = forward(model, images, weight_of=masks.weight_of, bias_of=masks.bias_of)
    logits.square().sum().backward()
    # the same through an explicit product of weights and a differentiable mask
    for name in ("blocks.1.attn.qkv", "blocks.2.attn.proj"):
        full = masks._full[name].clone().requires_grad_()
        scores = masks.block_scores(name)

        def weight_of(layer, weight, name=name, full=full):
            return weight * full if layer == name else masks.weight_of(layer, weight)

        forward(model, images, weight_of=weight_of, bias_of=masks.bias_of).square().sum().backward()
        assert full.grad is not None and scores.grad is not None
        tiles = full.grad.reshape(scores.shape[0], 16, scores.shape[1], 16).sum((1, 3))
        assert torch.allclose(scores.grad, tiles, rtol=1e-3, atol=1e-4 * float(tiles.abs().max()))
        masks.zero_grad()
        forward(model, images, weight_of=masks.weight_of, bias_of=masks.bias_of).square().sum().backward()
    neurons = masks.neuron_scores(0)
    assert neurons.grad is not None and (neurons.grad[~torch.from_numpy(masks.neuron_masks(0.5)[0])] != 0).any()


def test_masked_forward_is_the_forward_of_what_is_left(model, images) -> None:
    masks = Learned(model, "alternate")
    prepare_channels(model, masks, images)
    masks.keep = 0.4
    masks.refresh()
    masked = forward(model, images, weight_of=masks.weight_of, bias_of=masks.bias_of)
    left = masks.at(0.4).state
    smaller = build_model("vit_micro", [len(left[f"blocks.{layer}.mlp.fc1.bias"]) for layer in range(3)])
    smaller.load_state_dict(left)
    assert torch.allclose(masked, forward(smaller, images), atol=1e-4)


def test_ordering_changes_nothing_but_the_order(model, images) -> None:
    power = measure_power(model, images)
    other = build_model("vit_micro")
    other.load_state_dict(reorder(model.state_dict(), channel_order(model, power)))
    assert torch.allclose(forward(model, images), forward(other, images), atol=1e-4)
    after = measure_power(other, images)
    pairs = (after["blocks.0.query"] * after["blocks.0.key"]).reshape(2, -1)
    assert (pairs[:, :-1] >= pairs[:, 1:] * (1 - 1e-6)).all()
    scores = Learned(other)
    scores.begin(after)
    qkv = scores.block_scores("blocks.0.attn.qkv").chunk(3)
    assert all(float(part.detach().max()) == SPREAD and float(part.detach().min()) == -SPREAD for part in qkv)


@pytest.mark.parametrize("kind", [Learned, Magnitude])
def test_frozen_masks_stay_through_training_and_checkpoints(model, kind) -> None:
    masks = kind(model, "blocks")
    masks.keep = 0.5
    masks.freeze()
    before = masks.block_masks(0.5)
    with torch.no_grad():
        for parameter in [*model.parameters(), *masks.parameters()]:
            parameter.copy_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
    again = kind(model, "blocks")
    again.load_state_dict(masks.state_dict())
    assert again.frozen and again.keep == 0.5
    for name, mask in before.items():
        assert (masks.block_masks(0.3)[name] == mask).all() and (again.block_masks(0.3)[name] == mask).all()


def test_fixed_masks_are_the_zeros_of_the_weights(model, images) -> None:
    learned = Learned(model, "blocks")
    learned.keep = 0.5
    model.load_state_dict(learned.at(0.5).state)
    fixed = Fixed(model)
    fixed.refresh()
    assert fixed.kept_share() == pytest.approx(0.5, abs=0.01)
    assert torch.equal(forward(model, images), forward(model, images, weight_of=fixed.weight_of))


def test_useless_blocks_go_too() -> None:
    qkv, projection = np.ones((12, 4), bool), np.ones((4, 4), bool)
    qkv[1] = False  # queries of column 1: its keys go
    qkv[8] = False  # values of column 0: the projection's column goes
    projection[:, 3] = False  # values of column 3 go
    imply(qkv, projection)
    assert not qkv[5].any() and not projection[:, 0].any() and not qkv[11].any()
    assert qkv.sum() == 8 * 4 and projection.sum() == 2 * 4


def test_unknown_pattern(model) -> None:
    with pytest.raises(ConfigError, match="pattern must be one of alternate, blocks, not 'rows'"):
        Learned(model, "rows")


def test_schedules() -> None:
    assert [kept_blocks(share, 0.2, 0.6, 0.5) for share in (0, 0.2, 0.4, 0.6, 1)] == [1, 1, 0.5625, 0.5, 0.5]
    assert [kept_token_share(share, 0, 0.5, 0.7) for share in (0, 0.25, 0.5)] == pytest.approx([1, 0.85, 0.7])
    assert learning_rate(0.05, 0.1, 0.01) == 0.5 and learning_rate(0.1, 0.1, 0.01) == 1
    assert learning_rate(1.0, 0.1, 0.01) == pytest.approx(0.01)
    assert kept_blocks(0.0, 0.0, 0.0, 0.3) == 0.3 and kept_token_share(0.0, 0.0, 0.0, 0.7) == 0.7
