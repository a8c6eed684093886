"""Curves of a run: loss, accuracy and sparsity over the images seen."""

from __future__ import annotations

from pathlib import Path

from algo.train.record import Record
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
            loss.plot(seen, [line[name] for line in record.lines], label=name.replace("_", " "), linewidth=1)
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
