"""Pruning a network to a budget: joins the methods of :mod:`algo.prune` with what a network may cost."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flows.contracts.errors import ConfigError
from flows.prune_work import Work, work_of

Progress = Callable[[str, float], None]

TOKEN_OPTIONS = ("keep_tokens", "drop_layers", "drop_mode", "threshold")


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
    from algo.models import model_spec
    from algo.prune import method_spec
    from algo.prune.budget import fit
    from algo.prune.subject import load_subject, trained_error

    check_options(options)
    spec, architecture = method_spec(options.method), model_spec(options.model).architecture
    check_architecture(options, architecture)
    if spec.needs == "training":
        raise trained_error(spec)
    start = time.perf_counter()
    with one_thread():
        subject, origin, given = load_subject(
            options.model, options.weights, options.calibration, images=options.calibration_images, seed=options.seed,
            synthetic=options.synthetic, options=options.method_options, progress=progress)
        tokens = _token_facts(options, given) if architecture == "vit" else {}
        subject = dataclasses.replace(subject, drops=_drops(subject, tokens) if architecture == "vit" else {})
        family, work = spec.function(subject), work_of(subject, architecture)
        cost, limit, unit = _budget(options, subject, work)
        if options.keep is None:
            fitted = fit(family, cost, limit, unit=unit)
            pruned, share, spent = fitted.pruned, fitted.share, fitted.cost
        else:
            pruned, share = family.at(options.keep), options.keep
            spent = cost(pruned)
    macs, budget = work.macs(pruned), {"unit": unit, "limit": limit, "cost": spent}
    facts = {**given, "origin": f"{given.get('origin', origin)}, pruned by {options.method}",
             "mean": list(subject.mean), "std": list(subject.std), "prune_method": options.method,
             "prune_budget": budget, "prune_seed": options.seed, **tokens}
    report = {
        "model": options.model, "weights": origin, "method": options.method, "budget": budget, "share": share,
        "macs": macs, "dense_macs": work.dense_macs, "macs_share": macs / work.dense_macs,
        "parameters": work.parameters(pruned), "dense_parameters": work.dense_parameters,
        **work.parts(pruned),
        "blocks": {name: float(mask.mean()) for name, mask in sorted(pruned.masks.items())},
        "calibration_images": len(subject.pixels), "seed": options.seed, "seconds": time.perf_counter() - start}
    return PruneOutcome(pruned, facts, report)


def check_architecture(options: PruneOptions, architecture: str) -> None:
    """Refuse what there is not for an architecture: methods, and for all but plain ViTs cycles and token drop.

    Raises
    ------
    ConfigError
        Naming the method or the option.
    """
    from algo.prune import method_names, method_spec

    if architecture not in method_spec(options.method).architectures:
        able = [name for name in method_names() if architecture in method_spec(name).architectures]
        raise ConfigError(f"method {options.method} cannot prune {options.model!r} (it is a {architecture.title()}); "
                          f"methods that can: {', '.join(able)}")
    if architecture == "vit":
        return
    if options.cycles is not None:
        raise ConfigError(f"model {options.model!r} cannot run on the accelerator (it is a {architecture.title()}) and "
                          "has no cycles; give --keep or --macs")
    for name in TOKEN_OPTIONS:
        if getattr(options, name) is not None:
            raise ConfigError(f"--{name.replace('_', '-')} is for plain ViTs; model {options.model!r} is a "
                              f"{architecture.title()}, which drops no tokens")


def _token_facts(options: PruneOptions, given: Mapping[str, Any]) -> dict[str, Any]:
    """Token drop as asked for, else as the weights' file says, in the words of such files."""
    asked = {name: value for name in TOKEN_OPTIONS if (value := getattr(options, name)) is not None}
    found = {name: given[name] for name in TOKEN_OPTIONS if name in given} | asked
    if "threshold" not in found:
        found.setdefault("keep_tokens", 1.0)
    if "drop_layers" in found:
        found["drop_layers"] = list(found["drop_layers"])
    return found


def _drops(subject: Any, tokens: Mapping[str, Any]) -> Mapping[int, Any]:
    from algo.export import DROP_LAYERS, resolve_layers, token_drops

    layers = resolve_layers(tokens.get("drop_layers", DROP_LAYERS), len(subject.model.blocks))
    return token_drops(subject.model, subject.pixels, subject.mean, subject.std, layers, tokens.get("keep_tokens", 0.7),
                       tokens.get("drop_mode", "topk"), tokens.get("threshold"))


def _budget(options: PruneOptions, subject: Any, work: Work) -> tuple[Callable[[Any], float], float, str]:
    """Cost function, limit and unit."""
    if options.cycles is not None:
        from flows.cycle_cost import cycle_cost

        cost = cycle_cost(options.model, subject.model, subject.drops, clusters=options.clusters,
                          hardware=options.hardware)
        return cost, options.cycles, "cycles"
    limit = options.macs * work.dense_macs if options.macs is not None else float(work.dense_macs)
    return work.macs, limit, "MACs"
