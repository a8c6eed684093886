"""What all commands share: the application, the screen, progress bars, and errors as one line."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console, RenderableType
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from flows.contracts.errors import SievitError

app = typer.Typer(name="sievit", no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False,
                  help="Vision Transformers with pruned weights and dropped tokens, from PyTorch to bit-exact RTL.")
# Where output goes into a file, tables are wide enough for every column.
screen = Console(width=None if sys.stdout.isatty() else 120)
messages = Console(stderr=True)

EXIT_MISMATCH = 1
EXIT_ERROR = 2

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]


@contextmanager
def errors() -> Iterator[None]:
    """One line on stderr and exit status 2 for every error a user can cause."""
    try:
        yield
    except SievitError as error:
        messages.print(f"error: {error}", markup=False, highlight=False, soft_wrap=True)
        raise typer.Exit(EXIT_ERROR) from None
    except KeyboardInterrupt:
        messages.print("interrupted")
        raise typer.Exit(130) from None


@contextmanager
def progress_bars(*, quiet: bool = False) -> Iterator[Callable[[str, float], None]]:
    """A bar for every stage; stages appear as they begin."""
    columns = (TextColumn("{task.description:18}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    with Progress(*columns, console=messages, disable=quiet) as progress:
        tasks: dict[str, Any] = {}

        def show(stage: str, share: float) -> None:
            if stage not in tasks:
                tasks[stage] = progress.add_task(stage, total=1.0)
            progress.update(tasks[stage], completed=share)

        yield show


def show_report(content: Mapping[str, Any], tables: Callable[[Mapping[str, Any]], RenderableType], out: Path | None, *,
                as_json: bool) -> bool:
    """How a command ends: its report goes into a file when one is given, and on the screen as JSON or as tables.

    Returns
    -------
    bool
        Whether tables were shown, so that words may follow.
    """
    from flows.contracts.files import write_json

    if out is not None:
        write_json(out, content)
    if as_json:
        print_json(content)
    else:
        screen.print(tables(content))
    return not as_json


def print_json(content: object) -> None:
    """JSON on the standard output."""
    sys.stdout.write(json.dumps(content, indent=2, default=str) + "\n")
