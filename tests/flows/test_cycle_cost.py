"""Cycles as the cost of a plan: equal to those of the exported network, and a budget that the hardware keeps."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")

from algo.models import build_model
from algo.prune.blocks import LAYERS
from algo.prune.budget import fit
from algo.prune.plan import Pruned, PruningPlan, apply_plan
from algo.prune.scores import block_scores
from algo.synthetic import synthetic_state
from algo.tokens.evit import topk_schedule
from algo.weights import save_weights
from flows.compile import compile_program, config_for, estimate
from flows.contracts.errors import ConfigError
from flows.contracts.hardware import BLOCK
from flows.cycle_cost import MARGIN, cycle_cost, dense_hardware, skeleton
from flows.sim_flow import ExportOptions, SimOptions, obtain_artifact, simulate_network
from sim.accelerator import MemoryOptions

NAME = "vit_micro"
KEEP_TOKENS = 0.7
CONFIGS = [(2, {"groups": 1}), (4, {"groups": 2})]


@dataclass
class Magnitude:
    """All blocks of the network in one ranking, so that budgets are met closely."""

    state: dict[str, Any]

    @cached_property
    def order(self) -> list[tuple[str, int]]:
        """Layer and block, the least important first."""
        scores = {name.removesuffix(".weight"): block_scores("magnitude")(weight, (BLOCK, BLOCK)).flatten()
                  for name, weight in self.state.items() if name.endswith(tuple(f"{layer}.weight" for layer in LAYERS))}
        found = [(float(score / part.mean()), name, place) for name, part in scores.items()
                 for place, score in enumerate(part)]
        return [(name, place) for _, name, place in sorted(found)]

    def at(self, share: float) -> Pruned:
        """The network with ``share`` of its blocks."""
        gone: dict[str, list[int]] = {}
        for name, place in self.order[:round((1 - share) * len(self.order))]:
            gone.setdefault(name, []).append(place)
        masks = {}
        for name, places in gone.items():
            rows, columns = self.state[f"{name}.weight"].shape
            masks[name] = block_scores("magnitude")(self.state[f"{name}.weight"], (BLOCK, BLOCK)).numpy() >= 0
            assert masks[name].shape == (rows // BLOCK, columns // BLOCK)
            masks[name].flat[places] = False
        return apply_plan(self.state, PruningPlan("test", blocks=masks))


@pytest.fixture(name="network", scope="module")
def fixture_network() -> tuple[Any, Magnitude]:
    """Dense network and the family of its plans."""
    state = synthetic_state(NAME, 3)
    model = build_model(NAME)
    model.load_state_dict(state)
    return model, Magnitude(state)


def drops() -> dict:
    """Those that the export makes."""
    return topk_schedule(17, (0, 1, 2), KEEP_TOKENS)


def options_for(pruned: Pruned, folder: Path, clusters: int, hardware: dict[str, Any]) -> SimOptions:
    """A simulation of the exported network."""
    file = folder / "pruned.safetensors"
    save_weights(pruned.state, file, {})
    export = ExportOptions(NAME, weights=file, keep_blocks=1.0, keep_tokens=KEEP_TOKENS, drop_layers=(0, 1, 2))
    return SimOptions(export=export, clusters=clusters, hardware=hardware)


@pytest.mark.parametrize("plan", ["blocks", "channels"])
def test_prediction_is_that_of_the_exported_network(network: tuple[Any, Magnitude], tmp_path: Path, plan: str) -> None:
    """For masks, and for heads, channels and neurons that go; with a memory of its own."""
    model, family = network
    if plan == "blocks":
        pruned = family.at(0.4)
    else:
        half = dense_masks(model)
        pruned = apply_plan(family.state, PruningPlan("test", **half))
    memory = MemoryOptions(latency=60, bandwidth=16)
    predicted = cycle_cost(NAME, model, drops(), clusters=2, memory=memory, margin=0)(pruned)
    artifact = obtain_artifact(options_for(pruned, tmp_path, 2, {}))
    config = dense_hardware(NAME, model, 2)
    exported = estimate(compile_program(artifact, config).stream, config, bytes_per_cycle=16, latency=60)
    assert predicted == exported.total
    assert predicted < cycle_cost(NAME, model, drops(), clusters=2, memory=memory, margin=0)(family.at(1.0))


def dense_masks(model: Any) -> dict[str, Any]:
    """A head, half of the channels, and half of the neurons."""
    import numpy as np

    heads, head_width, hidden = 2, 32, model.blocks[0].mlp.fc1.out_features
    channels = np.tile(np.arange(head_width) % 2 == 0, (heads, 1))
    return {"heads": {2: np.array([True, False])}, "pairs": {0: channels}, "values": {1: channels},
            "neurons": {1: np.arange(hidden) % 2 == 0}}


@pytest.mark.parametrize(("clusters", "hardware"), CONFIGS)
def test_budget_is_kept_in_rtl(network: tuple[Any, Magnitude], tmp_path: Path, clusters: int,
                               hardware: dict[str, Any]) -> None:
    """At most the cycles asked for, and no more than 2 % below, counted by the hardware."""
    model, family = network
    cost = cycle_cost(NAME, model, drops(), clusters=clusters, hardware=hardware)
    budget = 0.8 * cost(family.at(1.0))
    found = fit(family, cost, budget, unit="cycles")
    outcome = simulate_network(options_for(found.pruned, tmp_path, clusters, hardware))
    assert not outcome.mismatch and found.share < 1
    assert 0.98 * budget <= outcome.run.cycles <= budget


def test_fit_of_two_hardwares_differs(network: tuple[Any, Magnitude]) -> None:
    """The same share of cycles is not the same plan on another array: that is why cycles are the cost."""
    model, family = network
    shares = []
    for clusters, hardware in ((1, {}), (8, {"groups": 2})):
        cost = cycle_cost(NAME, model, clusters=clusters, hardware=hardware)
        shares.append(fit(family, cost, 0.9 * cost(family.at(1.0))).share)
    assert abs(shares[0] - shares[1]) > 0.01


def test_margin_and_hardware(network: tuple[Any, Magnitude]) -> None:
    """The margin is added; a given configuration is taken."""
    model, family = network
    dense = family.at(1.0)
    config = config_for(skeleton(NAME, model, family.state), clusters=3)
    assert config == dense_hardware(NAME, model, 3)
    plain = cycle_cost(NAME, model, config=config, margin=0)(dense)
    assert cycle_cost(NAME, model, clusters=3)(dense) == pytest.approx((1 + MARGIN) * plain)


def test_errors(network: tuple[Any, Magnitude]) -> None:
    """Networks the accelerator cannot compute, or that do not fit, and budgets out of reach."""
    from algo.swin import build_swin

    model, family = network
    with pytest.raises(ConfigError, match="not a VisionTransformer"):
        cycle_cost("swin", build_swin("swin_tiny_patch4_window7_224"))
    small = dense_hardware(NAME, model).replace(max_hidden=64)
    with pytest.raises(ConfigError, match="hidden neurons"):
        cycle_cost(NAME, model, config=small)(family.at(1.0))
    with pytest.raises(ConfigError, match="no plan meets 10 cycles: even the smallest network needs"):
        fit(family, cycle_cost(NAME, model), 10, unit="cycles")
