"""Report files: Markdown for people, CSV for other programs."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Group

from flows.contracts.files import replacing
from flows.report.compare import beside, overview
from flows.report.grid import markdown_of
from flows.report.records import ROWS, columns_of, row_records, run_records
from flows.report.views import view_of
from flows.runs import KINDS, Kept

FORMATS = ("md", "csv")


def by_kind(runs: Iterable[Kept]) -> dict[str, list[Kept]]:
    """Runs by kind, in the order of :data:`flows.runs.KINDS`."""
    known = list(runs)
    return {kind: found for kind in KINDS if (found := [run for run in known if run.kind == kind])}


def write_report(runs: Sequence[Kept], folder: Path, formats: Sequence[str] = FORMATS) -> list[Path]:
    """Write tables of runs, each file whole or not at all.

    ``KIND.md`` has a row per run and then the tables of each; ``KIND.csv`` every single value of each run at full
    precision, a row per run; ``KIND_ROWS.csv``, as ``sim_steps.csv``, the rows that its reports have.

    Parameters
    ----------
    runs : of any kinds
    folder : is made if need be
    formats : of :data:`FORMATS`

    Returns
    -------
    list of Path
        The files.

    Raises
    ------
    ConfigError
        When a report lacks something; nothing is written then.
    """
    texts: dict[Path, str] = {}
    for kind, found in by_kind(runs).items():
        if "md" in formats:
            texts[folder / f"{kind}.md"] = _markdown(kind, found)
        if "csv" in formats:
            texts[folder / f"{kind}.csv"] = csv_of(run_records(found))
            texts[folder / f"{kind}_{ROWS[kind]}.csv"] = csv_of(row_records(found))
    for path, text in texts.items():
        with replacing(path) as part:
            part.write_text(text)
    return list(texts)


def csv_of(records: Sequence[Mapping[str, Any]]) -> str:
    """Records as CSV with a line of names; what a record lacks, and None, is empty."""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, columns_of(records), restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows({key: "" if value is None else value for key, value in record.items()} for record in records)
    return stream.getvalue()


def _markdown(kind: str, runs: Sequence[Kept]) -> str:
    together = [overview(runs), *(beside(runs) if kind == "sim" and len(runs) > 1 else [])]
    sections = [f"# {kind}\n", markdown_of(Group(*together))]
    for run in runs:
        sections += [f"## {run.name}\n", markdown_of(view_of(run))]
    return "\n".join(sections)
