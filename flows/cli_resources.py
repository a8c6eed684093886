"""The command ``sievit resources``: what the accelerator takes of an FPGA."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from flows.cli_base import AsJson, app, errors, messages, progress_bars, screen, show_report
from flows.cli_options import ArtifactFile, GivenClusters, GivenGroups, Hardware, at_least, given_hardware
from flows.contracts.errors import ConfigError

BoardName = Annotated[str | None, typer.Option(help="Board to compare with: a name of 'sievit boards', or a YAML file. "
                                                    "What is not given of the configuration is searched.")]
Family = Annotated[str | None, typer.Option(help="7series or ultrascale+. Default: the board's, or the multiplier's.")]


@app.command()
def resources(
    artifact: ArtifactFile = None,
    model: Annotated[str | None, typer.Option(help="Sizes of a model, as deit_s. Default: DeiT-Tiny's.")] = None,
    clusters: GivenClusters = None,
    groups: GivenGroups = None,
    hardware: Hardware = None,
    board: BoardName = None,
    family: Family = None,
    estimate: Annotated[bool, typer.Option("--estimate", help="Analytical model instead of synthesis.")] = False,
    workers: Annotated[int, typer.Option(help="Modules synthesized at the same time.")] = 1,
    paths: Annotated[bool, typer.Option("--paths", help="Also print each unit's longest path.")] = False,
    place: Annotated[list[str] | None, typer.Option(help="Instead: frequency of this unit after open place and route "
                                                         "on ECP5 (another family, not Xilinx). Repeatable.")] = None,
    out: Annotated[Path | None, typer.Option(help="Also write the report as JSON.")] = None,
    as_json: AsJson = False,
) -> None:
    """Resources and logic depth of the accelerator by open synthesis (Yosys), unit by unit, against a board."""
    with errors():
        from flows.resources.model import default_family
        from flows.resources.report import deep_units, table_of
        from flows.runs import keep

        at_least("workers", workers, 1)
        target = _board(board)
        config = _config(artifact, model, given_hardware(clusters, groups, hardware), target)
        if place:
            _place(config, place, out, as_json)
            return
        chosen = family or (target.family if target else default_family(config))
        report = (_estimate(config, chosen, target) if estimate
                  else _synthesize(config, chosen, target, workers, as_json))
        name = target.name if target else None
        keep(report, f"{name or chosen}-{report['source'].split()[0]}",
             [report["config_hash"], chosen, name, report["source"]])
        if not show_report(report, table_of, out, as_json=as_json):
            return
        if paths:
            _print_paths(report)
        for line in deep_units(report):
            screen.print(f"deep: {escape(line)}", soft_wrap=True, highlight=False)
        messages.print(report["note"], soft_wrap=True, highlight=False)


def _board(name: str | None) -> Any:
    if name is None:
        return None
    from boards.catalog import load_board

    return load_board(name)


def _config(artifact: Path | None, model: str | None, given: dict[str, Any], board: Any) -> Any:
    """The configuration that the options describe."""
    from flows.compile import config_for, default_config
    from flows.contracts.artifact import load_artifact

    if artifact is not None and model is not None:
        raise ConfigError("--artifact and --model exclude each other")
    network = load_artifact(artifact) if artifact is not None else _skeleton(model) if model is not None else None
    if board is not None:
        from flows.board_config import config_on
        from flows.shipped import shipped_artifact

        shipped = shipped_artifact("deit_t")
        return config_on(network or (load_artifact(shipped) if shipped else _skeleton("deit_t")), board, fixed=given)
    return default_config(**given) if network is None else config_for(network, **given)


def _skeleton(model: str) -> Any:
    """A network of that shape; its weights do not matter."""
    from algo.models import build_model
    from flows.cycle_cost import skeleton

    network = build_model(model)
    return skeleton(model, network, network.state_dict())


def _synthesize(config: Any, family: str, board: Any, workers: int, quiet: bool) -> dict[str, Any]:
    from flows.resources.accelerator import synthesize_accelerator
    from flows.resources.report import report_of

    with progress_bars(quiet=quiet) as show:
        result = synthesize_accelerator(config, family, workers, show)
    return report_of(result, config, board)


def _place(config: Any, units: list[str], out: Path | None, as_json: bool) -> None:
    """Place and route units, and show what they reach."""
    from flows.resources.place import place_units, placed_report, placed_table

    with progress_bars(quiet=as_json) as show:
        report = placed_report(place_units(config, units, progress=show), config)
    if show_report(report, placed_table, out, as_json=as_json):
        messages.print(report["note"], soft_wrap=True, highlight=False)


def _estimate(config: Any, family: str, board: Any) -> dict[str, Any]:
    from flows.resources.model import counts_of, shares_of
    from flows.resources.report import estimate_of

    return estimate_of(shares_of(config, family), counts_of(config), config, family, board)


def _print_paths(report: dict[str, Any]) -> None:
    for unit in report["units"]:
        if path := unit["path"]:
            screen.print(f"{unit['name']}: {path['luts']} LUTs, {path['carries']} carry cells, "
                         f"{path['multiplexers']} multiplexers from {path['start']} to {path['end']}", soft_wrap=True,
                         markup=False, highlight=False)
