"""Reports as rows of plain values at full precision, for CSV and JSON."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from flows.runs import Kept

ROWS = {"sim": "steps", "batch": "images", "hls": "images", "eval": "networks", "resources": "units",
        "search": "pareto", "bench": "rows", "sweep": "points", "vivado": "designs", "vitis_hls": "loops"}
"""What a report of each kind has many of, the rows of its second file."""


def run_records(runs: Sequence[Kept]) -> list[dict[str, Any]]:
    """A record per run: every single value of its report, keys of inner objects joined by dots."""
    return [{"run": run.name, **dict(_flat(run.content))} for run in runs]


def row_records(runs: Sequence[Kept]) -> list[dict[str, Any]]:
    """A record per row of each run, see :data:`ROWS`, with the run's name."""
    return [{"run": run.name, **dict(_flat(row))} for run in runs for row in rows_of(run)]


def rows_of(run: Kept) -> list[Mapping[str, Any]]:
    """The rows of a report."""
    rows = run.content[ROWS[run.kind]]
    return [{"name": name, **row} for name, row in rows.items()] if isinstance(rows, Mapping) else rows


def columns_of(records: Sequence[Mapping[str, Any]]) -> list[str]:
    """All keys in the order of their first appearance."""
    return list(dict.fromkeys(key for record in records for key in record))


def _flat(content: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Single values, and lists of them as text with blanks; lists of objects are left out."""
    for key, value in content.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        elif isinstance(value, list):
            if not any(isinstance(item, Mapping | list) for item in value):
                yield f"{prefix}{key}", " ".join(str(item) for item in value)
        else:
            yield f"{prefix}{key}", value
