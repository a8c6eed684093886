"""What the vendor's tools said about a page's circuit: records of Vivado, Vitis and Vitis HLS of its configuration."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from flows.dashboard import match, numbers
from flows.dashboard.parts import Headline
from flows.resources.report import TITLES
from flows.runs import Kept
from flows.vendor import Design, designs_of, furthest
from flows.vendor.designs import ADVANCE

RECORDS = ("vivado", "vitis_hls")
"""Kinds of records that vendors' tools leave."""
SHOWN_ON = ("sim", "batch", "hls", "resources", *RECORDS)
"""Kinds of runs whose pages show them."""


@dataclass(frozen=True)
class Reported:
    """A design that a tool reported on.

    Attributes
    ----------
    design : its figures
    record : name of the run of the store that has them
    place : board, else device, else folder
    own : the page is about that record, so its figures have a place in the page's report
    same_board : it was made for the board of the page's run
    """

    design: Design
    record: str
    place: str
    own: bool
    same_board: bool

    def key(self, place: str | None) -> str | None:
        """Where the page's own report has a figure."""
        return place if self.own else None


def reported_of(kept: Kept, store: Sequence[Kept]) -> tuple[Reported, ...]:
    """All designs of a page: those of its own record first, then those of others about the same circuit."""
    if kept.kind not in SHOWN_ON:
        return ()
    others = [other for kind in RECORDS for other in match.same_hardware(kept, store, kind) if other.name != kept.name]
    records = [kept, *others] if kept.kind in RECORDS else others
    board = _board(kept)
    return tuple(Reported(design, record.name, place_of(record), record is kept,
                          board is not None and _board(record) == board)
                 for record in records for design in _designs(record, own=record is kept))


def _designs(record: Kept, *, own: bool) -> tuple[Design, ...]:
    """The record's designs; of a damaged one none on other pages, as its own page says what is wrong."""
    try:
        return designs_of(record.content)
    except (AttributeError, KeyError, TypeError, ValueError):
        if own:
            raise
        return ()


def _board(kept: Kept) -> str | None:
    named = kept.content.get("board")
    return named.get("name") if isinstance(named, dict) else named


def place_of(record: Kept) -> str:
    """What a record's designs are for: board, else device, else the folder they lie in."""
    content = record.content
    devices = (design.get("device") for design in (content.get("designs") or {}).values())
    return str(content.get("board") or content.get("part") or next(filter(None, devices), None)
               or Path(content["folder"]).name or content["folder"])


def routed_of(reported: Sequence[Reported]) -> Reported | None:
    """The placed and routed design that tells most about the page's run; None when there is none.

    On the run's own board before others, a bitstream before the accelerator alone, timing met before missed, faster
    before slower.
    """
    routed = [entry for entry in reported if entry.design.routed]
    return min(routed, key=_rank, default=None)


def _rank(entry: Reported) -> tuple[bool, bool, int, bool, float, str]:
    design = entry.design
    return (not entry.own, not entry.same_board, ADVANCE.index(design.name), design.met is not True,
            -design.reachable_mhz.value if design.reachable_mhz else 0.0, entry.record)


def routed_words(entry: Reported) -> str:
    """The tool's clock in a line, as ``routed at 205.0 MHz reachable, WNS 0.12 ns (bitstream, kv260)``."""
    design = entry.design
    parts = ["routed" if design.reachable_mhz is None else f"routed at {design.reachable_mhz.value:.1f} MHz reachable"]
    if design.wns is not None:
        parts.append(f"WNS {design.wns.value:.2f} ns")
    if design.met is False:
        parts.append("timing NOT met")
    if design.met is None:
        parts.append("timing not reported")
    return f"{', '.join(parts)} ({design.name}, {entry.place})"


def title_of(kept: Kept) -> str:
    """Heading of a record's page."""
    content = kept.content
    if kept.kind == "vitis_hls":
        return f"{content['top']} on {content['part']}, Vitis HLS {content['version']}"
    return f"{content.get('model') or 'Accelerator'} on {place_of(kept)}, Vivado and Vitis"


def headlines(kept: Kept) -> list[Headline]:
    """Figures at the top of a record's page: of the design that is nearest to hardware."""
    if kept.kind not in RECORDS:
        return []
    design = furthest(designs_of(kept.content))
    shown = []
    if design.reachable_mhz is not None:
        asked = f", {design.target_mhz.value:g} MHz asked for" if design.target_mhz else ""
        shown.append(Headline("Reachable clock", f"{design.reachable_mhz.value:.1f} MHz", f"{design.name}{asked}",
                              design.reachable_mhz.value, design.reachable_mhz.key))
    if design.wns is not None:
        shown.append(Headline("Worst slack", f"{design.wns.value:.3f} ns", "setup", design.wns.value, design.wns.key))
    if design.verdict:
        shown.append(Headline("Timing", design.verdict, design.name))
    shares = {kind: amount.share for kind, amount in design.amounts.items() if amount.share is not None}
    if shares:
        kind = max(shares, key=lambda name: shares[name].value)
        shown.append(Headline("Board fill", numbers.percent(shares[kind].value),
                              f"{TITLES[kind]} of {place_of(kept)}, {design.tool}", shares[kind].value,
                              shares[kind].key))
    return shown
