"""Kwon et al.: Fisher information, knapsack, rearrangement, rescaling."""

import dataclasses
import itertools

import numpy as np
import pytest
import torch

from algo.data import normalise
from algo.macs import count_work
from algo.prune.budget import fit
from algo.prune.fisher import mask_gradients
from algo.prune.knapsack import group_neurons, neuron_masks, select
from algo.prune.kwon import kwon
from algo.prune.masked import blocks_from, embed, unit_masks
from algo.prune.methods import weights_of
from algo.prune.plan import PruningPlan, apply_plan
from algo.prune.rearrange import predicted_loss, rearrange
from algo.prune.rescale import LIMIT, mask_values
from algo.tokens.count import topk_schedule
from tests.algo.pruning import logits_of, micro_subject, streams_of


def test_fisher_equals_autograd_image_by_image() -> None:
    subject = micro_subject(4, drops=topk_schedule(17, (1,), 0.7))
    heads, neurons = mask_gradients(subject).fisher()
    head_masks = [torch.ones(2, requires_grad=True) for _ in range(3)]
    neuron_masks_ = [torch.ones(256, requires_grad=True) for _ in range(3)]
    expected = [torch.zeros(len(mask), dtype=torch.float64) for mask in [*head_masks, *neuron_masks_]]
    for index in range(4):
        images = normalise(subject.pixels[index:index + 1], subject.mean, subject.std)
        with unit_masks(subject.model, head_masks, neuron_masks_):
            logits = blocks_from(subject.model, embed(subject.model, images), 0, subject.drops)
        loss = torch.nn.functional.cross_entropy(logits, torch.from_numpy(subject.labels[index:index + 1]))
        for total, part in zip(expected, torch.autograd.grad(loss, [*head_masks, *neuron_masks_]), strict=True):
            total.add_(part.double().square())
    for found, wanted in zip([*heads, *neurons], expected, strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-3, atol=1e-12)


def test_masks_of_zero_are_the_pruned_network() -> None:
    subject = micro_subject(2)
    heads, neurons = np.array([False, True]), np.arange(256) % 4 != 0
    images = normalise(subject.pixels, subject.mean, subject.std)
    with torch.no_grad(), unit_masks(subject.model, [None, torch.from_numpy(heads).float(), None],
                                     [torch.from_numpy(neurons).float(), None, None]):
        masked = blocks_from(subject.model, embed(subject.model, images), 0, {})
    pruned = apply_plan(weights_of(subject), PruningPlan("test", heads={1: heads}, neurons={0: neurons}))
    torch.testing.assert_close(masked, logits_of(pruned.state, subject), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("seed", range(4))
def test_knapsack_is_the_best_of_all_choices(seed: int) -> None:
    """With units of equal cost, as without token drop, no choice within the budget is worth more."""
    rng = np.random.default_rng(seed)
    heads, neurons = [rng.random(2) for _ in range(2)], [np.sort(rng.random(3))[::-1] for _ in range(2)]
    head_costs, neuron_costs = np.full(2, 3.0), np.full(2, 1.0)
    for budget in (2, 4, 7, 9, 13, 18):
        kept_heads, kept_neurons = select(heads, neurons, head_costs, neuron_costs, budget)
        spent = 3 * sum(map(np.sum, kept_heads)) + sum(map(np.sum, kept_neurons))
        value = sum(float(s[k].sum()) for s, k in zip([*heads, *neurons], [*kept_heads, *kept_neurons], strict=True))
        assert spent <= budget
        flat = np.concatenate([*heads, *neurons])
        best = 0.0
        for bits in itertools.product((False, True), repeat=10):
            choice = np.array(bits)
            legal = choice[4:7].any() and choice[7:].any()  # every layer keeps neurons
            if legal and 3 * choice[:4].sum() + choice[4:].sum() <= budget:
                best = max(best, float(flat[choice].sum()))
        assert value == pytest.approx(best)


def test_a_layer_keeps_neurons_when_the_budget_has_none() -> None:
    heads, neurons = select([np.ones(2)], [np.array([1.0, 3.0, 2.0])], np.ones(1), np.ones(1), 0.0)
    assert not heads[0].any()
    assert neurons[0].tolist() == [False, True, False]


def test_groups_hold_neurons_of_like_importance() -> None:
    scores = np.random.default_rng(0).permutation(48).astype(float)
    (members,), (sums,) = group_neurons([scores])
    assert sums.tolist() == [sum(range(32, 48)), sum(range(16, 32)), sum(range(16))]
    (mask,) = neuron_masks([members], [np.array([True, False, False])])
    assert (np.flatnonzero(mask) == np.flatnonzero(scores >= 32)).all()


def test_rearrangement_sees_what_the_diagonal_does_not() -> None:
    """Units 0 and 1 matter least alone, but add up; unit 2 undoes either of them."""
    gradients = torch.tensor([[2.0, 2.0, -2.5, 9.0], [2.0, 2.0, -2.5, 9.0]])
    kept = np.array([False, False, True, True])
    swapped = rearrange(kept, gradients)
    assert predicted_loss(kept, gradients) == 32 and predicted_loss(swapped, gradients) == 0.5
    assert swapped.tolist() in ([True, False, False, True], [False, True, False, True])


@pytest.mark.parametrize("seed", range(5))
def test_rearrangement_never_predicts_more_loss(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    gradients = torch.randn(30, 40, generator=generator)
    kept = np.random.default_rng(seed).random(40) < 0.5
    swapped = rearrange(kept, gradients)
    assert swapped.sum() == kept.sum()
    assert predicted_loss(swapped, gradients) < predicted_loss(kept, gradients)
    for whole in (np.ones(40, dtype=bool), np.zeros(40, dtype=bool)):
        assert (rearrange(whole, gradients) == whole).all()


@pytest.mark.parametrize("units", [3, 24])
def test_mask_values_are_the_optimum(units: int) -> None:
    generator = torch.Generator().manual_seed(1)
    layer = torch.nn.Linear(24, 10)
    layer.requires_grad_(False)
    layer.weight[:, :8] = 0
    x, wanted = torch.randn(2, 50, 24, generator=generator), torch.randn(2, 50, 10, generator=generator)
    values = mask_values(layer, [(x[:1], wanted[:1]), (x[1:], wanted[1:])], units, 0.0)
    assert bool((values[:units // 3] == 1).all())
    values.requires_grad_(True)
    full = values.repeat_interleave(24 // units)
    output = (x.double() * full) @ layer.weight.double().T + layer.bias.double()
    error = (output - wanted.double()).square().sum()
    error.backward()
    assert values.grad is not None
    assert float(values.grad.abs().max()) < 1e-3
    plain = x.double() @ layer.weight.double().T + layer.bias.double()
    assert float(error.detach()) < float((plain - wanted.double()).square().sum())


def test_unbelievable_mask_values_are_left_out() -> None:
    layer = torch.nn.Linear(2, 1, bias=True)
    layer.requires_grad_(False)
    x = torch.tensor([[[1e-4, 0.0], [0.0, 1.0]]])
    values = mask_values(layer, [(x, torch.tensor([[[100.0], [1.0]]]))], 2, 0.0)
    assert values.tolist() == [1, 1]
    assert LIMIT == 10


@pytest.fixture(scope="module", name="case")
def fixture_case() -> tuple:
    subject = micro_subject(24)
    return subject, kwon(subject)


@pytest.mark.parametrize("share", [0.9, 0.8, 0.7])
def test_meets_the_budget_in_groups_of_16(case: tuple, share: float) -> None:
    subject, family = case
    dense = count_work(weights_of(subject), 2).macs
    fitted = fit(family, lambda pruned: count_work(pruned.state, 2).macs, share * dense)
    assert (share - 0.03) * dense < fitted.cost <= share * dense
    assert all(mask.sum() % 16 == 0 for mask in fitted.pruned.plan.neurons.values())
    assert fitted.pruned.plan.neurons or fitted.pruned.plan.heads


def test_rescaling_brings_the_residual_stream_nearer(case: tuple) -> None:
    subject, family = case
    family = dataclasses.replace(family, rearrange=None)
    dense = streams_of(weights_of(subject), subject)
    plain, scaled = (streams_of(pruned.state, subject) for pruned in (family.sketch(0.6), family.at(0.6)))
    for wanted, before, after in zip(dense, plain, scaled, strict=True):
        assert float((after - wanted).square().mean()) < 0.95 * float((before - wanted).square().mean())


def test_dense_at_one_and_deterministic(case: tuple) -> None:
    subject, family = case
    state = family.at(1.0).state
    assert all(torch.equal(state[name], tensor) for name, tensor in weights_of(subject).items())
    first, second = family.at(0.5).state, kwon(subject).at(0.5).state
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_labels_are_drawn_where_they_are_unknown() -> None:
    drawn = [mask_gradients(micro_subject(4, labels=False)).neurons[0] for _ in range(2)]
    assert torch.equal(*drawn)
    assert not torch.equal(drawn[0], mask_gradients(micro_subject(4)).neurons[0])
