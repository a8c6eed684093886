"""The command ``sievit``: thin wrappers that turn options into calls, and errors into one line."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

import flows.cli_boards
import flows.cli_dashboard
import flows.cli_deliver
import flows.cli_diff
import flows.cli_eval
import flows.cli_hls
import flows.cli_prune
import flows.cli_report
import flows.cli_resources
import flows.cli_search
import flows.cli_sweep
import flows.cli_train  # noqa: F401 - these add their commands
from flows.cli_base import EXIT_MISMATCH, AsJson, app, errors, messages, print_json, progress_bars, screen
from flows.cli_options import (
    ArtifactFile,
    BoardName,
    GivenClusters,
    GivenGroups,
    Hardware,
    Layers,
    at_least,
    given_hardware,
    one_of,
    with_export,
)
from flows.contracts.errors import ConfigError


@app.command()
@with_export
def sim(
    export: Any,
    image: Annotated[list[Path] | None, typer.Option(help="Picture; may be repeated: several run back to back "
                                                          "(throughput mode). Default: a photograph of a cat.")] = None,
    repeat: Annotated[int, typer.Option(help="Run the images that many times over.")] = 1,
    artifact: ArtifactFile = None,
    board: BoardName = None,
    clusters: GivenClusters = None,
    hardware: Hardware = None,
    groups: GivenGroups = None,
    layers: Layers = None,
    latency: Annotated[int, typer.Option(help="Memory: cycles from address to data.")] = 100,
    bandwidth: Annotated[float | None, typer.Option(help="Memory: bytes per cycle; 0 for the bus width. Default: 0, "
                                                         "or what the memory of --board gives.")] = None,
    stall: Annotated[int, typer.Option(help="Memory: percent of cycles in which a channel pauses.")] = 0,
    trace: Annotated[bool, typer.Option("--trace", help="Write a waveform (large: use --layers).")] = False,
    engine: Annotated[str, typer.Option(help="rtl: the simulated circuit. hls: the C++ models, compiled for this "
                                             "machine; no cycles, but hundreds of times faster.")] = "rtl",
    report: Annotated[Path, typer.Option(help="Where the report goes.")] = Path("report.json"),
    run_dir: Annotated[Path | None, typer.Option(help="Leave the run here for 'sievit diff'. Default: only a run that "
                                                      "differs stays, below build/runs.")] = None,
    as_json: AsJson = False,
) -> None:
    """Run a network on the simulated accelerator and compare every integer with the golden model."""
    with errors():
        from flows.batch_flow import simulate_batch
        from flows.batch_report import batch_tables, report_of_batch
        from flows.board_config import board_of, memory_of
        from flows.contracts.files import write_json
        from flows.hls_flow import simulate_hls
        from flows.hls_report import hls_tables, report_of_hls
        from flows.runs.saved import save_outcome
        from flows.runs.simulation import keep_simulation
        from flows.sim_flow import SimOptions, default_image, layers_of, simulate_network
        from flows.sim_report import report_of, tables

        target, given = board_of(board), given_hardware(clusters, groups, hardware)
        pictures = (image or [default_image()]) * at_least("repeat", repeat, 1)
        options = SimOptions(
            export=export, artifact=artifact, image=pictures[0], board=target, hardware=given, layers=layers_of(layers),
            memory=memory_of(target, latency=at_least("latency", latency, 1), stall=_percent("stall", stall),
                             bandwidth=None if bandwidth is None else at_least("bandwidth", bandwidth, 0)),
            trace=trace, run_dir=run_dir)
        one_of("engine", engine, "rtl", "hls")
        with progress_bars(quiet=as_json) as show:
            if engine == "hls":
                modelled = simulate_hls(options, pictures, show)
                content = report_of_hls(modelled)
                shown = hls_tables(content)
                outcomes = modelled.images
            elif len(pictures) > 1:
                several = simulate_batch(options, pictures, show)
                content = report_of_batch(several)
                shown = batch_tables(content)
                outcomes = several.images
            else:
                outcome = simulate_network(options, show)
                content = report_of(outcome)
                shown = tables(content)
                outcomes = (outcome,)
        content["memory"] = dataclasses.asdict(options.memory)
        write_json(report, content)
        folder = keep_simulation(options, outcomes, content)
        saved = save_outcome(outcomes, options, engine)
        if as_json:
            print_json(content)
        else:
            screen.print(shown)
            screen.print(f"report: {escape(str(report))}, kept for dashboards in {escape(str(folder))}", soft_wrap=True)
            if run_dir is not None and not content["mismatch"]:
                screen.print(f"run: {escape(str(saved))}", soft_wrap=True)
        if content["mismatch"]:
            messages.print(f"mismatch: {content['mismatch']}", markup=False, highlight=False, soft_wrap=True)
            messages.print(f"to look into it: sievit diff {saved}", markup=False, highlight=False, soft_wrap=True)
            raise typer.Exit(EXIT_MISMATCH)


@app.command()
@with_export
def export(
    export: Any,
    out: Annotated[Path, typer.Option(help="Artifact file to write.")],
) -> None:
    """Prune and quantize a model into one artifact file."""
    with errors():
        from algo.export import export as export_model
        from flows.contracts.artifact import save_artifact

        with progress_bars() as show:
            artifact = export_model(export.model, **export.arguments(), progress=show)
        save_artifact(artifact, out)
        screen.print(f"{escape(str(out))}: {artifact.model}, weights: {escape(artifact.weights)}", soft_wrap=True)


@app.command(name="compile")
def compile_command(
    artifact: Annotated[Path, typer.Argument(help="Artifact made by 'sievit export'.")],
    out: Annotated[Path | None, typer.Option(help="Program file to write.")] = None,
    board: BoardName = None,
    clusters: GivenClusters = None,
    groups: GivenGroups = None,
    hardware: Hardware = None,
    as_json: AsJson = False,
) -> None:
    """Compile an artifact: schedule, lower bound, expected cycles, and the program file."""
    with errors():
        from flows.board_config import board_of, hardware_on
        from flows.compile import compile_program, save_program, summary
        from flows.contracts.artifact import load_artifact

        target, given = board_of(board), given_hardware(clusters, groups, hardware)
        network = load_artifact(artifact)
        with progress_bars(quiet=as_json) as show:
            config = hardware_on(network, target, given, report=show)
        program = compile_program(network, config)
        if out is not None:
            save_program(program, out)
        if as_json:
            print_json({"manifest": program.manifest, "hardware": program.config.to_dict()})
        else:
            screen.print(summary(program))


@app.command()
def bench(
    model: Annotated[str | None, typer.Option(help="One model. Default: deit_t.")] = None,
    models: Annotated[str | None, typer.Option(help="Several models, as deit_t,deit_s.")] = None,
    board: Annotated[str | None, typer.Option(help="Instead of array sizes, the configuration that the search chooses "
                                                   "for this board, a name of 'sievit boards'.")] = None,
    simulate: Annotated[bool, typer.Option("--simulate", help="Run every row on the simulated RTL.")] = False,
    quick: Annotated[bool, typer.Option("--quick", help="Leave out compile times and golden model's speed.")] = False,
    check: Annotated[bool, typer.Option("--check", help="Compare the ratios with the baseline; exit 1 when one is "
                                                        "worse by more than 2 %. Synthetic weights, --quick.")] = False,
    record: Annotated[bool, typer.Option("--record", help="Write the ratios as the new baseline. Synthetic weights, "
                                                          "--quick.")] = False,
    baseline: Annotated[Path | None, typer.Option(help="Another baseline file.")] = None,
    report: Annotated[Path | None, typer.Option(help="Also write rows and published figures as JSON.")] = None,
    as_json: AsJson = False,
) -> None:
    """Schedule quality, cycles and utilization, dense and pruned, over array sizes, beside published figures."""
    with errors():
        from flows.bench import BenchOptions, bench_rows
        from flows.bench_check import BASELINE, load_baseline, models_in
        from flows.bench_check import record as record_baseline
        from flows.board_config import board_of
        from flows.contracts.files import write_json
        from flows.published import load_published
        from flows.runs import keep, stamp

        if check and record:
            raise ConfigError("--check and --record exclude each other")
        if board is not None and (check or record):
            raise ConfigError("--check and --record are about array sizes: without --board")
        file = baseline or BASELINE
        before = load_baseline(file) if check else []
        options = BenchOptions(models=_models(model, models) or models_in(before) or ("deit_t",), simulate=simulate,
                               quick=quick or check or record, synthetic=check or record, board=board_of(board))
        systems = load_published()
        with progress_bars(quiet=as_json) as show:
            rows = bench_rows(options, show)
        content = {**stamp("bench"), "rows": rows, "published": [system.as_dict() for system in systems]}
        keep(content, "-".join(options.models), dataclasses.asdict(options))
        if report is not None:
            write_json(report, content)
        if record:
            record_baseline(rows, file)
            messages.print(f"recorded {len(rows)} rows in {file}", markup=False, highlight=False, soft_wrap=True)
        if as_json:
            print_json(content)
        else:
            _show_bench(rows, [] if check or record else systems)
        if any(row["bit_exact"] is False for row in rows):
            raise typer.Exit(EXIT_MISMATCH)
        if check:
            _judge(rows, before)


def _models(model: str | None, models: str | None) -> tuple[str, ...]:
    if model and models:
        raise ConfigError("give --model or --models, not both")
    names = tuple(name.strip() for name in (models or model or "").split(",") if name.strip())
    if (models or model) and len(set(names)) != len(names):
        raise ConfigError(f"--models names a model twice: {models}")
    return names


def _show_bench(rows: list[dict[str, Any]], systems: Sequence[Any]) -> None:
    from flows.bench_table import bench_tables, published_table

    for table in [*bench_tables(rows), *([published_table(systems)] if systems else [])]:
        screen.print(table)
    for text in sorted({f"{row['model']}: weights {row['weights']}" for row in rows}):
        screen.print(escape(text))


def _judge(rows: list[dict[str, Any]], before: list[dict[str, Any]]) -> None:
    """Print the verdict of the check; exit 1 when something is worse."""
    from flows.bench_check import RECORD
    from flows.bench_check import check as check_rows

    verdict = check_rows(rows, before)
    for line in verdict.worse:
        messages.print(f"worse: {line}", markup=False, highlight=False, soft_wrap=True)
    if verdict.worse:
        raise typer.Exit(EXIT_MISMATCH)
    for line in verdict.better:
        messages.print(f"better: {line}", markup=False, highlight=False, soft_wrap=True)
    note = f"; improved; run {RECORD} to record" if verdict.better else ""
    messages.print(f"bench check: {verdict.rows} rows are no more than 2 % worse than the baseline{note}",
                   highlight=False, soft_wrap=True)


@app.command()
def models(as_json: AsJson = False) -> None:
    """List the registered models."""
    with errors():
        from algo.models import model_names, model_spec

        specs = [model_spec(name) for name in model_names()]
        if as_json:
            print_json([{"name": spec.name, "architecture": spec.architecture, "timm": spec.timm_name,
                         "pretrained": spec.pretrained} for spec in specs])
            return
        for spec in specs:
            screen.print(f"{spec.name:12} {spec.architecture:5} timm {spec.timm_name}"
                         + ("" if spec.pretrained else ", no trained weights"), highlight=False)


def _percent(name: str, value: int) -> int:
    if not 0 <= value < 100:
        raise ConfigError(f"--{name} must be 0 to 99 percent, not {value}")
    return value


def main() -> None:
    """Entry point."""
    app()


if __name__ == "__main__":
    main()
