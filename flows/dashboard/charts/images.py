"""Images of a run of several: cycles, verdict and tokens of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Any

from flows.dashboard import numbers
from flows.dashboard.charts.axes import plot, row_label, value_label, x_axis
from flows.dashboard.markup import behind, mark, pct, table

ROW, TOP = 28, 4


def images_chart(images: Sequence[Mapping[str, Any]]) -> str:
    """A bar per image: measured cycles, or the cycle model's where nothing counted them."""
    if not images:
        return ""
    key = "cycles" if all(row.get("cycles") is not None for row in images) else "expected_cycles"
    largest = max(row[key] for row in images) * 1.14
    bottom = TOP + ROW * len(images)
    ticks = [(value / largest, numbers.short(value)) for value in numbers.ticks(largest / 1.14)]
    rows = "".join(row_label(f"image {index + 1}", TOP + ROW * index + 18)
                   + mark("rect", value=row[key], key=f"images/{index}/{key}", tip=_tip(index, row, key), x="0%",
                          y=TOP + ROW * index + 5, width=pct(row[key] / largest), height=18, fill="var(--base)")
                   + value_label(numbers.count(row[key]), row[key] / largest, TOP + ROW * index + 18)
                   for index, row in enumerate(images))
    drawn = plot(
        "images",
        bottom + 38,
        x_axis(ticks, TOP, bottom, "cycles" if key == "cycles" else "cycles, cycle model"),
        rows,
        label="cycles of each image",
    )
    return drawn + behind("All images", table(
        ("image", "file", "best class", "bit exact", "cycles", "tokens alive"),
        [(str(index + 1), PurePath(row["image"]).name, row["top5"][0]["name"], "yes" if row["bit_exact"] else "no",
          (numbers.count(row[key]), row[key], f"images/{index}/{key}"), " ".join(map(str, row["tokens"])))
         for index, row in enumerate(images)], left=4))


def _tip(index: int, row: Mapping[str, Any], key: str) -> list[str]:
    best = row["top5"][0]
    return [
        f"image {index + 1}: {PurePath(row['image']).name}",
        f"{row[key]:,} cycles",
        f"{best['name']} {numbers.percent(best['probability'])}",
        "bit exact" if row["bit_exact"] else row["mismatch"],
    ]
