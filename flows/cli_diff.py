"""The command ``sievit diff``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from flows.cli_base import EXIT_MISMATCH, AsJson, app, errors, print_json, progress_bars, screen
from flows.cli_options import (
    ArtifactFile,
    BoardName,
    GivenClusters,
    GivenGroups,
    Hardware,
    Layers,
    given_hardware,
    one_of,
    with_export,
)


@app.command()
@with_export
def diff(
    export: Any,
    run: Annotated[Path | None, typer.Argument(help="Folder of a run that 'sievit sim' has left. Without it, the "
                                                    "options say what is run now.")] = None,
    image: Annotated[Path | None, typer.Option(help="Picture. Default: a photograph of a cat.")] = None,
    artifact: ArtifactFile = None,
    board: BoardName = None,
    clusters: GivenClusters = None,
    hardware: Hardware = None,
    groups: GivenGroups = None,
    layers: Layers = None,
    trace: Annotated[bool, typer.Option("--trace", help="Write a waveform (large: use --layers).")] = False,
    engine: Annotated[str, typer.Option(help="rtl: the simulated circuit. hls: the C++ models.")] = "rtl",
    as_json: AsJson = False,
) -> None:
    """Show the first integer in which a run differs from the golden model: place, cycle, meaning, and what follows.

    Exit status 0 when nothing differs, 1 when something does.
    """
    with errors():
        from flows.board_config import board_of, memory_of
        from flows.diff_flow import diff_of, report_of_diff
        from flows.diff_report import diff_tables
        from flows.runs.saved import load_run, run_now
        from flows.sim_flow import SimOptions, layers_of

        one_of("engine", engine, "rtl", "hls")
        if run is not None:
            saved = load_run(run)
        else:
            target = board_of(board)
            options = SimOptions(
                export=export, artifact=artifact, image=image, board=target, layers=layers_of(layers), trace=trace,
                hardware=given_hardware(clusters, groups, hardware), memory=memory_of(target, bandwidth=None))
            with progress_bars(quiet=as_json) as show:
                saved = run_now(options, engine, show)
        found = diff_of(saved)
        content = report_of_diff(found)
        if as_json:
            print_json(content)
        elif content["equal"]:
            screen.print(f"no difference: {content['checkpoints_compared']} checkpoints are equal")
        else:
            screen.print(diff_tables(found, content))
        if not content["equal"]:
            raise typer.Exit(EXIT_MISMATCH)
