"""A synthesis by Vitis HLS as a record of the store of runs, and its tables."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Group
from rich.markup import escape
from rich.table import Table

from flows.hls_synthesis import REPORT_PATH, read_synthesis, report_file
from flows.runs import keep, stamp

KIND = "vitis_hls"
JOB = Path("vectors", "job.json")


def hls_record(source: Path | str) -> dict[str, Any]:
    """Figures of a synthesis, stamped.

    Parameters
    ----------
    source : ``csynth.xml``, or a folder of ``sievit hls`` in which Vitis HLS has run; the configuration is that of the
        folder, and None for a report by itself and for one that is older than the folder's files

    Returns
    -------
    dict
        The stamp of kind ``vitis_hls``, ``report`` (the file), and :meth:`flows.hls_synthesis.Synthesis.to_dict`.

    Raises
    ------
    ArtifactError
        As :func:`flows.hls_synthesis.read_synthesis`.
    """
    file = report_file(Path(source))
    found = read_synthesis(file)
    return {**stamp(KIND, config=_configuration(file)), "report": str(file), **found.to_dict()}


def keep_hls(content: Mapping[str, Any], root: Path | None = None) -> Path:
    """Keep a record; a later one of the same report file and configuration replaces it.

    Parameters
    ----------
    content : of :func:`hls_record`
    root : the store, by default the user's
    """
    return keep(content, f"{content['top']}-{content['part'].split('-')[0]}",
                [str(Path(content["report"]).resolve()), content["config_hash"]], root=root)


def _configuration(file: Path) -> str | None:
    """Hash of the configuration of the folder that the report's project is in."""
    file = file.resolve()
    depth = len(REPORT_PATH.parts)
    if file.parts[-depth:] != REPORT_PATH.parts:
        return None
    job = file.parents[depth - 1].parent / JOB
    try:
        # The folder may have been written anew, for another configuration, since.
        if job.stat().st_mtime > file.stat().st_mtime:
            return None
        return f"{json.loads(job.read_text())['config_hash']:08x}"
    except (OSError, ValueError, KeyError, TypeError):
        return None


def synthesis_tables(content: Mapping[str, Any]) -> Group:
    """Resources with the clock, and all loops."""
    return Group(_resources(content), _loops(content))


def _resources(content: Mapping[str, Any]) -> Table:
    title = f"{content['top']} on {content['part']}: Vitis HLS {content['version']}, estimates before logic synthesis"
    table = Table(title=escape(title), title_justify="left")
    for heading in ("", "used", "available", "share"):
        table.add_column(heading, justify="left" if not heading else "right")
    for kind, amount in content["used"].items():
        share = content["share"][kind]
        table.add_row(kind, f"{amount:,.10g}", f"{content['available'][kind]:,.10g}",
                      "none" if share is None else f"{share:.1%}")
    table.add_row("clock", f"{content['estimated_ns']:g} ns", f"{content['target_ns']:g} ns",
                  f"{content['clock_mhz']:.0f} MHz")
    return table


def _loops(content: Mapping[str, Any]) -> Table:
    table = Table(title="loops", title_justify="left")
    for heading in ("loop", "most trips", "most cycles", "interval", "depth"):
        table.add_column(heading, justify="left" if heading == "loop" else "right")
    for loop in content["loops"]:
        figures = (loop[name] for name in ("trip_count", "latency", "interval", "depth"))
        table.add_row(escape(loop["name"]), *("?" if figure is None else f"{figure:,}" for figure in figures))
    return table
