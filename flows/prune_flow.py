"""Pruning a network to a budget: joins the methods of :mod:`algo.prune` with what a network may cost."""

from __future__ import annotations

import dataclasses
import importlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flows.contracts.errors import ConfigError

Progress = Callable[[str, float], None]


@dataclass(frozen=True)
class PruneOptions:
    """What to prune, how, and to what budget.

    Attributes
    ----------
    model, weights, seed, synthetic : the dense network
    method : registry name
    method_options : the method's own options by name
    calibration, calibration_images : pack or folder of images, and at most how many of them
    keep, macs, cycles : budgets, one of them: share of the prunable work; share of the multiplications of the dense
        network without token drop; cycles of one image
    keep_tokens, drop_layers, drop_mode, threshold : token drop, as for :func:`algo.export.export`; by default as the
        weights were trained, else none
    clusters, hardware : the configuration whose cycles count, for ``cycles``
    """

    model: str = "deit_t"
    weights: Path | None = None
    method: str = "second_order"
    method_options: Mapping[str, Any] = field(default_factory=dict)
    calibration: Path | None = None
    calibration_images: int | None = None
    seed: int = 0
    synthetic: bool = False
    keep: float | None = None
    macs: float | None = None
    cycles: float | None = None
    keep_tokens: float | None = None
    drop_layers: tuple[int, ...] | None = None
    drop_mode: str | None = None
    threshold: float | None = None
    clusters: int = 4
    hardware: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class PruneOutcome:
    """A pruned network.

    Attributes
    ----------
    pruned : plan and weights
    facts : for the weights file
    report : figures, as JSON holds them
    """

    pruned: Any
    facts: dict[str, Any]
    report: dict[str, Any]


def check_options(options: PruneOptions) -> None:
    """Refuse impossible budgets before anything is loaded.

    Raises
    ------
    ConfigError
        When not exactly one budget is given, or it is out of range.
    """
    budgets = {name: value for name in ("keep", "macs", "cycles") if (value := getattr(options, name)) is not None}
    if len(budgets) != 1:
        raise ConfigError("give one budget: --keep, --macs or --cycles"
                          + (f", not {' and '.join('--' + name for name in budgets)}" if budgets else ""))
    (name, value), = budgets.items()
    if name == "cycles" and not value >= 1:
        raise ConfigError(f"--cycles must be at least 1, not {value:g}")
    if name != "cycles" and not 0 < value <= 1:
        raise ConfigError(f"--{name} must be above 0 and at most 1, not {value:g}")
    if options.calibration_images is not None and options.calibration_images < 1:
        raise ConfigError(f"--calibration-images must be at least 1, not {options.calibration_images}")


def prune_network(options: PruneOptions, progress: Progress | None = None) -> PruneOutcome:
    """Prune a network to a budget.

    Raises
    ------
    ConfigError
        For unknown names and budgets that cannot be met.
    WeightsError, ImageError
        When weights or images are unusable.
    """
    from algo.export import one_thread
    from algo.macs import count_work
    from algo.prune import method_spec
    from algo.prune.budget import fit
    from algo.prune.subject import load_subject, trained_error

    check_options(options)
    spec = method_spec(options.method)
    if spec.needs == "training":
        raise trained_error(spec)
    start = time.perf_counter()
    with one_thread():
        subject, origin, given = load_subject(
            options.model, options.weights, options.calibration, images=options.calibration_images, seed=options.seed,
            synthetic=options.synthetic, options=options.method_options, progress=progress)
        tokens = _token_facts(options, given)
        subject = dataclasses.replace(subject, drops=_drops(subject, tokens))
        family = spec.function(subject)
        cost, limit, unit = _budget(options, subject)
        if options.keep is None:
            fitted = fit(family, cost, limit, unit=unit)
            pruned, share, spent = fitted.pruned, fitted.share, fitted.cost
        else:
            pruned, share = family.at(options.keep), options.keep
            spent = cost(pruned)
    heads = subject.model.blocks[0].attn.num_heads
    dense = count_work(subject.model.state_dict(), heads)
    work = count_work(pruned.state, heads, subject.drops)
    budget = {"unit": unit, "limit": limit, "cost": spent}
    facts = {**given, "origin": f"{given.get('origin', origin)}, pruned by {options.method}",
             "mean": list(subject.mean), "std": list(subject.std), "prune_method": options.method,
             "prune_budget": budget, "prune_seed": options.seed, **tokens}
    report = {
        "model": options.model, "weights": origin, "method": options.method, "budget": budget, "share": share,
        "macs": work.macs, "dense_macs": dense.macs, "macs_share": work.macs / dense.macs,
        "parameters": work.parameters, "dense_parameters": dense.parameters,
        "heads": [int(mask.sum()) for mask in _rows(pruned.plan.heads, len(subject.model.blocks), heads)],
        "neurons": [len(pruned.state[f"blocks.{index}.mlp.fc1.bias"]) for index in range(len(subject.model.blocks))],
        "blocks": {name: float(mask.mean()) for name, mask in sorted(pruned.masks.items())},
        "calibration_images": len(subject.pixels), "seed": options.seed, "seconds": time.perf_counter() - start}
    return PruneOutcome(pruned, facts, report)


def _rows(kept: Mapping[int, Any], depth: int, heads: int) -> list[Any]:
    import numpy as np

    return [kept.get(index, np.ones(heads, dtype=bool)) for index in range(depth)]


def _token_facts(options: PruneOptions, given: Mapping[str, Any]) -> dict[str, Any]:
    """Token drop as asked for, else as the weights' file says, in the words of such files."""
    names = ("keep_tokens", "drop_layers", "drop_mode", "threshold")
    asked = {name: value for name in names if (value := getattr(options, name)) is not None}
    found = {name: given[name] for name in names if name in given} | asked
    if "threshold" not in found:
        found.setdefault("keep_tokens", 1.0)
    if "drop_layers" in found:
        found["drop_layers"] = list(found["drop_layers"])
    return found


def _drops(subject: Any, tokens: Mapping[str, Any]) -> Mapping[int, Any]:
    from algo.export import DROP_LAYERS, resolve_layers
    from algo.export import _drops as drops_of

    layers = resolve_layers(tokens.get("drop_layers", DROP_LAYERS), len(subject.model.blocks))
    return drops_of(subject.model, subject.pixels, subject.mean, subject.std, layers, tokens.get("keep_tokens", 0.7),
                    tokens.get("drop_mode", "topk"), tokens.get("threshold"))


def _budget(options: PruneOptions, subject: Any) -> tuple[Callable[[Any], float], float, str]:
    """Cost function, limit and unit."""
    from algo.macs import count_work

    if options.cycles is not None:
        return cycles_cost(options, subject), options.cycles, "cycles"
    heads = subject.model.blocks[0].attn.num_heads
    dense = count_work(subject.model.state_dict(), heads).macs
    limit = options.macs * dense if options.macs is not None else float(dense)
    return lambda pruned: count_work(pruned.state, heads, subject.drops).macs, limit, "MACs"


def cycles_cost(options: PruneOptions, subject: Any) -> Callable[[Any], float]:
    """Cycles that the compiler predicts for a pruned network on the chosen configuration."""
    module = importlib.import_module("flows.cycle_cost")
    return module.cycle_cost(options.model, subject.model, subject.drops, clusters=options.clusters,
                             hardware=options.hardware)
