"""Slots of every cluster in time: a canvas to zoom and pan, and the busy share of each cluster beside it."""

from __future__ import annotations

import base64
from array import array
from collections.abc import Sequence
from typing import Any

from flows.dashboard import numbers
from flows.dashboard.charts.axes import plot, row_label, value_label, x_axis
from flows.dashboard.markup import behind, legend, mark, pct, table, tag
from flows.dashboard.palette import KINDS, kind_of
from flows.dashboard.slots import Timeline

ROW, KIND_ROW = 26, 20
KEYS = "arrow keys pan, + and - zoom, 0 shows all, [ and ] go from slot to slot"


def timeline_chart(line: Timeline | None) -> str:
    """Markup; the drawing is done by the page's script from :func:`timeline_data`."""
    if line is None:
        return ""
    kinds = _kinds(line)
    buttons = "".join(tag("button", words, type="button", data_act=act, aria_label=label) for words, act, label in (
        ("−", "out", "zoom out"), ("+", "in", "zoom in"), ("◀", "left", "pan left"), ("▶", "right", "pan right"),
        ("all", "all", "show all cycles")))
    canvas = tag(
        "canvas",
        class_="timeline",
        tabindex="0",
        role="img",
        data_chart="timeline",
        height=_height(line),
        aria_label=f"slot timeline of {len(line.outputs)} clusters, {len(line.cycle):,} slots in "
        f"{line.total:,} cycles; {KEYS}",
    )
    view = tag("div", canvas, tag("p", "", class_="readout", aria_live="polite"), class_="timeline-box")
    return (tag("div", legend([*((f"var(--kind-{kind})", kind) for kind in kinds), ("var(--raised)", "waits")]),
                tag("div", buttons, class_="tools", role="toolbar", aria_label="timeline"), class_="between")
            + view + tag("p", f"Drag or use the wheel, or the keyboard: {KEYS}.", class_="foot"))


def balance_chart(line: Timeline | None) -> str:
    """Share of the run's cycles in which each cluster multiplies rows."""
    if line is None:
        return ""
    rows, bottom = "", ROW * len(line.outputs)
    for index, busy in enumerate(line.busy):
        share = busy / line.total
        y = ROW * index
        rows += (row_label(f"cluster {index}", y + 17)
                 + mark("rect", value=busy, tip=[f"cluster {index}", f"busy {busy:,} of {line.total:,} cycles",
                                                 numbers.percent(share, 2)],
                        x="0%", y=y + 4, width=pct(share * 0.84), height=18, fill=f"var(--cluster-{index % 16})")
                 + value_label(numbers.percent(share), share * 0.84, y + 17))
    ticks = [(share * 0.84, numbers.percent(share, 0)) for share in (0, 0.25, 0.5, 0.75, 1)]
    below = _by_kind(line, bottom + 56)
    spread = (max(line.busy) - min(line.busy)) / line.total
    drawn = plot(
        "balance",
        bottom + 56 + KIND_ROW * len(_kinds(line)) + 26,
        x_axis(ticks, 0, bottom),
        rows,
        below,
        left=72,
        label="busy share of each cluster, over all and by kind of step",
    )
    return drawn + tag("p", f"Between the busiest and the idlest cluster: {numbers.percent(spread, 2)} of the cycles.",
                       class_="foot") + behind("Busy cycles by step", _table(line))


def timeline_data(line: Timeline) -> dict[str, Any]:
    """What the script needs: columns of little-endian integers, base64."""
    return {"names": list(line.names), "total": line.total, "count": len(line.cycle),
            "cycle": _pack("I", line.cycle), "length": _pack("I", line.length), "rows": _pack("I", line.rows),
            "step": _pack("H", line.step), "outputs": [_pack("h", row) for row in line.outputs],
            "sources": [_pack("h", row) for row in line.sources]}


def _by_kind(line: Timeline, top: float) -> str:
    """Busy share of each cluster within the cycles of a kind of step: what lies apart is out of balance."""
    kinds = _kinds(line)
    bottom, drawn = top + KIND_ROW * len(kinds), ""
    whole = line.cycles_by_step
    for number, kind in enumerate(kinds):
        steps = [step for step, name in enumerate(line.names) if kind_of(name) == kind]
        cycles = sum(whole[step] for step in steps) or 1
        busy = [sum(column) for column in zip(*(line.busy_in(step) for step in steps), strict=True)]
        y = top + KIND_ROW * number + KIND_ROW / 2
        drawn += row_label(kind, y + 4) + tag(
            "line", x1=pct(min(busy) / cycles * 0.84), x2=pct(max(busy) / cycles * 0.84), y1=y, y2=y, class_="whisker"
        )
        drawn += "".join(mark("circle", value=cluster_busy, cx=pct(cluster_busy / cycles * 0.84), cy=y, r=4.5,
                              fill=f"var(--cluster-{cluster % 16})", class_="mark dot",
                              tip=[f"cluster {cluster}, {kind}", f"busy {cluster_busy:,} of {cycles:,} cycles",
                                   numbers.percent(cluster_busy / cycles, 2)])
                         for cluster, cluster_busy in enumerate(busy))
    ticks = [(share * 0.84, numbers.percent(share, 0)) for share in (0, 0.25, 0.5, 0.75, 1)]
    return (tag("text", "the same by kind of step", x="0%", y=top - 10, class_="axis")
            + x_axis(ticks, top, bottom) + drawn)


def _kinds(line: Timeline) -> list[str]:
    return [kind for kind in KINDS if any(kind_of(name) == kind for name in line.names)]


def _height(line: Timeline) -> int:
    return 40 + (24 if len(line.outputs) <= 8 else 15) * len(line.outputs)


def _pack(kind: str, values: Sequence[int]) -> str:
    return base64.b64encode(array(kind, values).tobytes()).decode()


def _table(line: Timeline) -> str:
    busy = [line.busy_in(step) for step in range(len(line.names))]
    rows = [(name, *((numbers.count(cycles), cycles, None) for cycles in busy[step]))
            for step, name in enumerate(line.names)]
    rows.append(("all", *((numbers.count(cycles), cycles, None) for cycles in line.busy)))
    return table(("step", *(f"cluster {index}" for index in range(len(line.outputs)))), rows)
