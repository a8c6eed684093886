"""The command ``sievit eval``."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from flows.cli_base import EXIT_MISMATCH, AsJson, app, errors, messages, progress_bars, screen, show_report
from flows.cli_options import (
    AnyModel,
    ArtifactFile,
    Balanced,
    Calibrate,
    Calibration,
    CalibrationImages,
    Clusters,
    DropLayers,
    DropMode,
    Groups,
    Hardware,
    KeepNeurons,
    Seed,
    Threshold,
    WeightBits,
    Weights,
    at_least,
    export_options,
    hardware_fields,
    one_of,
)
from flows.contracts.errors import ConfigError

if TYPE_CHECKING:
    from flows.sim_flow import ExportOptions


@app.command(name="eval")
def evaluate(
    pack: Annotated[Path, typer.Argument(help="Labelled images: a pack (.npz), or a folder with a subfolder per "
                                              "class.")],
    model: AnyModel = "deit_t",
    weights: Weights = None,
    keep_blocks: Annotated[float | None, typer.Option(help="Share of 16x16 weight blocks kept. Default: all that are "
                                                           "not zero.")] = None,
    keep_tokens: Annotated[float | None, typer.Option(help="Share of patch tokens kept at every drop. Default: as the "
                                                           "weights were trained, else 1: none dropped.")] = None,
    keep_neurons: KeepNeurons = 1.0,
    drop_layers: DropLayers = None,
    drop_mode: DropMode = None,
    threshold: Threshold = None,
    balanced: Balanced = False,
    calibration: Calibration = None,
    calibration_images: CalibrationImages = None,
    calibrate: Calibrate = None,
    weight_bits: WeightBits = None,
    seed: Seed = 0,
    artifact: ArtifactFile = None,
    images: Annotated[int | None, typer.Option(help="Score only that many images.")] = None,
    workers: Annotated[int | None, typer.Option(help="Parallel processes. Default: one per core.")] = None,
    clusters: Clusters = 4,
    groups: Groups = 1,
    hardware: Hardware = None,
    engine: Annotated[str, typer.Option(help="What computes the integers: golden (NumPy), or hls (the C++ models, "
                                             "compiled for this machine).")] = "golden",
    report: Annotated[Path | None, typer.Option(help="Also write the result as JSON.")] = None,
    as_json: AsJson = False,
) -> None:
    """Accuracy of float, fake-quantized and integer network on labelled images, and what the network costs.

    The integers of an artifact are scored without torch. Exit status 1 when fake-quantized and integer logits differ.
    Of a Swin there is only the float network.
    """
    with errors():
        from flows.accuracy import measure, measure_artifact
        from flows.contracts.artifact import load_artifact
        from flows.eval_report import report_of

        one_of("engine", engine, "golden", "hls")
        common: dict[str, Any] = {
            "images": images, "workers": None if workers is None else at_least("workers", workers, 1),
            "clusters": clusters, "hardware": {"groups": groups, **hardware_fields(hardware)}, "engine": engine}
        options = export_options(model, weights, 1.0 if keep_blocks is None else keep_blocks, keep_tokens, keep_neurons,
                                 drop_layers, drop_mode, threshold, balanced, calibration, calibration_images,
                                 calibrate, weight_bits, seed)
        if artifact is None and _is_swin(model):
            _evaluate_swin(pack, options, common, report, as_json=as_json)
            return
        with progress_bars(quiet=as_json) as show:
            if artifact is not None:
                result = measure_artifact(load_artifact(artifact), pack, progress=show, **common)
            else:
                result = measure(model, pack, progress=show, **common, **_dense_unless_trained(options))
        _show(pack, report_of(result), report, as_json=as_json)
        if result.differing_logits:
            messages.print(f"mismatch: {result.differing_logits} logits of the fake-quantized network are not those of "
                           "the integer network", highlight=False, soft_wrap=True)
            raise typer.Exit(EXIT_MISMATCH)


def _show(source: Path, content: dict[str, Any], report: Path | None, *, as_json: bool) -> None:
    from flows.cache import file_hash
    from flows.eval_report import tables
    from flows.runs import keep

    content["pack"] = file_hash(source)[:16]
    keep(content, f"{content['model']}-{source.stem}", [content["artifact_hash"], content["weights"], content["images"],
                                                        content["pack"]])
    if show_report(content, tables, report, as_json=as_json) and report is not None:
        screen.print(f"report: {escape(str(report))}", soft_wrap=True)


def _is_swin(model: str) -> bool:
    from algo.models import model_spec

    return model_spec(model).architecture == "swin"


def _evaluate_swin(pack: Path, options: ExportOptions, common: dict[str, Any], report: Path | None, *,
                   as_json: bool) -> None:
    from flows.swin_eval import measure_swin, swin_report

    _refuse_for_swin(options, common)
    with progress_bars(quiet=as_json) as show:
        result = measure_swin(options.model, pack, weights=options.weights, seed=options.seed, images=common["images"],
                              progress=show)
    _show(pack, swin_report(result), report, as_json=as_json)


def _refuse_for_swin(options: ExportOptions, common: dict[str, Any]) -> None:
    """Options that would change nothing are errors."""
    usual = type(options)(model=options.model, weights=options.weights, seed=options.seed, keep_blocks=1.0)
    given = [field.name for field in dataclasses.fields(options)
             if getattr(options, field.name) != getattr(usual, field.name)]
    hardware = common["hardware"]
    unused = {"workers": common["workers"] is not None, "clusters": common["clusters"] != 4,
              "groups": hardware["groups"] != 1, "set": len(hardware) > 1, "engine": common["engine"] != "golden"}
    given += [name for name, is_given in unused.items() if is_given]
    if given:
        raise ConfigError(f"eval of {options.model!r} (a Swin) is of the float network as it is, in one process; leave "
                          f"out --{given[0].replace('_', '-')}")


def _dense_unless_trained(options: ExportOptions) -> dict[str, Any]:
    """What is measured by default is the network as it is: no tokens are dropped that it was not trained to do without.

    Blocks of zeros are pruned in any case.
    """
    from algo.weights import read_facts

    arguments = options.arguments()
    trained = options.weights is not None and read_facts(options.weights)
    if not trained and not {"keep_tokens", "threshold"} & set(arguments):
        arguments["keep_tokens"] = 1.0
    return arguments
