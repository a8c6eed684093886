"""The command ``sievit search``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Group
from rich.markup import escape
from rich.table import Table

from flows.cli_base import AsJson, app, errors, messages, print_json, progress_bars, screen
from flows.cli_options import (
    ArtifactFile,
    Hardware,
    given_hardware,
    with_export,
)
from flows.contracts.resources import KINDS
from flows.search import Point, SearchResult, parse_limits

EXIT_NONE = 1
"""Exit status when no configuration fits or reaches the target."""


@app.command()
@with_export
def search(
    export: Any,
    board: Annotated[str, typer.Option(help="Board: a name of 'sievit boards', or a .yaml file.")],
    latency_ms: Annotated[float | None, typer.Option(help="Take the smallest configuration with at most this time per "
                                                          "image. Default: the fastest that fits.")] = None,
    limit: Annotated[list[str] | None, typer.Option(help="Share of a resource that may be used, as lut=.6; may be "
                                                         "repeated. Default: lut=.7 ff=.5 dsp=.8 bram36=.8 "
                                                         "uram=.8.")] = None,
    artifact: ArtifactFile = None,
    clusters: Annotated[int | None, typer.Option(help="Only configurations with that many clusters.")] = None,
    groups: Annotated[int | None, typer.Option(help="Only configurations with that many token groups.")] = None,
    hardware: Hardware = None,
    out: Annotated[Path | None, typer.Option(help="Also write the result as JSON.")] = None,
    as_json: AsJson = False,
) -> None:
    """Find the hardware configuration to build for a network on a board, with its reasons."""
    with errors():
        from boards.catalog import load_board
        from flows.search import search as find
        from flows.sim_flow import SimOptions, obtain_artifact, write_json

        facts, limits = load_board(board), parse_limits(limit)
        given = given_hardware(clusters, groups, hardware)
        options = SimOptions(artifact=artifact, export=export)
        with progress_bars(quiet=as_json) as show:
            network = obtain_artifact(options, lambda share: show("export", share))
            result = find(network, facts, latency_ms=latency_ms, limits=limits, fixed=given, report=show)
        if out is not None:
            write_json(out, result.to_dict())
        if as_json:
            print_json(result.to_dict())
        else:
            screen.print(search_tables(result))
        if result.choice is None:
            messages.print(f"error: {result.reasons[0]}", markup=False, highlight=False, soft_wrap=True)
            raise typer.Exit(EXIT_NONE)


def search_tables(result: SearchResult) -> Group:
    """The Pareto set, the choice marked, and the reasons."""
    board = result.board
    table = Table(title=escape(f"{result.model} on {board.name} ({board.part}) at {board.clock_mhz:g} MHz, memory "
                               f"{board.memory.usable_gbs:g} GB/s"), title_justify="left")
    table.add_column("")
    for title in ("clusters x groups", "cycles/row", "stream, bus", "ms", "images/s"):
        table.add_column(title, justify="right")
    for kind in KINDS:
        table.add_column(kind, justify="right")
    for point in result.pareto:
        table.add_row(*_row(point, chosen=point is result.choice))
    limits = ", ".join(f"{kind} {share:.0%}" for kind, share in result.limits.items())
    counts = (f"{result.considered} configurations, {result.fitting} within the limits ({limits}), {result.evaluated} "
              "judged by the cycle model")
    note = "shares are the largest of any die; clock and resources are targets and estimates, not placed and routed"
    # The first reason of a failure is the error message.
    lines = (counts, note, *(result.reasons if result.choice else result.reasons[1:]))
    return Group(*([table] if result.pareto else []), *(escape(f"- {line}") for line in lines))


def _row(point: Point, *, chosen: bool) -> list[str]:
    config = point.config
    return ["[bold green]>[/]" if chosen else "", f"{config.clusters} x {config.groups}",
            str(config.row_cycles), f"{config.stream_bits}, {config.bus_bits}", f"{point.milliseconds:.3f}",
            f"{point.images_per_second:,.0f}",
            *(f"{point.placement.share(kind):.0%}" for kind in KINDS)]
