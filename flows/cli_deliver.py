"""The commands ``verilog``, ``bitstream``, ``check-tcl`` and ``vivado-report``: from a network to a bitstream."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from flows.cli_base import EXIT_MISMATCH, AsJson, app, errors, messages, print_json, progress_bars, screen
from flows.cli_options import (
    ArtifactFile,
    GivenClusters,
    GivenGroups,
    Hardware,
    at_least,
    given_hardware,
    with_export,
)
from flows.contracts.errors import ConfigError

Deliverable = Annotated[Path, typer.Argument(help="Folder made by 'sievit verilog --board'.")]


@app.command()
@with_export
def verilog(
    export: Any,
    out: Annotated[Path, typer.Option(help="Folder to write.")] = Path("out"),
    board: Annotated[str | None, typer.Option(help="Board, a name of 'sievit boards' or a .yaml file: writes "
                                                   "everything that builds a bitstream, with program and driver. "
                                                   "Without: only vit_accel.v and hardware.json.")] = None,
    artifact: ArtifactFile = None,
    clusters: GivenClusters = None,
    groups: GivenGroups = None,
    hardware: Hardware = None,
    image: Annotated[Path | None, typer.Option(help="Picture of the run whose result goes into the folder. Default: a "
                                                    "photograph of a cat.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a folder of sievit's even if files in it were "
                                                        "changed or added.")] = False,
) -> None:
    """Generate the accelerator as Verilog, and for a board everything around it."""
    with errors():
        from flows.sim_flow import ExportOptions, SimOptions

        given = given_hardware(clusters, groups, hardware)
        if board is None:
            if export != ExportOptions() or image is not None:
                raise ConfigError("options of the model and --image need --board; without it give --artifact, or "
                                  "nothing for DeiT-Tiny")
            _plain_verilog(out, artifact, given)
            return
        with progress_bars() as show:
            source = SimOptions(export=export, artifact=artifact, image=image)
            params = _deliver(out, board, source, given, force, show)
        screen.print(f"{escape(str(out))}: {escape(params['network']['model'])} on "
                     f"{escape(params['board']['title'])}, configuration {params['config_hash_hex']}, "
                     f"{params['interfaces']['clock_mhz']:g} MHz; see README.md in it", soft_wrap=True)


def _plain_verilog(out: Path, artifact: Path | None, given: dict[str, Any]) -> None:
    """vit_accel.v and hardware.json, sized for an artifact or for DeiT-Tiny."""
    from flows.compile import config_for, default_config
    from flows.contracts.artifact import load_artifact
    from flows.contracts.files import replacing, write_json
    from sim.accelerator import verilog_of

    config = default_config(**given) if artifact is None else config_for(load_artifact(artifact), **given)
    text = verilog_of(config)
    with replacing(out / "vit_accel.v") as part:
        part.write_text(text)
    write_json(out / "hardware.json", {**config.to_dict(), "config_hash": f"{config.config_hash():08x}"})
    screen.print(f"{escape(str(out / 'vit_accel.v'))}: {config.macs_per_cycle} MACs per cycle, "
                 f"configuration {config.config_hash():08x}", soft_wrap=True)


def _deliver(out: Path, board_name: str, options: Any, given: dict[str, Any], force: bool, show: Any) -> dict[str, Any]:
    from boards.catalog import load_board
    from flows.board_config import config_on
    from flows.contracts.preprocess import load_image
    from flows.deliver.folder import check_replaceable, write_folder
    from flows.sim_flow import obtain_artifact

    board = load_board(board_name)
    check_replaceable(out, force=force)
    if options.image is not None:
        load_image(options.image)  # refused before anything is computed
    network = obtain_artifact(options, lambda share: show("export", share))
    config = config_on(network, board, fixed=given, report=show)
    return write_folder(network, config, board, out, picture=options.image, force=force, progress=show)


@app.command()
def bitstream(
    folder: Deliverable = Path("out"),
    jobs: Annotated[int, typer.Option(help="Processes of the vendor's tools.")] = 2,
) -> None:
    """Build the bitstream of a deliverable with Vivado (Vitis for Alveo), which has to be on the PATH."""
    with errors():
        from flows.deliver.tools import need_tools

        at_least("jobs", jobs, 1)
        need_tools(folder)
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
        done = subprocess.run(["make", "-C", str(folder), "bitstream", f"JOBS={jobs}"], check=False, env=environment)
        if done.returncode != 0:
            messages.print(f"error: no bitstream; the reason is above and in {folder}/reports", markup=False,
                           highlight=False, soft_wrap=True)
            raise typer.Exit(EXIT_MISMATCH)


@app.command(name="check-tcl")
def check_tcl(folder: Deliverable = Path("out"), as_json: AsJson = False) -> None:
    """Run a deliverable's scripts with stand-ins for the vendor's tools that check files, ports and options."""
    with errors():
        from flows.deliver.check import check_folder

        found = check_folder(folder)
        if as_json:
            print_json([{"target": item.target, "good": item.good, "errors": item.errors} for item in found])
        else:
            for item in found:
                screen.print(f"make {item.target}: {'good' if item.good else 'FAILED'}", markup=False, highlight=False)
        for item in found:
            if not item.good:
                messages.print(item.errors, markup=False, highlight=False, soft_wrap=True)
                raise typer.Exit(EXIT_MISMATCH)


@app.command(name="vivado-report")
def vivado_report(folder: Deliverable = Path("out"), as_json: AsJson = False) -> None:
    """What Vivado or Vitis reported about a deliverable: resources, timing, frequency. Kept for dashboards."""
    with errors():
        from flows.vendor import keep_vivado, vivado_record, vivado_tables

        content = vivado_record(folder)
        keep_vivado(content)
        if as_json:
            print_json(content)
        else:
            screen.print(vivado_tables(content))
        if content["config_hash"] is None:
            messages.print(f"{folder} has no params.json of 'sievit verilog --board': the record is about no "
                           "configuration, so pages of runs will not show it", markup=False, highlight=False,
                           soft_wrap=True)
