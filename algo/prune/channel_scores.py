"""How much each channel of attention and each hidden neuron contributes on images, for :mod:`algo.prune.snp`.

All scores are Frobenius norms of the rank-one term that goes with a channel. What is constant over tokens does not
count: a constant added to all keys changes every logit of a row alike, which softmax ignores, and the mean of a value
channel or of a neuron can be moved into the bias that follows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from algo.data import batches, normalise
from algo.prune.methods import Subject
from algo.tokens.evit import forward_with_drop
from flows.contracts.errors import ConfigError

BATCH = 8


@dataclass(frozen=True, eq=False)
class LayerScores:
    """Scores of one block, and what replaces the channels that go.

    Attributes
    ----------
    pairs : float64 ``(heads, head width)``, mean over images of ``||q_i|| * ||k_i||``
    values : float64 ``(heads, head width)``, ``||v_i|| * ||proj column i||`` times the part of ``v_i`` that no stronger
        channel of another head has
    neurons : float64 ``(hidden,)``, ``||h_i|| * ||fc2 column i||``
    context_mean, hidden_mean : float64 ``(width,)`` and ``(hidden,)``
    tokens_in, tokens_out : mean number of tokens before and after a token drop
    """

    pairs: np.ndarray
    values: np.ndarray
    neurons: np.ndarray
    context_mean: np.ndarray
    hidden_mean: np.ndarray
    tokens_in: float
    tokens_out: float


def layer_scores(subject: Subject) -> list[LayerScores]:
    """Scores of every block from ``subject``'s images.

    Raises
    ------
    ConfigError
        When there is no image.
    """
    if not len(subject.pixels):
        raise ConfigError("this pruning method looks at activations; give calibration images")
    sums = [_Sums() for _ in subject.model.blocks]

    def observe(name: str, value: Tensor) -> None:
        parts = name.split(".")
        if len(parts) == 3:
            sums[int(parts[1])].take(parts[2], value.double())

    done = 0
    with torch.inference_mode():
        for pixels in batches(subject.pixels, BATCH):
            forward_with_drop(subject.model, normalise(pixels, subject.mean, subject.std), subject.drops, observe)
            done += len(pixels)
            subject.progress("activations", done / len(subject.pixels))
        return [part.scores(block) for part, block in zip(sums, subject.model.blocks, strict=True)]


def redundancy(covariance: Tensor, energy: Tensor, heads: int) -> Tensor:
    """Largest ``|cosine|`` of each channel with a channel of another head that has more energy, ``(channels,)``.

    Of two similar channels only the weaker one is redundant; of equally strong ones the later.
    """
    channels = len(energy)
    size = covariance.diagonal().clamp(min=torch.finfo(torch.float64).tiny).sqrt()
    cosine = (covariance / size[:, None] / size).abs().clamp(max=1.0)
    head = torch.arange(channels) // (channels // heads)
    place = torch.argsort(torch.argsort(energy, descending=True, stable=True))
    stronger = (place[None, :] < place[:, None]) & (head[None, :] != head[:, None])
    return (cosine * stronger).amax(dim=1)


class _Sums:
    """Sums over images and tokens of one block."""

    def __init__(self) -> None:
        self.images = 0
        self.pairs: Any = 0.0
        self.query: Any = None
        self.value_rows = self.hidden_rows = 0
        self.value_sum: Any = 0.0
        self.value_product: Any = 0.0
        self.context_sum: Any = 0.0
        self.hidden_sum: Any = 0.0
        self.hidden_square: Any = 0.0

    def take(self, name: str, value: Tensor) -> None:
        """One observed tensor ``(B, N, channels)``; others are ignored."""
        if name == "query":
            self.query = value.norm(dim=1)
        elif name == "key":
            centred = value - value.mean(dim=1, keepdim=True)
            self.pairs = self.pairs + (self.query * centred.norm(dim=1)).sum(dim=0)
            self.images += len(value)
        elif name == "value":
            rows = value.flatten(0, 1)
            self.value_rows += len(rows)
            self.value_sum = self.value_sum + rows.sum(dim=0)
            self.value_product = self.value_product + rows.T @ rows
        elif name == "context":
            self.context_sum = self.context_sum + value.sum(dim=(0, 1))
        elif name == "hidden":
            self.hidden_rows += value.shape[0] * value.shape[1]
            self.hidden_sum = self.hidden_sum + value.sum(dim=(0, 1))
            self.hidden_square = self.hidden_square + value.square().sum(dim=(0, 1))

    def scores(self, block: Any) -> LayerScores:
        heads = block.attn.num_heads
        mean = self.value_sum / self.value_rows
        covariance = self.value_product / self.value_rows - torch.outer(mean, mean)
        energy = covariance.diagonal().clamp(min=0).sqrt() * block.attn.proj.weight.double().norm(dim=0)
        alone = (1 - redundancy(covariance, energy, heads).square()).sqrt()
        hidden_mean = self.hidden_sum / self.hidden_rows
        deviation = (self.hidden_square / self.hidden_rows - hidden_mean.square()).clamp(min=0).sqrt()
        neurons = deviation * block.mlp.fc2.weight.double().norm(dim=0)
        return LayerScores(
            pairs=(self.pairs / self.images).reshape(heads, -1).numpy(),
            values=(energy * alone).reshape(heads, -1).numpy(), neurons=neurons.numpy(),
            context_mean=(self.context_sum / self.value_rows).numpy(), hidden_mean=hidden_mean.numpy(),
            tokens_in=self.value_rows / self.images, tokens_out=self.hidden_rows / self.images)
