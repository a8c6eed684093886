"""Tables of what the vendor's tools reported: resources, and clocks."""

from __future__ import annotations

from collections.abc import Sequence

from flows.contracts.resources import KINDS
from flows.dashboard import numbers
from flows.dashboard.markup import table, tag
from flows.dashboard.vendor import Reported
from flows.resources.report import TITLES
from flows.vendor import Figure

NONE = "–"


def vendor_tables(reported: Sequence[Reported]) -> str:
    """A row per design in two tables; nothing without any."""
    if not reported:
        return ""
    kinds = [kind for kind in KINDS if any(kind in entry.design.amounts for entry in reported)]
    used = table(("design", "tool", "for", *(word for kind in kinds for word in (TITLES[kind], "share"))),
                 [(*_names(entry), *(cell for kind in kinds for cell in _amount(entry, kind))) for entry in reported
                  if entry.design.amounts], left=3, id_="vendor-resources")
    clocks = table(("design", "tool", "for", "clock asked for / MHz", "worst slack / ns", "reachable / MHz", "timing"),
                   [(*_names(entry), *_clock(entry)) for entry in reported], left=3, id_="vendor-clocks")
    return tag("div", used, clocks, style="display:grid;gap:1.2rem")


def _names(entry: Reported) -> tuple[str, str, str]:
    return entry.design.name, entry.design.tool, entry.place


def _amount(entry: Reported, kind: str) -> tuple[object, object]:
    amount = entry.design.amounts.get(kind)
    if amount is None:
        return NONE, NONE
    used = f"{amount.used.value:,.1f}".removesuffix(".0")
    return _cell(entry, amount.used, used), (
        NONE if amount.share is None else _cell(entry, amount.share, numbers.percent(amount.share.value)))


def _clock(entry: Reported) -> tuple[object, ...]:
    design = entry.design
    return (*(NONE if figure is None else _cell(entry, figure, format(figure.value, style)) for figure, style in (
        (design.target_mhz, "g"), (design.wns, ".3f"), (design.reachable_mhz, ".1f"))),
        (design.verdict, design.met, entry.key(design.met_key)) if design.met is not None else NONE)


def _cell(entry: Reported, figure: Figure, words: str) -> tuple[str, float, str | None]:
    return words, figure.value, entry.key(figure.key)
