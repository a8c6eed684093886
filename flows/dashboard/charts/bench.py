"""Rows of a benchmark: how well arrays of several sizes are used, by network and sparsity."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from flows.dashboard import numbers
from flows.dashboard.charts.axes import plot, row_label, value_label, x_axis
from flows.dashboard.markup import behind, mark, pct, table

ROW, TOP, WIDE = 22, 4, 0.84


def bench_chart(rows: Sequence[Mapping[str, Any]]) -> str:
    """A bar per row: useful MACs over peak; behind it the other figures."""
    if not rows:
        return ""
    bottom = TOP + ROW * len(rows)
    bars = "".join(_bar(row, index) for index, row in enumerate(rows))
    ticks = [(share * WIDE, numbers.percent(share, 0)) for share in (0, 0.25, 0.5, 0.75, 1)]
    drawn = plot("bench", bottom + 38, x_axis(ticks, TOP, bottom, "useful MACs / peak"), bars, left=150,
                 label="useful MACs over peak of every row")
    return drawn + behind("All rows", table(
        ("row", "source", "cycles", "lower bound", "cycles / bound", "ms", "useful / peak", "useful MACs/DSP/cycle"),
        [(_label(row), str(row["source"]), *(_cell(row, index, name) for name in (
            "cycles", "lower_bound_cycles", "cycles_over_lower_bound", "milliseconds", "utilization",
            "useful_macs_per_dsp_cycle"))) for index, row in enumerate(rows)], left=2))


def _label(row: Mapping[str, Any]) -> str:
    return (f"{row['model']} {row['keep_blocks']:g}/{row['keep_tokens']:g}, "
            f"{row['clusters']}×{row['groups']}")


def _bar(row: Mapping[str, Any], index: int) -> str:
    y, share = TOP + ROW * index, row["utilization"]
    tip = [_label(row), f"useful MACs / peak {numbers.percent(share)}", f"{row['cycles']:,} cycles",
           "simulated RTL" if row["source"] == "rtl" else "cycle model"]
    return (row_label(_label(row), y + 15)
            + mark("rect", value=share, tip=tip, key=f"rows/{index}/utilization", x="0%", y=y + 3,
                   width=pct(share * WIDE), height=15, fill="var(--base)")
            + value_label(numbers.percent(share), share * WIDE, y + 15))


def _cell(row: Mapping[str, Any], index: int, name: str) -> object:
    value = row.get(name)
    if value is None:
        return ""
    words = (numbers.percent(value) if name == "utilization" else numbers.count(value) if isinstance(value, int)
             else numbers.digits(value))
    return words, value, f"rows/{index}/{name}"
