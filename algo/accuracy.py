"""Accuracy of a float network on a data pack, and its comparison with an integer version of the same network."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from algo.data import Pack, batches, normalise, pack_pixels
from algo.export import Prepared
from algo.tokens.evit import forward_with_drop
from flows.contracts.artifact import TokenDrop

BATCH = 8
WIDE_BATCH = 25


@dataclass(frozen=True, eq=False)
class Comparison:
    """Two sets of predictions for the same images.

    Attributes
    ----------
    images : number of images
    reference_top1, top1 : share of images whose best class is the label, of the reference and of the other network
    reference_top5, top5 : share of images whose label is among the best five
    agreement : share of images for which both name the same best class
    """

    images: int
    reference_top1: float
    top1: float
    reference_top5: float
    top5: float
    agreement: float

    @property
    def top1_drop_points(self) -> float:
        """Percentage points of top-1 accuracy lost against the reference; negative when gained."""
        return 100 * (self.reference_top1 - self.top1)

    def __str__(self) -> str:
        return (f"{self.images} images: top-1 float {self.reference_top1:.2%}, integer {self.top1:.2%} "
                f"({-self.top1_drop_points:+.2f} points); top-5 {self.reference_top5:.2%}, {self.top5:.2%}; "
                f"same answer {self.agreement:.2%}")


def choose_images(pack: Pack, count: int | None, seed: int = 0) -> list[int]:
    """All images of ``pack`` in order, or ``count`` of them chosen by ``seed``."""
    if count is None or count >= len(pack):
        return list(range(len(pack)))
    return sorted(int(index) for index in np.random.default_rng(seed).choice(len(pack), count, replace=False))


def float_logits(
    prepared: Prepared, pack: Pack, images: list[int], progress: Callable[[float], None] | None = None
) -> np.ndarray:
    """Logits of the float network, with its token drop: float32 ``(images, classes)``."""
    parts, done = [], 0
    for batch in batches(np.array(images), BATCH):
        pixels = np.stack([pack_pixels(pack, int(index), prepared.image_size) for index in batch])
        with torch.inference_mode():
            parts.append(forward_with_drop(prepared.model, normalise(pixels, prepared.mean, prepared.std),
                                           prepared.drops).numpy())
        done += len(batch)
        if progress:
            progress(done / len(images))
    return np.concatenate(parts)


def network_logits(
    model: Any, pack: Pack, images: list[int], mean: Sequence[float], std: Sequence[float],
    drops: Mapping[int, TokenDrop] | None = None, progress: Callable[[float], None] | None = None,
) -> np.ndarray:
    """Logits of any plain ViT for ``images`` of a pack, quickly: under bfloat16 autocast.

    Good for comparisons of accuracy; :func:`float_logits` is the reference.

    Returns
    -------
    float32 ``(images, classes)``
    """
    size, parts, done = model.patch_embed.img_size[0], [], 0
    for batch in batches(np.array(images), WIDE_BATCH):
        pixels = np.stack([pack_pixels(pack, int(index), size) for index in batch])
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
            parts.append(forward_with_drop(model, normalise(pixels, mean, std), drops).float().numpy())
        done += len(batch)
        if progress:
            progress(done / len(images))
    return np.concatenate(parts)


def compare(reference: np.ndarray, logits: np.ndarray, labels: np.ndarray) -> Comparison:
    """Compare the logits of two networks.

    Parameters
    ----------
    reference, logits : ``(images, classes)``
    labels : ``(images,)``
    """
    if reference.shape != logits.shape or len(labels) != len(logits):
        raise ValueError(f"logits {reference.shape} and {logits.shape} and {len(labels)} labels do not go together")
    first, other = ranking(reference), ranking(logits)
    return Comparison(
        images=len(labels),
        reference_top1=float((first[:, 0] == labels).mean()),
        top1=float((other[:, 0] == labels).mean()),
        reference_top5=float((first == labels[:, None]).any(1).mean()),
        top5=float((other == labels[:, None]).any(1).mean()),
        agreement=float((first[:, 0] == other[:, 0]).mean()),
    )


def ranking(logits: np.ndarray) -> np.ndarray:
    """The five best classes of each image, best first, of equal ones the lower index: ``(images, 5)``."""
    return np.argsort(-logits.astype(np.float64), axis=1, kind="stable")[:, :5]
