"""OPTIN: errors along the trajectory, and what they say about heads and neurons."""

import dataclasses

import numpy as np
import pytest
import torch

from algo.macs import count_work
from algo.prune.budget import fit
from algo.prune.methods import weights_of
from algo.prune.optin import optin
from algo.prune.trajectory import TEMPERATURE, record
from algo.tokens.count import topk_schedule
from algo.tokens.evit import threshold_drop
from flows.contracts.errors import ConfigError
from tests.algo.pruning import logits_of, micro_subject


def test_feature_error_is_the_distance_of_gram_matrices() -> None:
    generator = torch.Generator().manual_seed(0)
    dense, other = torch.randn(2, 5, 8, generator=generator), torch.randn(2, 5, 8, generator=generator)
    trajectory = record([dense], torch.zeros(2, 3), seed=0)
    first, second = (torch.nn.functional.normalize(x.reshape(10, 8).double(), dim=1) for x in (dense, other))
    expected = (first @ first.T - second @ second.T).square().sum()
    assert trajectory.feature_error(0, other) == pytest.approx(float(expected), rel=1e-9)
    assert trajectory.feature_error(0, dense) == pytest.approx(0, abs=1e-9)
    assert len(record([dense], torch.zeros(2, 3), seed=0, samples=4).chosen[0]) == 4


def test_logit_error_is_the_divergence() -> None:
    logits, other = torch.tensor([[1.0, 2.0, 3.0]]), torch.tensor([[3.0, 2.0, 0.0]])
    p, q = (torch.softmax(x / TEMPERATURE, 1) for x in (logits, other))
    expected = TEMPERATURE**2 * float((p * (p / q).log()).sum())
    trajectory = record([torch.zeros(1, 2, 4)], logits, seed=0)
    assert trajectory.logit_error(other) == pytest.approx(expected, rel=1e-5)
    assert trajectory.logit_error(logits) == pytest.approx(0, abs=1e-6)


def test_units_without_effect_come_last() -> None:
    """A head whose columns of the projection are zero, and neurons whose columns of fc2 are, do not matter at all."""
    subject = micro_subject(6)
    subject.model.blocks[1].attn.proj.weight[:, 32:] = 0
    subject.model.blocks[0].mlp.fc2.weight[:, 100:132] = 0
    family = optin(subject)
    assert family.heads[1][1] == pytest.approx(0, abs=1e-6) and family.heads[1][0] > 1e-3
    assert set(family.members[0][-2:].ravel()) == set(range(100, 132))
    assert family.groups[0][-2:] == pytest.approx(0, abs=1e-5)
    assert min(family.groups[0][:-2]) > 1e-5


def test_a_groups_error_is_that_of_the_network_without_it() -> None:
    """The output without a group, by subtraction, leads to the logits of the network whose fc2 columns are zero."""
    subject = dataclasses.replace(micro_subject(4), options={"feature_weight": 0})
    family = optin(subject)
    state = {name: tensor.clone() for name, tensor in weights_of(subject).items()}
    group = family.members[1][0]
    state["blocks.1.mlp.fc2.weight"][:, torch.from_numpy(group)] = 0
    dense = record([torch.zeros(1, 2, 4)], logits_of(weights_of(subject), subject), seed=0)
    removed = dense.logit_error(logits_of(state, subject))
    assert removed > 0
    # with weight 0 the scale is 1, so what is left of the score are the feature errors behind the block
    assert family.groups[1][0] > removed
    last = family.members[2][0]
    state = {name: tensor.clone() for name, tensor in weights_of(subject).items()}
    state["blocks.2.mlp.fc2.weight"][:, torch.from_numpy(last)] = 0
    # the last block has no later features: half its logit error is the score
    assert family.groups[2][0] == pytest.approx(0.5 * dense.logit_error(logits_of(state, subject)), rel=1e-3)


@pytest.fixture(scope="module", name="case")
def fixture_case() -> tuple:
    subject = micro_subject(12, drops=topk_schedule(17, (1,), 0.7))
    return subject, optin(subject)


@pytest.mark.parametrize("share", [0.9, 0.7])
def test_meets_the_budget(case: tuple, share: float) -> None:
    subject, family = case
    dense = count_work(weights_of(subject), 2, subject.drops).macs
    fitted = fit(family, lambda pruned: count_work(pruned.state, 2, subject.drops).macs, share * dense)
    assert (share - 0.04) * dense < fitted.cost <= share * dense
    assert all(mask.sum() % 16 == 0 for mask in fitted.pruned.plan.neurons.values())


def test_better_than_the_opposite_choice(case: tuple) -> None:
    """Keeping what scores lowest does far more harm: the scores point the right way."""
    subject, family = case
    upside = dataclasses.replace(family, tune=None, heads=[np.ones_like(part) * 1e9 for part in family.heads])
    downside = dataclasses.replace(upside, groups=[part.max() - part for part in family.groups])
    wanted = logits_of(weights_of(subject), subject)
    errors = [float((logits_of(choice.at(0.7).state, subject) - wanted).square().mean())
              for choice in (upside, downside)]
    assert errors[0] < 0.5 * errors[1]


def test_deterministic_also_under_threshold_drop() -> None:
    subject = micro_subject(3, drops={1: threshold_drop(0.05, 2)})
    first, second = (optin(subject).at(0.6).state for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_needs_images() -> None:
    with pytest.raises(ConfigError, match="needs calibration images"):
        optin(micro_subject(0))
