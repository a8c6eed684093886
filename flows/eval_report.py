"""An evaluation as JSON and as a table."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from flows.accuracy import Evaluation, Row
from flows.runs import stamp

TITLES = {"float": "float", "fake": "fake-quantized", "integer": "integer"}


def report_of(result: Evaluation) -> dict[str, Any]:
    """Everything, as JSON can hold it."""
    return {
        **stamp("eval", artifact=result.artifact_hash),
        "model": result.model,
        "weights": result.weights,
        "images": result.images,
        "networks": {name: dataclasses.asdict(row) for name, row in result.rows.items()},
        "differing_logits": result.differing_logits,
        "tokens": list(result.tokens),
        "integer_images_per_second": result.integer_images_per_second,
        **dataclasses.asdict(result.cost),
    }


def tables(result: Evaluation) -> RenderableType:
    """What is shown on the screen."""
    cost = result.cost
    lines = [
        f"weights: {result.weights}",
        f"MACs: {cost.macs:,} of {cost.dense_macs:,} dense ({cost.dense_macs / cost.macs:.2f} times fewer)",
        f"parameters: {cost.parameters:,}; weights packed: {cost.weight_bytes:,} bytes",
        f"predicted cycles: {cost.cycles:,} ({cost.milliseconds:.3f} ms)",
        f"speed of the integer network: {result.integer_images_per_second:.1f} images/s per core (processor time)",
        f"tokens alive: {', '.join(f'{count:g}' for count in _changes(result.tokens))}",
    ]
    if result.differing_logits is not None:
        lines.append(f"logits in which fake-quantized and integer differ: {result.differing_logits}")
    return Group(accuracy_table(result.model, result.images, result.rows), *(Text(line) for line in lines))


def accuracy_table(model: str, images: int, rows: Mapping[str, Row]) -> Table:
    """Accuracy of the networks ``rows`` with its intervals."""
    table = Table(title=f"{model}, {images} images")
    for title in ("", "top-1", "95 % interval", "top-5", "95 % interval", "same answer as float"):
        table.add_column(title, justify="left" if not title else "right")
    for name, row in rows.items():
        table.add_row(TITLES[name], *_cells(row))
    return table


def _cells(row: Row) -> list[str]:
    return [f"{row.top1:.2%}", _interval(row.top1_interval), f"{row.top5:.2%}", _interval(row.top5_interval),
            "" if row.agreement is None else f"{row.agreement:.2%}"]


def _interval(ends: tuple[float, float]) -> str:
    return f"{ends[0]:.1%} .. {ends[1]:.1%}"


def _changes(tokens: tuple[float, ...]) -> list[float]:
    """Each number of tokens once, in order."""
    return [count for index, count in enumerate(tokens) if index == 0 or count != tokens[index - 1]]
