"""Cycles per layer and step, stacked: measured above, the cycle model's below."""

from __future__ import annotations

from collections.abc import Sequence

from flows.dashboard import numbers
from flows.dashboard.charts.axes import plot, row_label, value_label, x_axis
from flows.dashboard.markup import behind, legend, mark, pct, table
from flows.dashboard.palette import KINDS, kind_of, layer_of
from flows.dashboard.parts import Step

ROW, THICK, THIN = 30, 13, 6
TOP = 4


def cycles_chart(steps: Sequence[Step]) -> str:
    """A row per layer. Without measured cycles only the cycle model's are drawn."""
    if not steps:
        return ""
    layers = list(dict.fromkeys(layer_of(step.name) for step in steps))
    largest = max(max(sum(step.expected for step in of), sum(step.cycles or 0 for step in of))
                  for of in (_steps_of(steps, layer) for layer in layers))
    bottom = TOP + ROW * len(layers)
    rows = "".join(_row(layer, _steps_of(steps, layer), TOP + ROW * index, largest * 1.12)
                   for index, layer in enumerate(layers))
    marks = [(value / largest / 1.12, numbers.short(value)) for value in numbers.ticks(largest)]
    kinds = [kind for kind in KINDS if any(kind_of(step.name) == kind for step in steps)]
    drawn = plot("cycles", bottom + 40, x_axis(marks, TOP, bottom, "cycles"), rows, label="cycles per layer and step")
    return (legend((f"var(--kind-{kind})", kind) for kind in kinds) + drawn
            + behind("All steps", _table(steps)))


def _steps_of(steps: Sequence[Step], layer: str) -> list[Step]:
    return [step for step in steps if layer_of(step.name) == layer]


def _row(layer: str, steps: Sequence[Step], top: float, scale: float) -> str:
    measured = all(step.cycles is not None for step in steps)
    bars = [_bar(step, step.cycles or 0, "cycles", start, top + 4, THICK, scale)
            for step, start in _starts([(step, step.cycles or 0) for step in steps])] if measured else []
    bars += [_bar(step, step.expected, "expected_cycles", start, top + 4 + (THICK + 1 if measured else 4), THIN, scale)
             for step, start in _starts([(step, step.expected) for step in steps])]
    total = sum(step.cycles or 0 for step in steps) if measured else sum(step.expected for step in steps)
    return (row_label(layer.replace("block", "block "), top + 15) + "".join(bars)
            + value_label(numbers.count(total), total / scale, top + 15))


def _starts(sizes: Sequence[tuple[Step, int]]) -> list[tuple[Step, int]]:
    begin, found = 0, []
    for step, size in sizes:
        found.append((step, begin))
        begin += size
    return found


def _bar(step: Step, value: int, name: str, start: int, y: float, height: float, scale: float) -> str:
    words = "measured" if name == "cycles" else "cycle model"
    lines = [step.name, f"{words} {value:,} cycles"]
    if name == "cycles":
        lines.append(f"cycle model {step.expected:,} ({step.cycles - step.expected:+,})")  # type: ignore[operator]
    lines += [f"lower bound {step.bound:,}", f"{step.tokens} tokens, {step.slots:,} slots"]
    return mark("rect", value=value, tip=lines, key=f"steps/{step.index}/{name}", x=pct(start / scale), y=y,
                width=pct(value / scale), height=height, fill=f"var(--kind-{kind_of(step.name)}, var(--base))",
                class_="mark seg" if name == "cycles" else "mark seg model")


def _table(steps: Sequence[Step]) -> str:
    head = ("step", "tokens", "slots", "lower bound", "cycle model", "measured", "difference")
    rows = []
    for step in steps:
        at = f"steps/{step.index}"
        measured = ("", "") if step.cycles is None else (
            (numbers.count(step.cycles), step.cycles, f"{at}/cycles"), f"{step.cycles - step.expected:+,}")
        rows.append((step.name, (str(step.tokens), step.tokens, f"{at}/tokens"),
                     (numbers.count(step.slots), step.slots, f"{at}/slots"),
                     (numbers.count(step.bound), step.bound, f"{at}/lower_bound_cycles"),
                     (numbers.count(step.expected), step.expected, f"{at}/expected_cycles"), *measured))
    return table(head, rows)


