"""The commands ``sievit prune``, ``sievit prune-table`` and ``sievit methods``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from flows.cli_base import AsJson, app, errors, print_json, progress_bars, screen
from flows.cli_options import AnyModel, CalibrationImages, Model, Seed, drop_layers_of, hardware_fields
from flows.contracts.errors import ConfigError

Weights = Annotated[Path | None, typer.Option(help="Dense weights with timm names (.safetensors, .pth). Default: "
                                                   "timm's pretrained ones, else made up from a seed.")]
Calibration = Annotated[Path | None, typer.Option(help="Pack or folder of calibration images. Default: crops of the "
                                                       "photographs in scikit-image.")]


@app.command()
def prune(
    out: Annotated[Path, typer.Option(help="Weights file to write (.safetensors).")],
    model: AnyModel = "deit_t",
    method: Annotated[str, typer.Option(help="Pruning method; 'sievit methods' lists them.")] = "second_order",
    weights: Weights = None,
    calibration: Calibration = None,
    calibration_images: CalibrationImages = None,
    keep: Annotated[float | None, typer.Option(help="Budget: share of the prunable work kept.")] = None,
    macs: Annotated[float | None, typer.Option(help="Budget: share of the dense network's MACs.")] = None,
    cycles: Annotated[float | None, typer.Option(help="Budget: cycles of one image, on the hardware below.")] = None,
    keep_tokens: Annotated[float | None, typer.Option(help="Share of patch tokens kept at every drop. Default: as the "
                                                           "weights were trained, else 1: none dropped.")] = None,
    drop_layers: Annotated[str | None, typer.Option(help="Blocks after whose attention tokens are dropped, as "
                                                         "3,6,9.")] = None,
    drop_mode: Annotated[str | None, typer.Option(help="topk or threshold.")] = None,
    threshold: Annotated[float | None, typer.Option(help="Threshold mode: smallest mean attention kept.")] = None,
    clusters: Annotated[int, typer.Option(help="For --cycles: MAC clusters of 256 MACs per cycle each.")] = 4,
    groups: Annotated[int, typer.Option(help="For --cycles: token groups: 1, 2, 4 or 8.")] = 1,
    hardware: Annotated[list[str] | None, typer.Option("--set", help="For --cycles: hardware field, as bus_bits=128; "
                                                                     "may be repeated.")] = None,
    option: Annotated[list[str] | None, typer.Option("--option", help="Option of the method, as damp=0.01; may be "
                                                                      "repeated.")] = None,
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Prune a network to a budget without training, and write its weights."""
    with errors():
        from algo.weights import save_weights
        from flows.prune_flow import PruneOptions, check_options, prune_network

        if out.suffix != ".safetensors":
            raise ConfigError(f"--out must end in .safetensors, not {out.name!r}")
        options = PruneOptions(
            model=model, weights=weights, method=method, method_options=method_options(option),
            calibration=calibration, calibration_images=calibration_images, seed=seed, keep=keep, macs=macs,
            cycles=cycles, keep_tokens=keep_tokens, drop_layers=drop_layers_of(drop_layers), drop_mode=drop_mode,
            threshold=threshold, clusters=clusters, hardware={"groups": groups, **hardware_fields(hardware)})
        check_options(options)
        with progress_bars(quiet=as_json) as show:
            outcome = prune_network(options, show)
        save_weights(outcome.pruned.state, out, outcome.facts)
        if as_json:
            print_json(outcome.report)
        else:
            screen.print(prune_summary(outcome.report, out), highlight=False)


@app.command(name="prune-table")
def prune_table(
    pack: Annotated[Path, typer.Argument(help="Pack of labelled images to score (.npz).")],
    out: Annotated[Path, typer.Option(help="JSON file to write, and the same as a table in .md beside it. Rows it "
                                           "holds already are not measured again.")],
    model: Model = "deit_t",
    weights: Weights = None,
    calibration: Calibration = None,
    calibration_images: CalibrationImages = None,
    macs: Annotated[str, typer.Option(help="Shares of the dense network's MACs.")] = ".9,.8,.7",
    methods: Annotated[str, typer.Option(help="Methods, as kwon,optin; or all.")] = "all",
    images: Annotated[int | None, typer.Option(help="Score only that many images.")] = None,
    seed: Seed = 0,
    fresh: Annotated[bool, typer.Option("--fresh", help="Measure rows again that the file holds.")] = False,
    as_json: AsJson = False,
) -> None:
    """Accuracy of every training-free pruning method at the same MACs."""
    with errors():
        from flows.prune_table import TableOptions, measure_table, rich_table

        options = TableOptions(model=model, weights=weights, pack=pack, calibration=calibration,
                               calibration_images=calibration_images, budgets=shares(macs), methods=names(methods),
                               images=images, seed=seed, fresh=fresh)
        with progress_bars(quiet=as_json) as show:
            content = measure_table(options, out, show)
        if as_json:
            print_json(content)
        else:
            screen.print(rich_table(content))
            screen.print(f"table: {escape(str(out))}", soft_wrap=True)


@app.command(name="methods")
def list_methods(as_json: AsJson = False) -> None:
    """List the pruning methods."""
    with errors():
        from algo.prune import method_names, method_spec

        specs = [method_spec(name) for name in method_names()]
        if as_json:
            print_json([{"name": spec.name, "needs": spec.needs, "architectures": spec.architectures,
                              "summary": spec.summary} for spec in specs])
            return
        for spec in specs:
            screen.print(f"{spec.name:20} {','.join(spec.architectures):9} needs {spec.needs:9} "
                         f"{escape(spec.summary)}", highlight=False, soft_wrap=True)


def method_options(items: list[str] | None) -> dict[str, Any]:
    """``damp=0.01`` and the like; values are JSON, or else text."""
    values: dict[str, Any] = {}
    for item in items or []:
        name, equals, text = item.partition("=")
        if not name or not equals:
            raise ConfigError(f"--option {item}: write name=value")
        try:
            values[name] = json.loads(text)
        except ValueError:
            values[name] = text
    return values


def shares(text: str) -> tuple[float, ...]:
    """``.9,.8`` as numbers above 0 and at most 1."""
    try:
        values = tuple(float(part) for part in text.split(","))
    except ValueError:
        raise ConfigError(f"--macs must be shares such as .9,.8,.7, not {text!r}") from None
    for value in values:
        if not 0 < value <= 1:
            raise ConfigError(f"--macs must be above 0 and at most 1, not {value:g}")
    return values


def names(text: str) -> tuple[str, ...] | None:
    """``kwon,optin`` as names; None for all."""
    return None if text == "all" else tuple(part.strip() for part in text.split(",") if part.strip())


def prune_summary(report: dict[str, Any], out: Path) -> Table:
    """What was done, in rows."""
    table = Table(title=escape(f"{out}: {report['model']} pruned by {report['method']}"), show_header=False)
    budget = report["budget"]
    rows = {
        "weights": escape(report["weights"]),
        f"{budget['unit']} / budget": f"{budget['cost']:,.0f} / {budget['limit']:,.0f}",
        "MACs": f"{report['macs']:,} ({report['macs_share']:.1%} of {report['dense_macs']:,})",
        "parameters": f"{report['parameters']:,} of {report['dense_parameters']:,}",
        **{f"{part} left": " ".join(map(str, report[part])) for part in ("heads", "neurons") if part in report},
        "blocks left": f"{len(report['blocks'])} layers pruned in blocks",
        "seconds": f"{report['seconds']:.1f}",
    }
    for name, value in rows.items():
        table.add_row(name, value)
    return table
