"""How good the networks of a sweep are: accuracy on labelled images, or a proxy that needs none.

The proxy compares the logits of the integer network with those of its reference, the same weights with all blocks and
all tokens, on crops of the photographs that scikit-image ships. It tells how far pruning moves the answers, not whether
they are right.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from flows.accuracy import choose_images, labels_for, rows_of
from flows.compile import config_for
from flows.contracts.artifact import SparseVit
from flows.contracts.errors import ConfigError
from flows.contracts.images import Pack, open_images
from flows.contracts.preprocess import code_table, load_image, pixel_patches
from flows.eval_workers import Task, evaluate
from flows.sweep.network import NetworkSpec, network_of
from sim.golden.network import Golden

PHOTOGRAPHS = ("astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg", "motorcycle_left.png",
               "hubble_deep_field.jpg")
"""Colour photographs inside the scikit-image package."""
PARTS = ((0.5, 0.5, 1.0), (0.3, 0.4, 0.6))
"""Crops of each: where the centre of the free play lies, and the edge as a share of the shorter side."""
PROXY = "proxy, correlation of logits with the unpruned network's on photographs"
"""What the proxy is, in words that go with every figure."""


@dataclass(frozen=True)
class ScoreTask:
    """A network to score; can be pickled.

    Attributes
    ----------
    network : to score
    images : labelled images, or None for the proxy alone
    count : so many of them
    engine : what computes the integers on them, ``golden`` or ``hls``
    """

    network: NetworkSpec
    images: Path | None = None
    count: int = 256
    engine: str = "golden"


def score(task: ScoreTask) -> dict[str, Any]:
    """Quality of a network, as JSON can hold it.

    Returns
    -------
    dict
        ``accuracy``: top-1 share, None without labelled images and for made-up weights; ``quality``: ``proxy`` (what
        the proxy is, in words), ``photographs``, ``correlation`` (Pearson's, of the logits, mean over the photographs),
        ``agreement`` (share with the same best class), ``snr_db`` (signal to noise ratio of the logits; None when
        there is no noise), ``reference``; with an accuracy also ``top1``, ``top1_interval`` (95 %, Wilson), ``top5``,
        ``images``, ``mean_tokens`` (alive at first and after each block)

    Raises
    ------
    SievitError
        When network or images are unusable, or their classes differ.
    """
    artifact = network_of(task.network)
    quality = _proxy(task.network)
    if task.images is None or artifact.synthetic:
        return {"accuracy": None, "quality": quality}
    measured = _accuracy(artifact, task)
    return {"accuracy": measured["top1"], "quality": quality | measured}


def _proxy(spec: NetworkSpec) -> dict[str, Any]:
    ours, theirs = photograph_logits(spec), photograph_logits(spec.reference)
    return {"proxy": PROXY, "photographs": len(ours), "reference": spec.reference.label, **agreement(ours, theirs)}


def agreement(ours: np.ndarray, theirs: np.ndarray) -> dict[str, Any]:
    """How well logits ``(images, classes)`` agree with those of a reference."""
    noise = float(((ours - theirs) ** 2).sum())
    signal = float((theirs ** 2).sum())
    rows = [_pearson(first, second) for first, second in zip(ours, theirs, strict=True)]
    return {"correlation": float(np.mean(rows)),
            "agreement": float((ours.argmax(axis=1) == theirs.argmax(axis=1)).mean()),
            "snr_db": float(10 * np.log10(signal / noise)) if noise and signal else None}


def _pearson(first: np.ndarray, second: np.ndarray) -> float:
    first, second = first - first.mean(), second - second.mean()
    scale = float(np.linalg.norm(first) * np.linalg.norm(second))
    return float(first @ second) / scale if scale else float(np.array_equal(first, second))


@functools.lru_cache(maxsize=16)
def photograph_logits(spec: NetworkSpec) -> np.ndarray:
    """Logits of the integer network in real values, float64 ``(photographs, classes)``."""
    artifact = network_of(spec)
    table = code_table(artifact.mean, artifact.std, artifact.input_scale)
    patches = np.stack([pixel_patches(pixels, table, artifact.patch) for pixels in photographs(artifact.image_size)])
    return Golden(artifact).classify(patches).astype(np.float64) * artifact.scales.get("logits", 1.0)


def photographs(size: int) -> list[np.ndarray]:
    """Two square crops of each photograph, uint8 ``(size, size, 3)``."""
    import skimage  # only its files are used

    folder = Path(skimage.__file__).parent / "data"
    return [_crop(folder / name, size, part) for name in PHOTOGRAPHS for part in PARTS]


def _crop(path: Path, size: int, part: Sequence[float]) -> np.ndarray:
    from PIL import Image

    photograph = load_image(path)
    edge = part[2] * min(photograph.size)
    left, top = (centre * (side - edge) for centre, side in zip(part, photograph.size, strict=False))
    return np.asarray(photograph.resize((size, size), Image.Resampling.BICUBIC,
                                        box=(left, top, left + edge, top + edge)))


def _accuracy(artifact: SparseVit, task: ScoreTask) -> dict[str, Any]:
    assert task.images is not None
    data = open_images(task.images)
    classes = artifact.head.weight.shape[0]
    if isinstance(data, Pack) and data.names and len(data.names) != classes:
        raise ConfigError(f"{task.images} has {len(data.names)} classes, {task.network.label} has {classes}; leave the "
                          "network or --images out")
    chosen = choose_images(data, task.count)
    labels = labels_for(artifact, data)[chosen]
    hls = config_for(artifact) if task.engine == "hls" else None
    answers = evaluate(Task(task.images, artifact, hls=hls), chosen, workers=1)
    row = rows_of(answers.logits, labels)["integer"]
    return {"top1": row.top1, "top1_interval": list(row.top1_interval), "top5": row.top5, "images": len(chosen),
            "mean_tokens": [artifact.tokens, *(float(count) for count in answers.tokens.mean(axis=0))]}
