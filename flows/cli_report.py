"""The command ``sievit report``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from flows.cli_base import AsJson, app, errors, messages, print_json, screen
from flows.contracts.errors import ConfigError

if TYPE_CHECKING:
    from flows.runs import Kept


@app.command()
def report(
    run: Annotated[list[str] | None, typer.Argument(help="Runs to show in full: names of the store, or files that "
                                                         "commands wrote. Default: all runs, a row each.")] = None,
    runs: Annotated[Path | None, typer.Option(help="The store of runs. Default: SIEVIT_RUNS, else out/runs.")] = None,
    kind: Annotated[list[str] | None, typer.Option(help="Only runs of that kind, as sim; may be repeated.")] = None,
    formats: Annotated[list[str] | None, typer.Option("--format", help="Files to write: md, csv, or none. May be "
                                                                       "repeated. Default: md and csv.")] = None,
    out: Annotated[Path, typer.Option(help="Folder of the files.")] = Path("out/report"),
    as_json: AsJson = False,
) -> None:
    """Tables of what all commands and the vendor's tools found, on the terminal, as Markdown and CSV."""
    with errors():
        from rich.console import Group

        from flows.report.compare import beside, overview
        from flows.report.records import run_records
        from flows.report.views import view_of
        from flows.report.write import by_kind, write_report

        chosen = _formats(formats)
        found = _of_kinds(_named(run, runs) if run else _complete(_stored(runs), quiet=as_json), kind)
        files = write_report(found, out, chosen) if chosen else []
        if as_json:
            print_json({"runs": run_records(found), "files": [str(file) for file in files]})
            return
        for name, members in by_kind(found).items():
            full = [view_of(member) for member in members] if run else []
            if len(members) > 1 or not run:
                screen.print(overview(members))
            screen.print(Group(*(beside(members) if name == "sim" and len(members) > 1 else []), *full))
        if files:
            screen.print(f"{len(files)} files in {escape(str(out))}: {', '.join(file.name for file in files)}",
                         soft_wrap=True, highlight=False)


def _formats(names: list[str] | None) -> tuple[str, ...]:
    from flows.report.write import FORMATS

    if names is None:
        return FORMATS
    for name in names:
        if name not in (*FORMATS, "none"):
            raise ConfigError(f"--format must be {', '.join(FORMATS)} or none, not {name!r}")
    return tuple(name for name in FORMATS if name in names)


def _stored(folder: Path | None) -> list[Kept]:
    from flows.runs import find, runs_folder

    found = find(folder)
    if not found:
        raise ConfigError(f"no runs in {folder or runs_folder()}; run 'make sim' first, or name the store with --runs")
    return found


def _named(names: list[str], folder: Path | None) -> list[Kept]:
    """Runs by their name in the store, or by path."""
    from flows.runs import kept_by, runs_folder

    root = folder or runs_folder()
    return [kept_by(root / name if (root / name).is_dir() else Path(name)) for name in names]


def _complete(found: list[Kept], *, quiet: bool) -> list[Kept]:
    """Runs that can be shown; the others, of an older version, are named."""
    from flows.report.compare import overview
    from flows.report.views import view_of

    good = []
    for member in found:
        try:
            overview([member])
            view_of(member)
            good.append(member)
        except ConfigError as error:
            if not quiet:
                messages.print(f"left out: {error}", markup=False, highlight=False, soft_wrap=True)
    if not good:
        raise ConfigError("none of the runs can be shown; run their commands again")
    return good


def _of_kinds(found: list[Kept], kinds: list[str] | None) -> list[Kept]:
    from flows.runs import KINDS

    for name in kinds or []:
        if name not in KINDS:
            raise ConfigError(f"--kind must be one of {', '.join(KINDS)}, not {name!r}")
    chosen = [member for member in found if not kinds or member.kind in kinds]
    if not chosen:
        raise ConfigError(f"no run is of kind {', '.join(kinds or [])}; kinds: {', '.join(KINDS)}")
    return chosen
