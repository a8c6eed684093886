"""Evaluation of a Swin: the float network only, for there are no integers and no accelerator to compare it with."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flows.accuracy import Row, choose_images, labels_in, rows_of
from flows.contracts.images import open_images
from flows.runs import stamp

Progress = Callable[[str, float], None]


@dataclass(frozen=True)
class SwinEvaluation:
    """Accuracy and cost of a Swin.

    Attributes
    ----------
    model : name
    weights : where they came from
    images : evaluated
    row : accuracy of the float network
    macs, dense_macs : multiplications of one image, without blocks of zeros and with them
    parameters : weights of blocks of zeros left out
    """

    model: str
    weights: str
    images: int
    row: Row
    macs: int
    dense_macs: int
    parameters: int


def measure_swin(name: str, source: Path | str, *, weights: Path | None = None, seed: int = 0,
                 images: int | None = None, progress: Progress | None = None) -> SwinEvaluation:
    """Accuracy of a Swin on labelled images; what is zero in its weights counts as pruned.

    Parameters
    ----------
    name : registered Swin, or one of timm
    source : data pack with labels, or folder with a subfolder per class
    weights, seed : as for :func:`algo.swin.swin_weights`
    images : number of images, all by default
    progress : called with a stage name and the finished share

    Raises
    ------
    ConfigError
        When the model is no Swin, or the labels do not fit its classes.
    WeightsError, ImageError
        When weights or images are unusable.
    """
    from algo.export import class_names
    from algo.prune.plan import zero_block_masks
    from algo.swin import build_swin, swin_logits, swin_macs, swin_parameters, swin_weights
    from algo.weights import read_facts

    report = progress or (lambda stage, share: None)
    data = open_images(source)
    chosen = choose_images(data, images)
    report("weights", 0.0)
    state, origin = swin_weights(name, weights, seed)
    facts = {} if weights is None else read_facts(weights)
    model, masks = build_swin(name, state), zero_block_masks(state)
    report("weights", 1.0)
    names = facts.get("class_names", class_names(model.num_classes))
    labels = labels_in(name, model.num_classes, names, data)[chosen]
    logits = swin_logits(model, data, chosen, lambda share: report("evaluate", share), mean=facts.get("mean"),
                         std=facts.get("std"))
    return SwinEvaluation(name, origin, len(chosen), rows_of({"float": logits}, labels)["float"],
                          swin_macs(model, masks).total, swin_macs(model).total, swin_parameters(model, masks))


def swin_report(result: SwinEvaluation) -> dict[str, Any]:
    """Everything, as JSON can hold it; the names are those of :func:`flows.eval_report.report_of`."""
    fields = dataclasses.asdict(result)
    return {**stamp("eval"), "architecture": "swin", "networks": {"float": fields.pop("row")}, **fields}
