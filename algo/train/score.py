"""Accuracy of the network that is trained, on its test images."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from algo.data import logits_of
from algo.tokens.train import TokenRule
from algo.train.student import Student
from flows.contracts.images import ImageSet

BATCH = 64


def top1(
    student: Student,
    source: ImageSet,
    size: int,
    mean: Sequence[float],
    std: Sequence[float],
    drops: Mapping[int, TokenRule],
    *,
    limit: int | None = None,
    progress: Callable[[float], None] | None = None,
) -> float:
    """Share of the first ``limit`` images (all by default) whose best class is their label."""
    count = min(len(source), limit or len(source))
    device = next(student.parameters()).device
    logits = logits_of(lambda images: student(images.to(device), drops).logits, source, range(count), size, mean, std,
                       batch=BATCH, progress=progress)
    return float((logits.argmax(1) == np.asarray(source.label)[:count]).mean())
