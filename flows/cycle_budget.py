"""Pruning to a number of cycles, checked in simulated RTL: what was asked for, predicted, and counted by the hardware.

``python -m flows.cycle_budget --help`` shows the options; :func:`measure` is the same as a function.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from flows.contracts.errors import ConfigError, SievitError
from flows.contracts.files import write_json
from flows.cycle_cost import MARGIN, cycle_cost, dense_hardware
from flows.sim_flow import ExportOptions, SimOptions, default_image, simulate_network


@dataclass(frozen=True)
class BudgetOptions:
    """What to prune, and for which hardware.

    Attributes
    ----------
    model, weights : the dense network
    method : registry name
    calibration : images for methods that need them, and for quantization
    images : calibration images to take
    cycles : budget of one image
    clusters, hardware : the accelerator
    keep_tokens : share of tokens kept at each of the default drops
    seed : choice of calibration images
    image : what is classified; a photograph of a cat by default
    """

    model: str
    weights: Path | None
    method: str
    calibration: Path | None
    cycles: int
    images: int = 64
    clusters: int = 4
    hardware: dict[str, Any] = field(default_factory=dict)
    keep_tokens: float = 0.7
    seed: int = 0
    image: Path | None = None


@dataclass(frozen=True)
class BudgetRow:
    """Outcome of one budget; ``below`` is how far the RTL stays below it, ``weights`` the share of weights left."""

    model: str
    method: str
    clusters: int
    groups: int
    budget: int
    predicted: int
    rtl: int
    below: float
    share: float
    weights: float
    bit_exact: bool
    evaluations: int
    fit_seconds: float


def measure(options: BudgetOptions, folder: Path) -> BudgetRow:
    """Prune to a budget, export, compile, and run the whole network in RTL.

    Parameters
    ----------
    options : network, method, budget, hardware
    folder : where the pruned weights go

    Raises
    ------
    SievitError
        For unusable options, a budget that no plan meets, and failures of the simulator.
    """
    from algo.prune.budget import fit
    from algo.weights import save_weights

    subject, family = _family(options)
    config = dense_hardware(options.model, subject.model, options.clusters, **options.hardware)
    cost = cycle_cost(options.model, subject.model, subject.drops, config=config)
    calls: list[float] = []

    def counted(pruned: Any) -> float:
        calls.append(cost(pruned))
        return calls[-1]

    begin = time.monotonic()
    found = fit(family, counted, options.cycles, unit="cycles")
    seconds = time.monotonic() - begin
    file = folder / f"{options.model}-{options.method}-{options.cycles}.safetensors"
    save_weights(found.pruned.state, file, {"method": options.method, "cycles": options.cycles})
    export = ExportOptions(options.model, weights=file, keep_blocks=1.0, keep_tokens=options.keep_tokens,
                           calibration=options.calibration, seed=options.seed)
    # every field is given, as the pruned network would fit smaller hardware
    outcome = simulate_network(SimOptions(export=export, hardware=config.to_dict(),
                                          image=options.image or default_image()))
    left = sum(int(np.count_nonzero(tensor.numpy())) for name, tensor in found.pruned.state.items()
               if name.startswith("blocks.") and tensor.dim() == 2)
    dense = sum(tensor.numel() for name, tensor in subject.model.state_dict().items()
                if name.startswith("blocks.") and tensor.dim() == 2)
    return BudgetRow(
        options.model, options.method, options.clusters, outcome.config.groups, options.cycles, round(found.cost),
        outcome.run.cycles, round(1 - outcome.run.cycles / options.cycles, 4), round(found.share, 4),
        round(left / dense, 4), not outcome.mismatch, len(calls), round(seconds, 1))


def table(rows: Sequence[BudgetRow]) -> str:
    """The rows as a Markdown table."""
    lines = ["| network, method | MACs per cycle | budget | predicted | RTL | below budget | weights left | exact |",
             "|---|---|---|---|---|---|---|---|"]
    lines += [f"| {row.model}, {row.method} | {256 * row.clusters * row.groups} ({row.clusters} x {row.groups}) "
              f"| {row.budget:,} | {row.predicted:,} | {row.rtl:,} | {row.below:.2%} | {row.weights:.1%} "
              f"| {'yes' if row.bit_exact else 'NO'} |" for row in rows]
    return "\n".join(lines) + "\n"


def _family(options: BudgetOptions) -> tuple[Any, Any]:
    """The dense network with its images and token drop, and the method's ranking of it."""
    from algo.export import DROP_LAYERS, resolve_layers, token_drops
    from algo.prune import method_spec
    from algo.prune.subject import load_subject

    spec = method_spec(options.method)
    if spec.needs not in ("nothing", "images"):
        raise ConfigError(f"method {options.method!r} needs {spec.needs}; choose one that needs images at most")
    subject, _, _ = load_subject(options.model, options.weights, options.calibration, images=options.images,
                                 seed=options.seed)
    layers = resolve_layers(DROP_LAYERS, len(subject.model.blocks))
    drops = token_drops(subject.model, subject.pixels, subject.mean, subject.std, layers, options.keep_tokens, "topk",
                        None)
    subject = replace(subject, drops=drops)
    return subject, spec.function(subject)


def main(arguments: Sequence[str] | None = None) -> int:
    """One budget per call; rows gather in a JSON file, and all of them are printed as a table."""
    parser = argparse.ArgumentParser(prog="python -m flows.cycle_budget", description=__doc__)
    parser.add_argument("--model", default="deit_t")
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--method", default="dimap")
    parser.add_argument("--calibration", type=Path)
    parser.add_argument("--cycles", type=int, required=True)
    parser.add_argument("--clusters", type=int, default=4)
    parser.add_argument("--groups", type=int, default=1)
    parser.add_argument("--keep-tokens", type=float, default=0.7)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("docs/results/cycle_budget.json"))
    given = parser.parse_args(arguments)
    options = BudgetOptions(given.model, given.weights, given.method, given.calibration, given.cycles,
                            clusters=given.clusters, hardware={"groups": given.groups}, keep_tokens=given.keep_tokens,
                            seed=given.seed)
    try:
        row = measure(options, Path("build") / "cycle_budget")
    except SievitError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    rows = _rows(given.out)
    same = [place for place, old in enumerate(rows) if _key(old) == _key(row)]
    if same:
        rows[same[0]] = row
    else:
        rows.append(row)
    write_json(given.out, {"margin": MARGIN, "rows": [asdict(item) for item in rows]})
    print(table(rows), end="")
    return 0 if row.bit_exact else 1


def _rows(file: Path) -> list[BudgetRow]:
    return [BudgetRow(**row) for row in json.loads(file.read_text())["rows"]] if file.is_file() else []


def _key(row: BudgetRow) -> tuple[object, ...]:
    return row.model, row.method, row.clusters, row.groups, row.budget


if __name__ == "__main__":
    raise SystemExit(main())
