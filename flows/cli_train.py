"""The command ``sievit train``."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated, Any

import typer

from flows.cli_base import AsJson, app, errors, print_json, progress_bars, screen
from flows.contracts.errors import ConfigError

DEMO = Path(__file__).resolve().parent.parent / "algo" / "train" / "demo.yaml"
Config = Annotated[Path, typer.Option(help="Recipe (YAML), see docs/training.md and the ones in docs/results. Default: "
                                           "half a minute on photographs that scikit-image ships.", show_default=False)]
Changes = Annotated[list[str] | None, typer.Option("--set", help="Field of the recipe to change, as "
                                                                 "prune.budget.keep=0.3; may be repeated.")]


@app.command()
def train(
    config: Config = DEMO,
    out: Annotated[Path | None, typer.Option(help="Folder for checkpoint, log, curves and weights. Default: "
                                                  "build/train/NAME of the recipe's file.")] = None,
    changes: Changes = None,
    restart: Annotated[bool, typer.Option("--restart", help="Begin again although there is a checkpoint.")] = False,
    as_json: AsJson = False,
) -> None:
    """Train a network as a recipe says: pruned, with token drop, taught by a dense network; goes on where it stopped.

    For many GPUs or hosts: torchrun --nproc-per-node 8 -m flows.cli train --config recipe.yaml
    """
    with errors():
        from algo.train.recipe import load_recipe
        from algo.train.run import train as train_network
        from flows.train_flow import share_of

        recipe = load_recipe(config, dict(_change(item) for item in changes or []))
        folder = out or Path("build/train") / config.stem
        with progress_bars(quiet=as_json or os.environ.get("RANK", "0") != "0") as show:
            trained = train_network(recipe, folder, restart=restart, share_of=share_of(recipe), progress=show)
        if trained is None:  # another process writes
            return
        if as_json:
            print_json({"weights": str(trained.weights), "evaluations": trained.record.evaluations})
            return
        last = trained.record.evaluations[-1]
        screen.print(f"{trained.weights}: top-1 {last['top1']:.2%} of {last['images']} images, "
                     f"{last['kept_weights']:.1%} of the encoder's weights, tokens {last['kept_tokens']:g}",
                     markup=False, highlight=False, soft_wrap=True)


def _change(item: str) -> tuple[str, Any]:
    name, sign, text = item.partition("=")
    if not sign or not name:
        raise ConfigError(f"--set {item}: give a field and a value, as epochs=2")
    try:
        return name, json.loads(text)
    except ValueError:
        return name, text
