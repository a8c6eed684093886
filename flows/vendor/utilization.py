"""``report_utilization``: resources in the toolkit's units, of 7 series, UltraScale+ and Versal."""

from __future__ import annotations

import re
from dataclasses import dataclass

from flows.contracts.resources import Resources
from flows.vendor.table import ReportError, Table, boxed_tables, number

ROWS: dict[str, tuple[str, ...]] = {
    "lut": ("CLB LUTs", "Slice LUTs", "LUTs"),
    "ff": ("CLB Registers", "Slice Registers", "Registers", "Register"),
    "dsp": ("DSPs", "DSP Slices", "DSP58", "DSP48E2", "DSP48E1"),
    "bram36": ("Block RAM Tile",),
    "uram": ("URAM",),
}
"""Names of a kind's row, by preference; marks of footnotes and "only" are left out."""
_HALVES = {"bram36": (("RAMB36/FIFO", "RAMB36E5", "RAMB36E2", "RAMB36E1"),
                      ("RAMB18", "RAMB18E5", "RAMB18E2", "RAMB18E1"))}
"""Where there is no row for tiles: blocks of 36 Kb, and of 18 Kb, which count half."""
_OPTIONAL = ("uram", "dsp", "bram36")
"""Families without such resources do not list them."""


@dataclass(frozen=True)
class Utilization:
    """Resources of a whole design.

    Attributes
    ----------
    used, available : in the toolkit's units
    device, state : of the design, as the report's head says; empty when it does not
    """

    used: Resources
    available: Resources
    device: str
    state: str


@dataclass(frozen=True)
class Unit:
    """Resources of an instance and all below it; ``depth`` is 0 for the top."""

    instance: str
    module: str
    depth: int
    used: Resources


def parse_utilization(text: str, name: str = "utilization report") -> Utilization:
    """Parse ``report_utilization``.

    Parameters
    ----------
    text : of the report
    name : of the file, for messages

    Raises
    ------
    ReportError
        When LUTs or registers are not in it, or a number cannot be read.
    """
    rows = _site_rows(text, name)
    used, available = {}, {}
    for kind, names in ROWS.items():
        found = next((rows[row] for row in names if row in rows), None) or _halves(kind, rows)
        if found is None:
            if kind not in _OPTIONAL:
                raise ReportError(f"{name} has no row for {kind} ({' or '.join(names)}); is it a report_utilization?")
            continue
        used[kind], available[kind] = found
    return Utilization(Resources(**used), Resources(**available), _head(text, "Device"), _head(text, "Design State"))


def _site_rows(text: str, name: str) -> dict[str, tuple[float, float]]:
    """Used and available by site type; of rows with the same name the first counts."""
    rows: dict[str, tuple[float, float]] = {}
    for table in boxed_tables(text):
        site, used, available = (table.column(*titles) for titles in (("Site Type",), ("Used",), ("Available",)))
        if site is None or used is None or available is None:
            continue
        for row in table.rows:
            label = _label(row[site])
            if not row[used]:
                continue
            amount = number(row[used], f"{name}, {label}")
            # Kinds of a site, such as "DSP48E2 only", have no number of available ones of their own.
            limit = number(row[available], f"{name}, {label}") if row[available] else 0.0
            rows.setdefault(label, (amount, limit))
    return rows


def _halves(kind: str, rows: dict[str, tuple[float, float]]) -> tuple[float, float] | None:
    if kind not in _HALVES:
        return None
    whole, half = (next((rows[row] for row in names if row in rows), None) for names in _HALVES[kind])
    if whole is None:
        return None
    extra = (half or (0.0, 0.0))[0] / 2
    return whole[0] + extra, whole[1]


def _label(text: str) -> str:
    """Name of a row without indentation, footnote marks and "only"."""
    return re.sub(r"\s+only$", "", text.strip().rstrip("*").strip())


def _head(text: str, field: str) -> str:
    """A line ``| Device : xczu9eg`` of the report's head."""
    match = re.search(rf"^\|\s*{field}\s*:\s*(.+?)\s*\|?$", text, re.MULTILINE)
    return match[1] if match else ""


_HIERARCHY: dict[str, tuple[str, ...]] = {
    "lut": ("Total LUTs", "LUTs"), "ff": ("FFs", "Registers"), "uram": ("URAM", "URAMs"),
    "dsp": ("DSP Blocks", "DSP48 Blocks", "DSP Slices", "DSPs"),
}
_INDENT = 2


def parse_hierarchy(text: str, name: str = "hierarchical utilization report") -> list[Unit]:
    """Parse ``report_utilization -hierarchical``: units from the top down.

    Raises
    ------
    ReportError
        When there is no table of instances, or a number cannot be read.
    """
    table = next((table for table in boxed_tables(text) if table.column("Instance") is not None
                  and table.column("Module") is not None), None)
    if table is None:
        raise ReportError(f"{name} has no table of instances; is it a report_utilization -hierarchical?")
    instance, module = table.column("Instance"), table.column("Module")
    if instance is None or module is None:
        raise AssertionError
    units = []
    for row in table.rows:
        path = row[instance]
        depth = (len(path) - len(path.lstrip())) // _INDENT
        units.append(Unit(path.strip(), row[module], depth, _unit_resources(table, row, f"{name}, {path.strip()}")))
    return units


def _unit_resources(table: Table, row: tuple[str, ...], what: str) -> Resources:
    def amount(*titles: str) -> float:
        column = table.column(*titles)
        return 0.0 if column is None else number(row[column], what)

    if table.column(*_HIERARCHY["lut"]) is None:
        raise ReportError(f"{what}: no column of LUTs")
    return Resources(**{kind: amount(*titles) for kind, titles in _HIERARCHY.items()},
                     bram36=amount("RAMB36") + amount("RAMB18") / 2)
