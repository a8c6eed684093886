"""Curves of a run: loss, accuracy and sparsity over the images seen."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from algo.train.record import Record
from flows.contracts.errors import ConfigError
from flows.contracts.files import replacing

LOSSES = ("loss", "cross_entropy", "distillation", "features")


def draw(record: Record, path: Path) -> None:
    """Write the curves of ``record`` as a PNG file."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 9), layout="constrained")
    loss, accuracy, kept = figure.subplots(3, 1, sharex=True)
    seen = [line["images_seen"] for line in record.lines]
    for name in LOSSES:
        if record.lines and name in record.lines[0]:
            values = [line.get(name, float("nan")) for line in record.lines]
            loss.plot(seen, values, label=name.replace("_", " "), linewidth=1)
    loss.set(ylabel="loss", yscale="log")
    accuracy.plot(seen, [100 * line["train_top1"] for line in record.lines], linewidth=1, label="training batches")
    accuracy.plot([row["images_seen"] for row in record.evaluations],
                  [100 * row["top1"] for row in record.evaluations], marker="o", label="test images")
    accuracy.set(ylabel="top-1 (%)")
    for name in ("kept_weights", "kept_tokens"):
        kept.plot(seen, [100 * line[name] for line in record.lines], label=name.replace("_", " "))
    kept.set(ylabel="kept (%)", xlabel="images seen", ylim=(0, 105))
    for axes in (loss, accuracy, kept):
        axes.grid(alpha=0.3)
        if axes.get_legend_handles_labels()[0]:
            axes.legend()
    with replacing(path) as part:
        FigureCanvasAgg(figure).print_png(str(part))


def compare(folders: Sequence[Path], path: Path) -> list[dict[str, Any]]:
    """Draw the accuracy of several runs over the images they have seen.

    Parameters
    ----------
    folders : of finished or running runs, as :func:`algo.train.run.train` leaves them
    path : PNG file to write

    Returns
    -------
    Per run: name, images seen, images evaluated and top-1 at its last evaluation.

    Raises
    ------
    ConfigError
        When a folder holds no run.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.subplots()
    rows = []
    for folder in folders:
        evaluations = read_evaluations(folder)
        axes.plot([row["images_seen"] for row in evaluations], [100 * row["top1"] for row in evaluations], marker="o",
                  label=folder.name.replace("_", " "))
        rows.append({"run": folder.name, **{name: evaluations[-1][name] for name in ("images_seen", "images", "top1")}})
    axes.set(xlabel="images seen", ylabel="top-1 on test images (%)")
    axes.grid(alpha=0.3)
    axes.legend()
    with replacing(path) as part:
        FigureCanvasAgg(figure).print_png(str(part))
    return rows


def read_evaluations(folder: Path) -> list[dict[str, Any]]:
    """The evaluations of a run so far.

    Raises
    ------
    ConfigError
        When ``folder`` holds none.
    """
    try:
        evaluations = json.loads((folder / "evaluations.json").read_text())["evaluations"]
        if evaluations:
            return evaluations
    except (OSError, ValueError, KeyError):
        pass
    raise ConfigError(f"{folder} holds no evaluated run; give folders that 'sievit train' has written")
