"""An evaluation as JSON and as a table."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from flows.accuracy import Evaluation
from flows.runs import stamp

FLOAT_ONLY = "a Swin runs in PyTorch only: no fake-quantized and no integer network, no cycles"
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


def tables(report: Mapping[str, Any]) -> RenderableType:
    """What is shown on the screen, from the report; of a Swin there is less."""
    fewer = report["dense_macs"] / report["macs"]
    lines = [
        f"weights: {report['weights']}",
        f"MACs: {report['macs']:,} of {report['dense_macs']:,} dense ({fewer:.2f} times fewer)",
    ]
    if report.get("architecture") == "swin":
        lines += [f"parameters: {report['parameters']:,}", FLOAT_ONLY]
    else:
        speed = report["integer_images_per_second"]
        lines += [f"parameters: {report['parameters']:,}; weights packed: {report['weight_bytes']:,} bytes",
                  f"predicted cycles: {report['cycles']:,} ({report['milliseconds']:.3f} ms)",
                  f"speed of the integers: {speed:.1f} images/s per core (processor time)",
                  f"tokens alive: {', '.join(f'{count:g}' for count in _changes(report['tokens']))}"]
        if report["differing_logits"] is not None:
            lines.append(f"logits in which fake-quantized and integer differ: {report['differing_logits']}")
    return Group(_accuracy_table(report), *(Text(line) for line in lines))


def _accuracy_table(report: Mapping[str, Any]) -> Table:
    table = Table(title=escape(f"{report['model']}, {report['images']} images"))
    for title in ("", "top-1", "95 % interval", "top-5", "95 % interval", "same answer as float"):
        table.add_column(title, justify="left" if not title else "right")
    for name, row in report["networks"].items():
        table.add_row(TITLES[name], *_cells(row))
    return table


def _cells(row: Mapping[str, Any]) -> list[str]:
    return [f"{row['top1']:.2%}", _interval(row["top1_interval"]), f"{row['top5']:.2%}",
            _interval(row["top5_interval"]), "" if row["agreement"] is None else f"{row['agreement']:.2%}"]


def _interval(ends: Sequence[float]) -> str:
    return f"{ends[0]:.1%} .. {ends[1]:.1%}"


def _changes(tokens: Sequence[float]) -> list[float]:
    """Each number of tokens once, in order."""
    return [count for index, count in enumerate(tokens) if index == 0 or count != tokens[index - 1]]
