"""Magnitude pruning as a method, and the search for a budget."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from algo.macs import count_work
from algo.prune import method_names, method_spec
from algo.prune.blocks import prune_blocks
from algo.prune.budget import fit
from algo.prune.magnitude import balanced_counts
from algo.prune.methods import weights_of
from algo.prune.plan import Pruned, apply_plan
from flows.contracts.errors import ConfigError
from tests.algo.pruning import micro_subject


def macs(pruned: Pruned) -> float:
    return count_work(pruned.state, 2).macs


def test_registered() -> None:
    assert {"balanced_magnitude", "kwon", "magnitude", "optin", "second_order"} <= set(method_names())
    assert method_spec("magnitude").needs == "nothing"
    assert all(method_spec(name).summary.endswith(".") for name in method_names())


@pytest.mark.parametrize("name", ["magnitude", "balanced_magnitude"])
def test_meets_the_budget(name: str) -> None:
    subject = micro_subject(0)
    family = method_spec(name).function(subject)
    dense = macs(family.at(1.0))
    fitted = fit(family, macs, 0.7 * dense)
    assert 0.68 * dense < fitted.cost <= 0.7 * dense
    assert not family.at(1.0).masks
    again = apply_plan(weights_of(subject), fitted.pruned.plan)
    assert all(torch.equal(again.state[key], tensor) for key, tensor in fitted.pruned.state.items())


def test_magnitude_is_what_export_does() -> None:
    subject = micro_subject(0)
    state, masks = prune_blocks(weights_of(subject), 0.5)
    pruned = method_spec("magnitude").function(subject).at(0.5)
    assert all(torch.equal(pruned.state[key], tensor) for key, tensor in state.items())
    assert set(masks) == set(pruned.masks)


@pytest.mark.parametrize("share", [0.0, 0.2, 0.5, 0.77, 0.9])
def test_balanced_columns_and_no_more_than_the_share(share: float) -> None:
    family = method_spec("balanced_magnitude").function(micro_subject(0))
    pruned = family.at(share)
    for mask in pruned.plan.blocks.values():
        assert len(set(mask.sum(axis=1))) == 1 and mask.any(axis=1).all()
    sizes = {f"blocks.{i}.{name}": shape for i in range(3) for name, shape in
             (("attn.qkv", (12, 4)), ("attn.proj", (4, 4)), ("mlp.fc1", (16, 4)), ("mlp.fc2", (4, 16)))}
    counts = balanced_counts(sizes, share)
    kept = sum(counts[name] * rows for name, (rows, _) in sizes.items())
    total = sum(rows * columns for rows, columns in sizes.values())
    assert {name: int(mask.sum(axis=1)[0]) for name, mask in pruned.plan.blocks.items()} == \
        {name: count for name, count in counts.items() if count < sizes[name][1]}
    if share >= 0.5:
        assert share * total - 4 < kept <= share * total + 1e-6


class Sketched:
    """A family whose networks cost ``extra`` more than its sketches."""

    def __init__(self, extra: float) -> None:
        self.extra, self.made = extra, 0

    def network(self, value: float) -> Pruned:
        return Pruned(None, {"cost": torch.tensor(value)}, {})  # type: ignore[arg-type]

    def at(self, share: float) -> Pruned:
        self.made += 1
        return self.network(100 * share + (self.extra if share < 1 else 0))

    def sketch(self, share: float) -> Pruned:
        return self.network(100 * share)


@pytest.mark.parametrize("extra", [0.0, 3.0])
def test_only_the_result_of_sketches_is_made(extra: float) -> None:
    family = Sketched(extra)
    fitted = fit(family, lambda pruned: float(pruned.state["cost"]), 60.0)
    assert 59.5 < fitted.cost <= 60
    assert fitted.share == pytest.approx((60 - extra) / 100, abs=0.005)
    assert family.made == (2 if extra == 0 else 3)


def test_budget_out_of_reach() -> None:
    family = method_spec("magnitude").function(micro_subject(0))
    with pytest.raises(ConfigError, match="no plan meets 1000 MACs: even the smallest network needs"):
        fit(family, macs, 1000, unit="MACs")
    with pytest.raises(ConfigError, match="no plan meets 60 units: even the smallest network needs 70"):
        fit(Sketched(70.0), lambda pruned: float(pruned.state["cost"]), 60.0, unit="units")


def test_weights_are_not_touched() -> None:
    subject = micro_subject(8)
    before = {name: tensor.clone() for name, tensor in weights_of(subject).items()}
    for name in ("magnitude", "balanced_magnitude", "second_order", "kwon", "optin"):
        method_spec(name).function(replace(subject, options={"rescale": True})).at(0.6)
    assert all(torch.equal(before[name], tensor) for name, tensor in weights_of(subject).items())
    assert np.array_equal(subject.labels, micro_subject(8).labels)
