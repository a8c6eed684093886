"""Training batches. Everything random in a batch follows from the seed and the number of the step alone.

So a run that was stopped goes on exactly as if it had not been, and any number of processes sees the same images.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from algo.data import normalise
from algo.train.recipe import Augment
from flows.contracts.images import ImageSet
from flows.contracts.preprocess import crop

AHEAD = 3
"""Batches that are made while the network computes."""
GREY = 128


@dataclass(frozen=True, eq=False)
class Batch:
    """One step's images.

    Attributes
    ----------
    images : float ``(B, 3, size, size)``, normalised
    pixels : the same, uint8 ``(B, size, size, 3)``
    labels : int64 ``(B,)``
    others, share : labels of the images that were blended in, and how much of each image is its own, float ``(B,)``
    """

    images: Tensor
    pixels: np.ndarray
    labels: Tensor
    others: Tensor
    share: Tensor

    def to(self, device: torch.device) -> Batch:
        """The same with its tensors on ``device``."""
        moved = (tensor.to(device) for tensor in (self.images, self.labels, self.others, self.share))
        images, labels, others, share = moved
        return Batch(images, self.pixels, labels, others, share)


@dataclass(frozen=True, eq=False)
class Loader:
    """Random batches of a data set.

    Attributes
    ----------
    source : images
    size : edge of the network's input, pixels
    batch : images per step over all processes
    augment : random changes
    mean, std : normalisation
    seed : of order and changes
    rank, world : this process makes the images ``rank::world`` of every batch
    limit : only the first images of the set
    """

    source: ImageSet
    size: int
    batch: int
    augment: Augment
    mean: Sequence[float]
    std: Sequence[float]
    seed: int
    rank: int = 0
    world: int = 1
    limit: int | None = None

    @property
    def images(self) -> int:
        """Images per epoch."""
        return min(len(self.source), self.limit or len(self.source))

    def run(self, first: int, last: int) -> Iterator[Batch]:
        """Batches of the steps ``first`` to ``last - 1``, made ahead in a thread."""
        with ThreadPoolExecutor(1) as pool:
            waiting = [pool.submit(self.at, step) for step in range(first, min(first + AHEAD, last))]
            for step in range(first, last):
                batch = waiting.pop(0).result()
                if step + AHEAD < last:
                    waiting.append(pool.submit(self.at, step + AHEAD))
                yield batch

    def at(self, step: int) -> Batch:
        """The batch of one step, or this process's part of it."""
        # draws for every image of the whole batch, so that the split over processes changes nothing
        generator = np.random.default_rng([self.seed, 1, step])
        draws, chosen = generator.random((self.batch, 16)), slice(self.rank, None, self.world)
        alpha = self.augment.mixup
        shares = generator.beta(alpha, alpha, self.batch) if alpha else np.ones(self.batch)
        positions = np.arange(step * self.batch, (step + 1) * self.batch)[chosen]
        share = shares[chosen].astype(np.float32)
        pixels, labels = self._images(positions, draws[chosen, :8])
        others = labels
        if alpha:
            # partners are half an epoch away, and never the image itself
            partners, others = self._images(positions + max(1, self.images // 2), draws[chosen, 8:])
            weight = share[:, None, None, None]
            pixels = np.rint(pixels * weight + partners * (1 - weight)).astype(np.uint8)
        return Batch(normalise(pixels, self.mean, self.std), pixels, labels, others, torch.from_numpy(share))

    def _images(self, positions: np.ndarray, draws: np.ndarray) -> tuple[np.ndarray, Tensor]:
        """The images at some positions of the endless sequence of shuffled epochs."""
        indices = [self._order(int(p) // self.images)[int(p) % self.images] for p in positions]
        parts = [augmented(self.source.image(index), self.size, self.augment, draw)
                 for index, draw in zip(indices, draws, strict=True)]
        return np.stack(parts), torch.from_numpy(np.asarray(self.source.label)[indices].astype(np.int64))

    def _order(self, epoch: int) -> list[int]:
        return _permutation(self.seed, epoch, self.images)


@functools.lru_cache(maxsize=4)
def _permutation(seed: int, epoch: int, images: int) -> list[int]:
    return np.random.default_rng([seed, 0, epoch]).permutation(images).tolist()


def augmented(image: Image.Image, size: int, augment: Augment, draw: np.ndarray) -> np.ndarray:
    """A randomly changed image.

    Parameters
    ----------
    image : RGB
    size : edge of the result
    draw : eight numbers in 0..1 that decide

    Returns
    -------
    uint8 ``(size, size, 3)``
    """
    if augment.crop == "none":
        pixels = crop(image, size, resize=False)
    else:
        box = _shifted(image, augment, draw) if augment.crop == "pad" else _part(image, augment, draw)
        if augment.crop == "pad" and augment.pad:
            image = _padded(image, augment.pad)
        pixels = np.asarray(image.resize((size, size), Image.Resampling.BICUBIC, box=box))
    if draw[4] < augment.flip:
        pixels = pixels[:, ::-1]
    if draw[5] < augment.erase:
        pixels = _erased(pixels, draw)
    return pixels


def _padded(image: Image.Image, pad: int) -> Image.Image:
    return Image.fromarray(np.pad(np.asarray(image), ((pad, pad), (pad, pad), (0, 0)), mode="reflect"))


def _shifted(image: Image.Image, augment: Augment, draw: np.ndarray) -> tuple[float, float, float, float]:
    """The centre square of the padded image, shifted by whole pixels."""
    edge = min(image.size)
    left, top = ((side - edge) // 2 + int(value * (2 * augment.pad + 1)) for side, value in
                 zip(image.size, draw, strict=False))
    return left, top, left + edge, top + edge


def _part(image: Image.Image, augment: Augment, draw: np.ndarray) -> tuple[float, float, float, float]:
    low, high = augment.scale
    area = image.width * image.height * (low + (high - low) * draw[2])
    aspect = math.exp((2 * draw[3] - 1) * math.log(4 / 3))
    width, height = min(math.sqrt(area * aspect), image.width), min(math.sqrt(area / aspect), image.height)
    left, top = draw[0] * (image.width - width), draw[1] * (image.height - height)
    return left, top, left + width, top + height


def _erased(pixels: np.ndarray, draw: np.ndarray) -> np.ndarray:
    size = pixels.shape[0]
    height, width = (max(1, int(size * math.sqrt(1 / 3) * (0.3 + 0.7 * value))) for value in draw[6:8])
    top, left = int(draw[0] * (size - height)), int(draw[1] * (size - width))
    pixels = pixels.copy()
    pixels[top:top + height, left:left + width] = GREY
    return pixels
