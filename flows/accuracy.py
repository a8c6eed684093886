"""Accuracy of float, fake-quantized and integer network side by side: joins :mod:`algo` and :mod:`sim.golden`."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from flows.compile.fit import check_fit, config_for
from flows.contracts.artifact import SparseVit
from flows.contracts.errors import ConfigError
from flows.contracts.hardware import HardwareConfig
from flows.contracts.images import Folder, LabelledImages, open_images
from flows.cost import Cost, cost_of
from flows.eval_workers import Answers, Task, evaluate
from flows.wilson import wilson

Progress = Callable[[str, float], None]
TOP = 5


@dataclass(frozen=True)
class Row:
    """Accuracy of one network; shares of the images, with their 95 % confidence intervals (Wilson).

    Attributes
    ----------
    top1, top5 : label is the best class, or among the best five
    agreement : same best class as the float network; None without one
    """

    top1: float
    top1_interval: tuple[float, float]
    top5: float
    top5_interval: tuple[float, float]
    agreement: float | None


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Result of an evaluation.

    Attributes
    ----------
    model, weights : of the artifact
    images : evaluated
    rows : by network: ``float``, ``fake`` (fake-quantized), ``integer`` (golden model)
    differing_logits : integers in which the fake-quantized and the integer network differ; None without the former
    cost : on the chosen accelerator
    tokens : mean number of tokens alive at first and after each block
    artifact_hash : content hash of the artifact
    integer_images_per_second : speed of the integer network's engine per core, by processor time
    """

    model: str
    weights: str
    images: int
    rows: Mapping[str, Row]
    differing_logits: int | None
    cost: Cost
    tokens: tuple[float, ...]
    artifact_hash: str
    integer_images_per_second: float

    @property
    def top1_drop_points(self) -> float:
        """Percentage points of top-1 accuracy that the integers lose against float; negative when gained."""
        return 100 * (self.rows["float"].top1 - self.rows["integer"].top1)


def measure(
    model_name: str,
    source: Path | str,
    *,
    images: int | None = None,
    workers: int | None = None,
    clusters: int = 4,
    hardware: Mapping[str, Any] | None = None,
    engine: str = "golden",
    progress: Progress | None = None,
    **options: Any,
) -> Evaluation:
    """Quantize a network and compare its integers with the float network (same pruning, same token drop).

    Parameters
    ----------
    model_name : registered model or plain ViT of timm
    source : data pack with labels, or folder with a subfolder per class
    images : number of images, all by default
    workers : processes, one per core by default
    clusters, hardware : accelerator whose cycles are predicted
    engine : what computes the integers, "golden" or "hls" (the C++ models, compiled for this machine)
    progress : called with a stage name and the finished share
    options : as for :func:`algo.export.export`

    Raises
    ------
    ConfigError
        When the labels do not fit the classes of the model.
    """
    from algo.export import calibrated, export_prepared  # torch only where it is needed

    data = open_images(source)
    chosen = choose_images(data, images)
    prepared, ranges = calibrated(model_name, progress=progress, **options)
    task = Task(Path(source), export_prepared(prepared, ranges), prepared, ranges)
    return _evaluate(task, data, chosen, workers, clusters, hardware, engine, progress)


def measure_artifact(
    artifact: SparseVit,
    source: Path | str,
    *,
    images: int | None = None,
    workers: int | None = None,
    clusters: int = 4,
    hardware: Mapping[str, Any] | None = None,
    engine: str = "golden",
    progress: Progress | None = None,
) -> Evaluation:
    """Accuracy of an artifact's integers, without torch; parameters as for :func:`measure`."""
    data = open_images(source)
    return _evaluate(Task(Path(source), artifact), data, choose_images(data, images), workers, clusters, hardware,
                     engine, progress)


def _evaluate(task: Task, data: LabelledImages, chosen: list[int], workers: int | None, clusters: int,
              hardware: Mapping[str, Any] | None, engine: str, progress: Progress | None) -> Evaluation:
    artifact, report = task.artifact, progress or (lambda stage, share: None)
    labels = labels_for(artifact, data)[chosen]
    config = config_for(artifact, clusters, **dict(hardware or {}))
    check_fit(artifact, config)  # shows before the long part
    if engine == "hls":
        task = _on_hls_models(task, config, report)
    answers = evaluate(task, chosen, workers, lambda share: report("evaluate", share))
    tokens = answers.tokens.mean(axis=0)
    return Evaluation(
        model=artifact.model, weights=artifact.weights, images=len(chosen), rows=rows_of(answers.logits, labels),
        differing_logits=_differing(answers), cost=cost_of(artifact, clusters, hardware, list(tokens)),
        tokens=(artifact.tokens, *(float(count) for count in tokens)),
        artifact_hash=artifact.content_hash(), integer_images_per_second=len(chosen) / answers.integer_seconds)


def _on_hls_models(task: Task, config: HardwareConfig, report: Progress) -> Task:
    """Compiles program and models before the worker processes, each of which would."""
    from flows.sim_flow import obtain_program
    from hls_models.build import build_library

    report("compile", 0.0)
    obtain_program(task.artifact, config)
    build_library(config)
    report("compile", 1.0)
    return dataclasses.replace(task, hls=config)


def rows_of(logits: Mapping[str, np.ndarray], labels: np.ndarray) -> dict[str, Row]:
    """Accuracy of each network from its logits ``(images, classes)``."""
    best = {name: ranking(values) for name, values in logits.items()}
    return {name: _row(ranks, labels, best.get("float")) for name, ranks in best.items()}


def _row(ranks: np.ndarray, labels: np.ndarray, reference: np.ndarray | None) -> Row:
    count = len(labels)
    first, among = (int((ranks[:, :depth] == labels[:, None]).sum()) for depth in (1, TOP))
    return Row(first / count, wilson(first, count), among / count, wilson(among, count),
               None if reference is None else float((ranks[:, 0] == reference[:, 0]).mean()))


def _differing(answers: Answers) -> int | None:
    fake = answers.logits.get("fake")
    return None if fake is None else int((fake != answers.logits["integer"]).sum())


def ranking(logits: np.ndarray) -> np.ndarray:
    """The five best classes of each image, best first, of equal ones the lower index: ``(images, 5)``."""
    return np.argsort(-logits.astype(np.float64), axis=1, kind="stable")[:, :TOP]


def choose_images(data: LabelledImages, count: int | None, seed: int = 0) -> list[int]:
    """All images in order, or ``count`` of them chosen by ``seed``.

    Raises
    ------
    ConfigError
        When that would be none.
    """
    if count is not None and count < 1:
        raise ConfigError(f"--images must be at least 1, not {count}")
    if count is None or count >= len(data):
        return list(range(len(data)))
    return sorted(int(index) for index in np.random.default_rng(seed).choice(len(data), count, replace=False))


def labels_for(artifact: SparseVit, data: LabelledImages) -> np.ndarray:
    """Class of each image in the numbering of an artifact, see :func:`labels_in`."""
    return labels_in(artifact.model, artifact.head.weight.shape[0], artifact.class_names, data)


def labels_in(model: str, classes: int, class_names: Sequence[str], data: LabelledImages) -> np.ndarray:
    """Class of each image in the numbering of the network ``model``, int64 ``(images,)``.

    Folders that all have the name of a class stand for that class; otherwise the order of the folders counts.

    Raises
    ------
    ConfigError
        When the network does not have that many classes, or an image has no label.
    """
    labels = np.asarray(data.label, np.int64)
    if isinstance(data, Folder) and set(data.names) <= set(class_names):
        labels = np.array([class_names.index(name) for name in data.names])[labels]
    if labels.max() >= classes:
        raise ConfigError(f"the images have labels up to {labels.max()}, but {model} has {classes} classes")
    if labels.min() < 0:
        raise ConfigError("some of the images have no label; accuracy needs labelled images")
    return labels
