"""Accuracy of the network that is trained, on its test images."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch

from algo.data import normalise
from algo.tokens.train import TokenRule
from algo.train.images import ImageSet
from algo.train.student import Student
from flows.contracts.preprocess import crop

BATCH = 64


@torch.no_grad()
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
    right, resize = 0, getattr(source, "resize", False)
    for start in range(0, count, BATCH):
        indices = range(start, min(start + BATCH, count))
        pixels = np.stack([crop(source.image(index), size, resize=resize) for index in indices])
        images = normalise(pixels, mean, std).to(next(student.parameters()).device)
        answer = student(images, drops)
        right += int((answer.logits.argmax(1).cpu().numpy() == np.asarray(source.label)[list(indices)]).sum())
        if progress:
            progress(indices[-1] / count)
    return right / count
