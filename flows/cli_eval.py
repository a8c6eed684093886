"""The command ``sievit eval``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from flows.cli_base import EXIT_MISMATCH, AsJson, app, errors, messages, print_json, progress_bars, screen
from flows.cli_options import (
    ArtifactFile,
    Balanced,
    Calibrate,
    Calibration,
    Clusters,
    DropLayers,
    DropMode,
    Groups,
    Hardware,
    KeepNeurons,
    Model,
    Seed,
    Threshold,
    WeightBits,
    Weights,
    at_least,
    export_options,
    hardware_fields,
)

if TYPE_CHECKING:
    from flows.sim_flow import ExportOptions


@app.command(name="eval")
def evaluate(
    pack: Annotated[Path, typer.Argument(help="Labelled images: a pack (.npz), or a folder with a subfolder per "
                                              "class.")],
    model: Model = "deit_t",
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
    calibrate: Calibrate = None,
    weight_bits: WeightBits = None,
    seed: Seed = 0,
    artifact: ArtifactFile = None,
    images: Annotated[int | None, typer.Option(help="Score only that many images.")] = None,
    workers: Annotated[int | None, typer.Option(help="Parallel processes. Default: one per core.")] = None,
    clusters: Clusters = 4,
    groups: Groups = 1,
    hardware: Hardware = None,
    report: Annotated[Path | None, typer.Option(help="Also write the result as JSON.")] = None,
    as_json: AsJson = False,
) -> None:
    """Accuracy of float, fake-quantized and integer network on labelled images, and what the network costs.

    The integers of an artifact are scored without torch. Exit status 1 when fake-quantized and integer logits differ.
    """
    with errors():
        from flows.accuracy import measure, measure_artifact
        from flows.contracts.artifact import load_artifact
        from flows.eval_report import report_of, tables
        from flows.sim_flow import write_json

        common: dict[str, Any] = {
            "images": images, "workers": None if workers is None else at_least("workers", workers, 1),
            "clusters": clusters, "hardware": {"groups": groups, **hardware_fields(hardware)}}
        options = export_options(model, weights, 1.0 if keep_blocks is None else keep_blocks, keep_tokens, keep_neurons,
                                 drop_layers, drop_mode, threshold, balanced, calibration, calibrate, weight_bits, seed)
        with progress_bars(quiet=as_json) as show:
            if artifact is not None:
                result = measure_artifact(load_artifact(artifact), pack, progress=show, **common)
            else:
                result = measure(model, pack, progress=show, **common, **_dense_unless_trained(options))
        content = report_of(result)
        if report is not None:
            write_json(report, content)
        if as_json:
            print_json(content)
        else:
            screen.print(tables(result))
            if report is not None:
                screen.print(f"report: {escape(str(report))}", soft_wrap=True)
        if result.differing_logits:
            messages.print(f"mismatch: {result.differing_logits} logits of the fake-quantized network are not those of "
                           "the integer network", highlight=False, soft_wrap=True)
            raise typer.Exit(EXIT_MISMATCH)


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
