"""DIMAP-style ranking: LAMP scores by definition, modules ranked together, on ViT and Swin."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from algo.models import build_model
from algo.prune.dimap import ModuleFamily, block_energy, dimap, lamp, modules_of
from algo.prune.methods import Subject, method_spec
from algo.synthetic import synthetic_state
from flows.contracts.errors import ConfigError


def subject(model: Any) -> Subject:
    """Nothing but the network."""
    return Subject("any", model, np.zeros((0, 32, 32, 3), np.uint8), np.zeros(0, np.int64), (0.5,) * 3, (0.5,) * 3)


@pytest.fixture(name="family", scope="module")
def fixture_family() -> ModuleFamily:
    model = build_model("vit_micro")
    model.load_state_dict(synthetic_state("vit_micro", 4))
    family = dimap(subject(model))
    assert isinstance(family, ModuleFamily)
    return family


def test_lamp_by_definition() -> None:
    """Energy over the sum of all that are at least as large (LAMP, equation 3)."""
    energy = torch.tensor([4.0, 1.0, 9.0, 2.0, 0.0], dtype=torch.float64)
    expected = torch.tensor([4 / 13, 1 / 16, 1.0, 2 / 15, 0.0], dtype=torch.float64)
    assert torch.allclose(lamp(energy), expected)
    assert lamp(torch.zeros(3)).tolist() == [0, 0, 0]
    assert lamp(torch.tensor([1.0, 1.0])).tolist() == [1.0, 0.5]


def test_scores_are_those_of_the_module(family: ModuleFamily) -> None:
    """Both layers of an MLP share one sum; another module does not enter."""
    fc1, fc2 = (block_energy(family.state[f"blocks.1.mlp.{name}.weight"], name) for name in ("fc1", "fc2"))
    weight = family.state["blocks.1.mlp.fc1.weight"]
    assert fc1[2, 1] == pytest.approx(float(weight[32:48, 16:32].double().square().sum()))
    every = torch.cat([fc1.flatten(), fc2.flatten()])
    for energy, name in ((fc1, "fc1"), (fc2, "fc2")):
        score = energy[1, 2] / every[every >= energy[1, 2]].sum()
        assert family.scores[f"blocks.1.mlp.{name}"][1, 2] == pytest.approx(float(score))


def test_scaling_a_module_changes_nothing_but_scaling_a_layer_does(family: ModuleFamily) -> None:
    """What makes the ranking one of modules."""
    def scaled(start: str) -> dict[str, torch.Tensor]:
        return {name: tensor * 8 if name.startswith(start) else tensor for name, tensor in family.state.items()}

    masks = family.at(0.8).masks
    again = ModuleFamily(scaled("blocks.0.mlp.fc"), family.modules).at(0.8).masks
    assert masks.keys() == again.keys() and all((again[name] == mask).all() for name, mask in masks.items())
    skewed = ModuleFamily(scaled("blocks.0.mlp.fc1.weight"), family.modules).at(0.8).masks
    assert skewed["blocks.0.mlp.fc2"].sum() < masks["blocks.0.mlp.fc2"].sum()


@pytest.mark.parametrize("share", [0.0, 0.25, 0.5, 0.9, 1.0])
def test_share(family: ModuleFamily, share: float) -> None:
    """So many blocks of all, the best by score, and every module keeps one."""
    pruned = family.at(share)
    masks = {name: pruned.masks.get(name, np.ones(scores.shape, bool)) for name, scores in family.scores.items()}
    total = sum(mask.size for mask in masks.values())
    assert sum(mask.sum() for mask in masks.values()) == max(round(share * total), len(family.modules))
    assert all(any(masks[name].any() for name in module) for module in family.modules)
    kept = np.concatenate([family.scores[name].numpy()[mask] for name, mask in masks.items()])
    gone = np.concatenate([family.scores[name].numpy()[~mask] for name, mask in masks.items()])
    assert share == 1.0 or kept.min() >= gone.max()
    for name, mask in masks.items():
        full = np.repeat(np.repeat(mask, 16, 0), 16, 1)
        before, after = (state[f"{name}.weight"].numpy() for state in (family.state, pruned.state))
        assert (after == before * full).all()


def test_modules_of_vit() -> None:
    found = modules_of(build_model("vit_micro"))
    assert found[:2] == [("blocks.0.attn.qkv", "blocks.0.attn.proj"), ("blocks.0.mlp.fc1", "blocks.0.mlp.fc2")]
    assert len(found) == 6


def test_registered_and_errors() -> None:
    spec = method_spec("dimap")
    assert spec.needs == "nothing" and spec.architectures == ("vit", "swin")
    with pytest.raises(ConfigError, match="neither attention"):
        dimap(subject(nn.Linear(16, 16)))
    with pytest.raises(ConfigError, match="x has 16x20 weights, which are not whole blocks of 16x16"):
        block_energy(torch.zeros(16, 20), "x")
