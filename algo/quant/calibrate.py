"""Statistics of the activations of a float model on calibration images, and the ranges that follow from them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from algo.data import batches, normalise
from algo.tokens.evit import forward_with_drop
from flows.contracts.artifact import TokenDrop
from flows.contracts.hardware import ceil_div

BATCH = 8
SAMPLE_ROWS = 1024
"""Tokens whose values are kept, of all images together: they bound the memory, not the time."""


class Statistics:
    """Per tensor: smallest and largest value of every channel in every image, the channel means, sampled values.

    Of scores only the row maxima count, their channels are the heads.

    Parameters
    ----------
    key_offset : per block path, the vector ``(D,)`` that is taken from all keys; scores are seen as they are then
    rows : tokens of every image whose values are kept as a sample, 0 for none
    """

    def __init__(self, key_offset: Mapping[str, np.ndarray] | None = None, rows: int = 0) -> None:
        self.key_offset = dict(key_offset or {})
        self.rows = rows
        self._sample: dict[str, list[np.ndarray]] = {}
        self._query = torch.empty(0)
        self._low: dict[str, list[np.ndarray]] = {}
        self._high: dict[str, list[np.ndarray]] = {}
        self._sum: dict[str, np.ndarray] = {}
        self._count: dict[str, int] = {}

    def observe(self, name: str, value: Tensor) -> None:
        """Add a tensor ``(B, N, C)``, or scores ``(B, H, N, N)``."""
        path, _, kind = name.rpartition(".")
        if kind == "query":
            self._query = value
        if value.dim() == 4:
            value = self._row_maxima(path, value)
        elif value.dim() == 2:  # the CLS attention, used by threshold calibration only
            return
        self._low.setdefault(name, []).append(value.amin(dim=1).numpy())
        self._high.setdefault(name, []).append(value.amax(dim=1).numpy())
        total = value.double().sum(dim=(0, 1)).numpy()
        self._sum[name] = self._sum.get(name, np.zeros_like(total)) + total
        self._count[name] = self._count.get(name, 0) + value.shape[0] * value.shape[1]
        if self.rows:
            self._keep_sample(name, value)

    def _keep_sample(self, name: str, value: Tensor) -> None:
        """Evenly spaced tokens of every image; the first one moves on from batch to batch."""
        tokens, parts = value.shape[1], self._sample.setdefault(name, [])
        rows = min(self.rows, tokens)
        index = (torch.arange(rows) * tokens // rows + len(parts)) % tokens
        parts.append(value[:, index].flatten(0, 1).numpy())

    def _row_maxima(self, path: str, score: Tensor) -> Tensor:
        """Largest score of each query after the key offset is taken away: ``(B, N, H)``."""
        maxima = score.amax(dim=-1).transpose(1, 2)
        if path not in self.key_offset:
            return maxima
        heads = score.shape[1]
        products = (self._query * torch.from_numpy(self.key_offset[path]).float()).unflatten(-1, (heads, -1))
        return maxima - products.sum(dim=-1) / products.shape[-1] ** 0.5

    def names(self) -> list[str]:
        """Tensors seen, in the order of the forward pass."""
        return list(self._low)

    def sample(self, name: str) -> np.ndarray:
        """Sampled values, float64 ``(rows, C)``."""
        return np.concatenate(self._sample[name]).astype(np.float64)

    def low(self, name: str, quantile: float = 1.0) -> np.ndarray:
        """Per channel, the value below which the image minimum lies in ``1 - quantile`` of the images: ``(C,)``."""
        return np.quantile(np.concatenate(self._low[name]).astype(np.float64), 1 - quantile, axis=0)

    def high(self, name: str, quantile: float = 1.0) -> np.ndarray:
        """Per channel, the value that the image maximum exceeds in ``1 - quantile`` of the images: ``(C,)``."""
        return np.quantile(np.concatenate(self._high[name]).astype(np.float64), quantile, axis=0)

    def mean(self, name: str) -> np.ndarray:
        """Per channel, the mean over all images and tokens: ``(C,)``."""
        return self._sum[name] / self._count[name]

    def means_of(self, kind: str) -> dict[str, np.ndarray]:
        """The channel means of the tensors ``{path}.{kind}``, by path."""
        return {name.rpartition(".")[0]: self.mean(name) for name in self._sum if name.rpartition(".")[2] == kind}


def collect(
    model: nn.Module,
    pixels: np.ndarray,
    mean: Sequence[float],
    std: Sequence[float],
    drops: Mapping[int, TokenDrop] | None = None,
    progress: Callable[[float], None] | None = None,
    *,
    samples: bool = False,
) -> Statistics:
    """Run calibration images through the (pruned) model, with its token drop, and collect statistics.

    Parameters
    ----------
    model : VisionTransformer
    pixels : uint8 ``(images, size, size, 3)``
    mean, std : normalisation per colour channel
    drops : token drop per block
    progress : called with the finished share
    samples : keep a sample of about ``SAMPLE_ROWS`` tokens of every tensor
    """
    # a first look at a few images finds the mean keys, which the scores of the real pass are measured against
    pilot = Statistics()
    forward_with_drop(model, normalise(pixels[:BATCH], mean, std), drops, pilot.observe)
    rows = ceil_div(SAMPLE_ROWS, len(pixels)) if samples else 0
    statistics, done = Statistics(pilot.means_of("key"), rows), 0
    for batch in batches(pixels, BATCH):
        forward_with_drop(model, normalise(batch, mean, std), drops, statistics.observe)
        done += len(batch)
        if progress:
            progress(done / len(pixels))
    return statistics
