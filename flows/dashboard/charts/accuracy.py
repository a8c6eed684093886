"""Accuracy of the forms of the network, with 95 % intervals."""

from __future__ import annotations

from collections.abc import Callable

from flows.dashboard import numbers
from flows.dashboard.accuracy import Accuracy, Score
from flows.dashboard.charts.axes import plot, row_label, x_axis
from flows.dashboard.markup import behind, mark, pct, table, tag, text

ROW, TOP = 34, 6


def accuracy_chart(scores: Accuracy | None, *, own: bool = False) -> str:
    """A dot and its interval per form; ``own`` says that they stand in the page's own report."""
    if scores is None:
        return ""
    ends = [end for score in scores.scores for end in (score.interval or (score.top1, score.top1))]
    pad = max(max(ends) - min(ends), 0.01) * 0.35
    low, high = max(min(ends) - pad, 0.0), min(max(ends) + pad, 1.0)

    def x(value: float) -> float:
        return (value - low) / (high - low)

    bottom = TOP + ROW * len(scores.scores)
    rows = "".join(_row(score, TOP + ROW * index + ROW // 2, x, own) for index, score in enumerate(scores.scores))
    step = numbers.ticks(high - low, 3)[1]
    places = [step * index for index in range(int(low / step) + 1, int(high / step + 1e-9) + 1)]
    axis = x_axis([(x(place), f"{100 * place:g} %") for place in places], TOP, bottom, "top-1")
    drawn = plot("accuracy", bottom + 36, axis, rows, left=118, right=28, label="top-1 accuracy")
    return drawn + behind("Figures", table(("network", "top-1", "95 % interval", "same answer as float"), [
        (score.title, (numbers.percent(score.top1, 2), score.top1, _key(score, own)),
         "" if score.interval is None else f"{score.interval[0]:.2%} .. {score.interval[1]:.2%}",
         "" if score.agreement is None else numbers.percent(score.agreement, 2)) for score in scores.scores]))


def _row(score: Score, y: float, x: Callable[[float], float], own: bool) -> str:
    tip = [score.title, f"top-1 {numbers.percent(score.top1, 2)}"]
    if score.interval:
        tip.append(f"95 % interval {score.interval[0]:.2%} to {score.interval[1]:.2%}")
    if score.agreement is not None:
        tip.append(f"same answer as floating point {score.agreement:.2%}")
    lines = "" if score.interval is None else tag("line", x1=pct(x(score.interval[0])), x2=pct(x(score.interval[1])),
                                                  y1=y, y2=y, class_="whisker")
    colour = "var(--accent)" if score.name == "integer" else "var(--muted)" if score.name == "dense" else "var(--base)"
    names = {"float": "floating point", "fake": "fake-quantized", "integer": "integers", "dense": "dense network"}
    return (row_label(names.get(score.name, score.name), y + 4) + lines
            + mark("circle", value=score.top1, tip=tip, key=_key(score, own), cx=pct(x(score.top1)), cy=y, r=5,
                   fill=colour, class_="mark dot")
            + tag("text", text(numbers.percent(score.top1, 2)), x=pct(x(score.top1)), y=y - 9, class_="value",
                  text_anchor="middle"))


def _key(score: Score, own: bool) -> str | None:
    return f"networks/{score.name}/top1" if own and score.name != "dense" else None
