"""SNP-style pruning: scores against brute force, equal counts per head, means that are kept."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from algo.data import calibration_pixels
from algo.models import build_like, build_model
from algo.prune.channel_scores import layer_scores, redundancy
from algo.prune.methods import Subject, method_spec
from algo.prune.snp import KINDS, ChannelFamily, kept, levels, snp
from algo.synthetic import synthetic_state
from algo.tokens.count import topk_schedule
from algo.tokens.evit import forward_with_drop
from flows.contracts.errors import ConfigError

MEAN = STD = (0.5, 0.5, 0.5)
IMAGES = 11


@pytest.fixture(name="subject", scope="module")
def fixture_subject() -> Subject:
    model = build_model("vit_micro")
    model.load_state_dict(synthetic_state("vit_micro", 2))
    model.requires_grad_(False)
    return Subject("vit_micro", model, calibration_pixels(None, 32, count=IMAGES), np.full(IMAGES, -1), MEAN, STD,
                   topk_schedule(17, (1,), 0.6))


@pytest.fixture(name="family", scope="module")
def fixture_family(subject: Subject) -> ChannelFamily:
    family = snp(subject)
    assert isinstance(family, ChannelFamily)
    return family


def activations(subject: Subject) -> dict[str, torch.Tensor]:
    """Every observed tensor, of all images at once."""
    pixels = torch.from_numpy(subject.pixels).permute(0, 3, 1, 2).float() / 255
    seen: dict[str, torch.Tensor] = {}
    forward_with_drop(subject.model, (pixels - 0.5) / 0.5, subject.drops, lambda name, x: seen.update({name: x}))
    return seen


def test_pair_scores_are_the_change_of_the_logits(subject: Subject) -> None:
    """The norm of what a pair adds to the logits, up to constants of a row, which softmax ignores."""
    seen, scores = activations(subject), layer_scores(subject)
    for layer, channel in ((0, 3), (1, 40), (2, 63)):
        query, key = (seen[f"blocks.{layer}.{name}"][:, :, channel].double() for name in ("query", "key"))
        product = query[:, :, None] * key[:, None, :]
        norms = (product - product.mean(dim=2, keepdim=True)).flatten(1).norm(dim=1)
        assert scores[layer].pairs[channel // 32, channel % 32] == pytest.approx(float(norms.mean()), rel=1e-5)


def test_value_and_neuron_scores(subject: Subject) -> None:
    """Neurons: what is left of their term without its mean. Values: no more than that, and all when they are alone."""
    seen, part = activations(subject), layer_scores(subject)[1]
    block = subject.model.blocks[1]
    hidden = seen["blocks.1.hidden"].double().flatten(0, 1)
    term = (hidden - hidden.mean(0))[:, 5, None] * block.mlp.fc2.weight[:, 5].double()
    assert part.neurons[5] == pytest.approx(float(term.norm()) / len(hidden) ** 0.5, rel=1e-5)
    assert part.hidden_mean[5] == pytest.approx(float(hidden[:, 5].mean()), rel=1e-5)
    value = seen["blocks.1.value"].double().flatten(0, 1)
    energy = (value.std(0, correction=0) * block.attn.proj.weight.double().norm(dim=0)).numpy()
    assert (part.values.ravel() <= energy * (1 + 1e-9)).all() and (part.values > 0.3 * energy.reshape(2, 32)).any()
    assert part.tokens_in == 17 and part.tokens_out == 12


def test_redundancy_blames_the_weaker_of_another_head() -> None:
    """Channels 0 and 2 are alike and in different heads, 0 and 1 alike in the same head."""
    rng = np.random.default_rng(0)
    base = rng.normal(size=(500, 4))
    rows = torch.from_numpy(np.stack([base[:, 0], base[:, 0] + 1e-6 * base[:, 1], 0.1 * base[:, 0], base[:, 3]], 1))
    covariance = rows.T @ rows / len(rows)
    found = redundancy(covariance, covariance.diagonal(), heads=2)
    assert found[2] > 0.999 and found[:2].max() < 0.2 and found[3] < 0.2
    assert redundancy(torch.zeros(4, 4).double(), torch.zeros(4).double(), 2).abs().max() == 0


@pytest.mark.parametrize("share", [0.0, 0.3, 0.6, 0.9])
def test_counts(family: ChannelFamily, share: float) -> None:
    """Equal numbers per head, multiples of 16, at least 16; whole blocks are empty."""
    pruned = family.at(share)
    for mapping in (pruned.plan.pairs, pruned.plan.values):
        for mask in mapping.values():
            counts = mask.sum(axis=1)
            assert counts.min() == counts.max() >= 16 and counts[0] % 16 == 0
    assert all(mask.sum() >= 16 and mask.sum() % 16 == 0 for mask in pruned.plan.neurons.values())
    for layer, mask in pruned.plan.pairs.items():
        empty = np.all(~pruned.masks[f"blocks.{layer}.attn.qkv"], axis=1)[:8]
        assert (empty.reshape(2, 2, 2).sum(axis=2) == (32 - mask.sum(axis=1)) // 16).all()
    if share == 0:
        assert all(len(getattr(pruned.plan, kind)) == 3 for kind in KINDS)


def test_more_share_keeps_more(family: ChannelFamily) -> None:
    """Plans are nested, and 1 is dense."""
    assert not any(getattr(family.at(1.0).plan, kind) for kind in KINDS)
    assert all(torch.equal(tensor, family.state[name]) for name, tensor in family.at(1.0).state.items())
    small, large = family.at(0.4).plan, family.at(0.7).plan
    for kind in KINDS:
        for layer, mask in getattr(large, kind).items():
            assert not (getattr(small, kind)[layer] & ~mask).any()
    assert sum(mask.sum() for mask in small.neurons.values()) < sum(mask.sum() for mask in large.neurons.values())


def test_share_counts_multiplications(family: ChannelFamily) -> None:
    """Half of what can go, within one step."""
    plan = family.at(0.5).plan
    total = sum(level.macs for level in family.levels)
    left = total
    for layer, part in enumerate(family.scores):
        price = {level.kind: level.macs for level in levels(layer, part)}
        for kind in KINDS:
            if layer in getattr(plan, kind):
                left -= price[kind] * (~np.atleast_2d(getattr(plan, kind)[layer])).sum(axis=1)[0] / 16
    assert abs(left / total - 0.5) <= max(level.macs for level in family.levels) / total


def test_the_best_stay() -> None:
    """Row by row; of equal scores the first."""
    assert kept(np.array([[1.0, 3, 2], [5, 5, 5]]), 1).tolist() == [[False, True, True], [True, True, False]]
    assert kept(np.array([3.0, 1, 2]), 2).tolist() == [True, False, False]
    assert kept(np.ones(2), 0).all()


def test_means_move_into_biases(subject: Subject, family: ChannelFamily) -> None:
    """The mean of an MLP's output over tokens and images stays what it was in the first block."""
    pruned = family.at(0.2)
    assert 0 in pruned.plan.neurons
    net: Any = build_like("vit_micro", pruned.state)
    hidden = activations(subject)["blocks.0.hidden"]
    stays = torch.from_numpy(pruned.plan.neurons[0])
    fc2 = torch.nn.functional.linear(hidden[:, :, stays], pruned.state["blocks.0.mlp.fc2.weight"],
                                     pruned.state["blocks.0.mlp.fc2.bias"])
    expected = subject.model.blocks[0].mlp.fc2(hidden)
    assert torch.allclose(fc2.mean(dim=(0, 1)), expected.mean(dim=(0, 1)), atol=1e-5)
    net.load_state_dict(pruned.state)
    assert torch.isfinite(net(torch.zeros(1, 3, 32, 32))).all()


def test_better_than_the_same_numbers_at_random(subject: Subject, family: ChannelFamily) -> None:
    """The scores choose well: logits stay closer to the dense network's than with the worst channels kept."""
    worst = ChannelFamily(family.state, family.scores)
    worst.scores = [type(part)(**{**vars(part), **{kind: -getattr(part, kind) for kind in KINDS}})
                    for part in family.scores]
    images = torch.randn(8, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    expected = subject.model(images)

    def error(pruned: Any) -> float:
        net = build_like("vit_micro", pruned.state)
        net.load_state_dict(pruned.state)
        return float((net(images) - expected).detach().norm())

    assert error(family.at(0.6)) < 0.8 * error(worst.at(0.6))


def test_deterministic(subject: Subject, family: ChannelFamily) -> None:
    again = snp(subject).at(0.5)
    assert all(torch.equal(tensor, again.state[name]) for name, tensor in family.at(0.5).state.items())


def test_registered_and_needs_images(subject: Subject) -> None:
    spec = method_spec("snp")
    assert spec.needs == "images" and spec.architectures == ("vit",)
    empty = Subject("vit_micro", subject.model, subject.pixels[:0], subject.labels[:0], MEAN, STD)
    with pytest.raises(ConfigError, match="give calibration images"):
        snp(empty)
