"""The commands ``sievit hls`` and ``sievit hls-report``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from flows.cli_base import EXIT_MISMATCH, AsJson, app, errors, messages, print_json, progress_bars, screen
from flows.cli_options import (
    ArtifactFile,
    BoardName,
    GivenClusters,
    GivenGroups,
    Hardware,
    KeepBlocks,
    KeepTokens,
    Layers,
    Model,
    given_hardware,
)
from flows.contracts.errors import MismatchError

DEFAULT_BOARD = "zcu102"
"""Device and clock of a project that is for no board in particular."""


@app.command()
def hls(
    model: Model = "deit_t",
    artifact: ArtifactFile = None,
    keep_blocks: KeepBlocks = None,
    keep_tokens: KeepTokens = None,
    image: Annotated[list[Path] | None, typer.Option(help="Picture; may be repeated. Default: a photograph of a "
                                                          "cat.")] = None,
    layers: Layers = None,
    board: BoardName = None,
    clusters: GivenClusters = None,
    groups: GivenGroups = None,
    hardware: Hardware = None,
    out: Annotated[Path, typer.Option(help="Folder to write into.")] = Path("out/hls"),
) -> None:
    """Write the C++ models with vectors and a Vitis HLS project, and run their test bench compiled for this machine.

    Without --board the project is for the device of a ZCU102. Exit status 1 when models and golden model differ.
    """
    with errors():
        from boards.catalog import load_board
        from flows.board_config import board_of, memory_of
        from flows.hls_flow import vectors_of
        from flows.hls_folder import Target, run_testbench, write_hls_folder
        from flows.sim_flow import ExportOptions, SimOptions, default_image, layers_of

        chosen, given = board_of(board), given_hardware(clusters, groups, hardware)
        target = Target.of(chosen or load_board(DEFAULT_BOARD))
        options = SimOptions(
            export=ExportOptions(model=model, keep_blocks=keep_blocks, keep_tokens=keep_tokens), artifact=artifact,
            board=chosen, hardware=given, layers=layers_of(layers), memory=memory_of(chosen, bandwidth=None))
        with progress_bars() as show:
            vector = vectors_of(options, image or [default_image()], show)
            config = vector.program.config
            show("write", 0.0)
            write_hls_folder(out, config, [vector], target)
            show("write", 1.0)
            show("test bench", 0.0)
            try:
                verdict, exact = run_testbench(out / "vectors", config), True
            except MismatchError as error:
                verdict, exact = str(error), False
            show("test bench", 1.0)
        screen.print(escape(verdict), soft_wrap=True, highlight=False)
        screen.print(f"{escape(str(out))}: sources, vectors and run_hls.tcl for {escape(target.title)} at "
                     f"{target.clock_mhz:g} MHz (not run here: there is no Vitis HLS)", soft_wrap=True)
        if not exact:
            raise typer.Exit(EXIT_MISMATCH)


@app.command(name="hls-report")
def hls_report(
    source: Annotated[Path, typer.Argument(help="csynth.xml of Vitis HLS, or the folder of 'sievit hls' in which it "
                                                "has run.")],
    as_json: AsJson = False,
) -> None:
    """Figures of a Vitis HLS synthesis: clock, latency, resources, and the pipelined loops. Kept for dashboards."""
    with errors():
        from flows.hls_record import hls_record, keep_hls, synthesis_tables

        content = hls_record(source)
        keep_hls(content)
        if as_json:
            print_json(content)
        else:
            screen.print(synthesis_tables(content))
            if not content["meets_clock"]:
                messages.print(f"the estimated clock period, {content['estimated_ns']:g} ns, is above the target, "
                               f"{content['target_ns']:g} ns", highlight=False, soft_wrap=True)
        if content["config_hash"] is None:
            messages.print(f"{source} is not in a folder of 'sievit hls', or older than its files: the record is about "
                           "no configuration, so pages of runs will not show it", markup=False, highlight=False,
                           soft_wrap=True)
