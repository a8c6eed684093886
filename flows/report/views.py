"""How each kind of run is shown: the tables of its command, made from its report."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from rich.console import Group, RenderableType

from flows.batch_report import batch_tables
from flows.bench_table import bench_tables, published_table
from flows.contracts.errors import ConfigError
from flows.eval_report import tables as eval_tables
from flows.hls_record import synthesis_tables
from flows.hls_report import hls_tables
from flows.published import System
from flows.resources.report import table_of
from flows.runs import Kept
from flows.search.table import search_tables
from flows.sim_report import tables as sim_tables
from flows.sweep.table import sweep_tables
from flows.vendor import vivado_tables


def _bench(content: Mapping[str, Any]) -> Group:
    systems = [System.model_validate({name: value for name, value in entry.items() if name != "verified"})
               for entry in content["published"]]
    return Group(*bench_tables(content["rows"]), *([published_table(systems)] if systems else []))


VIEWS: dict[str, Callable[[Mapping[str, Any]], RenderableType]] = {
    "sim": sim_tables, "batch": batch_tables, "hls": hls_tables, "eval": eval_tables, "resources": table_of,
    "search": search_tables, "bench": _bench, "sweep": sweep_tables, "vivado": vivado_tables,
    "vitis_hls": synthesis_tables}
"""By kind, a function from a report to what its command prints."""


def view_of(run: Kept) -> RenderableType:
    """What the run's command printed.

    Raises
    ------
    ConfigError
        When the report lacks something that the tables need.
    """
    try:
        return VIEWS[run.kind](run.content)
    except (KeyError, TypeError, ValueError) as error:
        raise incomplete(run, error) from None


def incomplete(run: Kept, error: Exception) -> ConfigError:
    """The error for a report that another version wrote, or that is damaged."""
    what = f"has no {error}" if isinstance(error, KeyError) else f"cannot be shown ({error})"
    return ConfigError(f"run {run.name} {' '.join(what.split())}; run its command again")
