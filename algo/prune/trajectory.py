"""How far a change inside a network drives its later features and its answer from where they were."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

SAMPLES = 768
"""Tokens compared per block."""
TEMPERATURE = 4.0
"""Of the logits' distributions."""


@dataclass(frozen=True, eq=False)
class Trajectory:
    """Features of one pass of the dense network.

    Attributes
    ----------
    features : per block, normalised features of the sampled tokens ``(samples, D)``
    chosen : per block, which of the flattened ``(B, N)`` tokens are sampled
    norms : per block, squared Frobenius norm of the features' Gram matrix
    logits : ``(B, classes)``
    """

    features: list[Tensor]
    chosen: list[Tensor]
    norms: list[Tensor]
    logits: Tensor

    def feature_error(self, block: int, stream: Tensor) -> float:
        """``|F F^T - F' F'^T|^2`` (Frobenius): the manifold distillation of Hao et al. (NeurIPS 2022).

        The Gram matrices of the tokens are never formed: ``tr(F F^T F' F'^T) = |F^T F'|^2``.

        Parameters
        ----------
        block : its output is compared
        stream : the other residual stream that leaves it, ``(B, N, D)``
        """
        other = _normalised(stream, self.chosen[block])
        own = self.features[block]
        both = (other.T @ other).square().sum() - 2 * (own.T @ other).square().sum() + self.norms[block]
        return max(0.0, float(both))

    def logit_error(self, logits: Tensor) -> float:
        """Divergence of Kullback and Leibler between the answers at :data:`TEMPERATURE`, times its square."""
        own = functional.log_softmax(self.logits / TEMPERATURE, dim=1)
        other = functional.log_softmax(logits / TEMPERATURE, dim=1)
        divergence = functional.kl_div(other, own, reduction="batchmean", log_target=True)
        return max(0.0, TEMPERATURE**2 * float(divergence))


def record(streams: Sequence[Tensor], logits: Tensor, seed: int, samples: int = SAMPLES) -> Trajectory:
    """Trajectory of the dense network.

    Parameters
    ----------
    streams : residual stream that leaves each block, ``(B, N, D)``
    logits : ``(B, classes)``
    seed : of the choice of tokens
    samples : tokens compared per block, all when there are fewer
    """
    generator = torch.Generator().manual_seed(seed)
    chosen = [torch.randperm(stream.shape[0] * stream.shape[1], generator=generator)[:samples] for stream in streams]
    features = [_normalised(stream, index) for stream, index in zip(streams, chosen, strict=True)]
    return Trajectory(features, chosen, [(part.T @ part).square().sum() for part in features], logits)


def _normalised(stream: Tensor, chosen: Tensor) -> Tensor:
    # float64: the error is a small difference of large sums
    return functional.normalize(stream.flatten(0, 1)[chosen].double(), dim=1)
