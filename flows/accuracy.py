"""Accuracy of the integer network against float: joins :mod:`algo` (float) and :mod:`sim.golden` (integers)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from flows.contracts.artifact import SparseVit
from flows.contracts.errors import ConfigError
from flows.contracts.preprocess import patch_codes
from sim.golden.network import Golden

CHUNK = 8


def integer_logits(
    artifact: SparseVit, pack: Any, images: list[int], progress: Callable[[float], None] | None = None
) -> np.ndarray:
    """Logits of the golden model for ``images`` of an :class:`algo.data.Pack`: int16 ``(images, classes)``."""
    golden, parts = Golden(artifact), []
    for start in range(0, len(images), CHUNK):
        chunk = images[start:start + CHUNK]
        codes = np.stack([patch_codes(pack.image(index), artifact, resize=False) for index in chunk])
        parts.append(golden.classify(codes))
        if progress:
            progress((start + len(chunk)) / len(images))
    return np.concatenate(parts)


def measure(
    model_name: str,
    pack: Path | str,
    *,
    images: int | None = None,
    artifact: SparseVit | None = None,
    progress: Callable[[str, float], None] | None = None,
    **options: Any,
) -> Any:
    """Export a network and compare its integers with the float network (same pruning, same token drop).

    Parameters
    ----------
    model_name : registered model or plain ViT of timm
    pack : data pack with labels
    images : number of images, all by default
    artifact : exported before with the same ``options``; exported now by default
    progress : called with a stage name and the finished share
    options : as for :func:`algo.export.export`

    Returns
    -------
    An :class:`algo.accuracy.Comparison`, float being the reference.

    Raises
    ------
    ConfigError
        When the labels do not fit the classes of the model, or ``artifact`` is of another model.
    """
    from algo.accuracy import choose_images, compare, float_logits  # torch only where it is needed
    from algo.data import load_pack
    from algo.export import export, prepare

    data = load_pack(pack)
    chosen = choose_images(data, images)
    if not chosen:
        raise ConfigError("images must be at least 1")
    report = progress or (lambda stage, share: None)
    artifact = artifact or export(model_name, progress=progress, **options)
    if artifact.model != model_name:
        raise ConfigError(f"the artifact is of {artifact.model}, not {model_name}; export it again")
    classes = artifact.head.weight.shape[0]
    if data.label.max() >= classes:
        raise ConfigError(f"{pack} has labels up to {data.label.max()}, but {model_name} has {classes} classes")
    options.pop("settings", None)
    prepared = prepare(model_name, **options)
    reference = float_logits(prepared, data, chosen, lambda share: report("float", share))
    logits = integer_logits(artifact, data, chosen, lambda share: report("integer", share))
    return compare(reference, logits, data.label[chosen])
