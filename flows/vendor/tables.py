"""Tables of a record of kind ``vivado``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Group
from rich.markup import escape
from rich.table import Table

from flows.contracts.resources import KINDS
from flows.vendor.designs import Design, Figure, designs_of


def vivado_tables(content: Mapping[str, Any]) -> Group:
    """Resources and timing of every design that was reported, and what the record is about."""
    designs = designs_of(content)
    return Group(*(table for table in (_resources(designs, _about(content)), _timing(designs)) if table.row_count))


def _about(content: Mapping[str, Any]) -> str:
    if content.get("config_hash") is None:
        return ""
    return f"{content['model']} on {content['board']}, configuration {content['config_hash']}; "


def _resources(designs: tuple[Design, ...], about: str) -> Table:
    table = Table(title=escape(f"{about}resources: used of available"), title_justify="left")
    table.add_column("design")
    for kind in KINDS:
        table.add_column(kind, justify="right")
    for design in designs:
        if design.amounts:
            table.add_row(design.name, *(_amount(design, kind) for kind in KINDS))
    return table


def _amount(design: Design, kind: str) -> str:
    amount = design.amounts.get(kind)
    if amount is None:
        return "-"
    used = f"{amount.used.value:.10g}"
    return used if amount.available is None else f"{used} / {amount.available:.10g}"


def _timing(designs: tuple[Design, ...]) -> Table:
    table = Table(title="timing", title_justify="left")
    for title in ("design", "clock MHz", "WNS ns", "WHS ns", "met", "reachable MHz"):
        table.add_column(title, justify="left" if title == "design" else "right")
    for design in designs:
        if design.target_mhz is not None or design.reachable_mhz is not None:
            table.add_row(design.name, _figure(design.target_mhz), _figure(design.wns), _figure(design.whs),
                          {None: "-", True: "yes", False: "NO"}[design.met], _figure(design.reachable_mhz, ".1f"))
    return table


def _figure(figure: Figure | None, style: str = "g") -> str:
    return "-" if figure is None else format(figure.value, style)
