"""What v++ and xclbinutil report: resources of the kernel, estimates, and the clocks of an .xclbin."""

from __future__ import annotations

import re
from dataclasses import dataclass

from flows.contracts.resources import Resources
from flows.vendor.table import ReportError, Table, boxed_tables, number, ruled_tables
from flows.vendor.utilization import Utilization

_COLUMNS = {"lut": ("LUT",), "ff": ("REG", "FF"), "dsp": ("DSP",), "bram36": ("BRAM",), "uram": ("URAM",)}


@dataclass(frozen=True)
class Clock:
    """A clock of an .xclbin: ``kind`` is DATA for the kernels' clock."""

    name: str
    kind: str
    mhz: float


def parse_kernel_utilization(text: str, kernel: str, name: str = "kernel_util report") -> Utilization:
    """Parse ``kernel_util_routed.rpt`` of v++: the kernel of the budget that the platform leaves.

    Raises
    ------
    ReportError
        When the kernel or the budget is not in it.
    """
    for table in boxed_tables(text):
        column = table.column("Name")
        if column is None or table.column("LUT") is None:
            continue
        rows = {row[column].strip(): row for row in table.rows}
        missing = [label for label in (kernel, "User Budget") if label not in rows]
        if missing:
            raise ReportError(f"{name} has no row {missing[0]!r}; rows: {', '.join(rows)}")
        used, available = (_amounts(table, rows[label], name) for label in (kernel, "User Budget"))
        return Utilization(used, available, "", "Routed")
    raise ReportError(f"{name} has no table of kernels; is it a kernel_util_routed.rpt of v++?")


def _amounts(table: Table, row: tuple[str, ...], name: str) -> Resources:
    """Numbers before the percentages in brackets."""
    values = {}
    for kind, titles in _COLUMNS.items():
        column = table.column(*titles)
        if column is None:
            raise ReportError(f"{name} has no column {' or '.join(titles)}")
        values[kind] = number(row[column].split("[")[0].strip(), name)
    return Resources(**values)


def parse_xclbin_info(text: str, name: str = "xclbin information") -> list[Clock]:
    """Parse the clocks of ``xclbinutil --info``.

    Raises
    ------
    ReportError
        When there are none.
    """
    pattern = r"Name:\s*(\S+)\s*\n\s*Index:\s*\d+\s*\n\s*Type:\s*(\S+)\s*\n\s*Frequency:\s*([\d.]+)\s*MHz"
    clocks = [Clock(match[1], match[2], float(match[3])) for match in re.finditer(pattern, text)]
    if not clocks:
        raise ReportError(f"{name} names no clocks; is it the output of xclbinutil --info?")
    return clocks


def parse_estimate(text: str, name: str = "system estimate") -> dict[str, dict[str, float]]:
    """Parse the tables of ``system_estimate.xtxt`` of v++: numbers by compute unit.

    Returns
    -------
    ``{compute unit: {"target_mhz", "estimated_mhz", and lut, ff, dsp, bram36, uram where given}}``; block RAMs are
    counted in 18 Kb there and are halved

    Raises
    ------
    ReportError
        When there is no timing of compute units.
    """
    units: dict[str, dict[str, float]] = {}
    columns = {"Target Frequency": "target_mhz", "Estimated Frequency": "estimated_mhz", "FF": "ff", "LUT": "lut",
               "DSP": "dsp", "BRAM": "bram36", "URAM": "uram"}
    for table in ruled_tables(text):
        unit = table.column("Compute Unit")
        if unit is None:
            continue
        for row in table.rows:
            values = units.setdefault(row[unit], {})
            for title, key in columns.items():
                column = table.column(title)
                if column is not None and row[column] not in ("", "NA", "N/A"):
                    values[key] = number(row[column], name) / (2 if key == "bram36" else 1)
    if not any("target_mhz" in values for values in units.values()):
        raise ReportError(f"{name} has no timing of compute units; is it a system_estimate of v++?")
    return units
