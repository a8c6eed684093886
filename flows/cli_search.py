"""The command ``sievit search``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from flows.cli_base import AsJson, app, errors, messages, progress_bars, show_report
from flows.cli_options import (
    ArtifactFile,
    Hardware,
    given_hardware,
    with_export,
)

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
        from flows.runs import keep, stamp
        from flows.search import parse_limits
        from flows.search import search as find
        from flows.search.table import search_tables
        from flows.sim_flow import SimOptions, obtain_artifact

        facts, limits = load_board(board), parse_limits(limit)
        given = given_hardware(clusters, groups, hardware)
        options = SimOptions(artifact=artifact, export=export)
        with progress_bars(quiet=as_json) as show:
            network = obtain_artifact(options, lambda share: show("export", share))
            result = find(network, facts, latency_ms=latency_ms, limits=limits, fixed=given, report=show)
        content = {**stamp("search", artifact=network, config=result.choice.config if result.choice else None),
                   **result.to_dict()}
        keep(content, f"{network.model}-{facts.name}",
             [network.content_hash(), facts.name, latency_ms, limits, given])
        show_report(content, search_tables, out, as_json=as_json)
        if result.choice is None:
            messages.print(f"error: {result.reasons[0]}", markup=False, highlight=False, soft_wrap=True)
            raise typer.Exit(EXIT_NONE)
