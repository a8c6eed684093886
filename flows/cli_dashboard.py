"""The command ``sievit dashboard``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from flows.cli_base import AsJson, app, errors, messages, print_json, progress_bars, screen


@app.command()
def dashboard(
    runs: Annotated[Path | None, typer.Option(help="Folder of runs. Default: SIEVIT_RUNS, else out/runs.")] = None,
    out: Annotated[Path, typer.Option(help="Folder to write.")] = Path("out/dashboard"),
    figures: Annotated[bool, typer.Option(help="Also draw figures for papers, SVG and PNG.")] = True,
    as_json: AsJson = False,
) -> None:
    """Draw every run that was kept: an HTML page each, an index, and figures for papers."""
    with errors():
        from flows.dashboard import build_dashboard

        with progress_bars(quiet=as_json) as show:
            built = build_dashboard(out, runs, figures=figures, report=show)
        if as_json:
            print_json({"index": str(built.index), "pages": {name: str(path) for name, path in built.pages.items()},
                        "figures": [str(path) for path in built.figures], "left_out": built.left_out})
            return
        for name, reason in built.left_out.items():
            messages.print(f"left out: {name}, its report is not as expected ({reason}); run its command again",
                           markup=False, highlight=False, soft_wrap=True)
        screen.print(f"{len(built.pages)} runs, {len(built.figures)} figures: open {escape(str(built.index))}",
                     soft_wrap=True, highlight=False)
