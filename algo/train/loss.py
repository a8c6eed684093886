"""What training lowers: cross entropy, and the distance to a teacher."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from algo.train.batches import Batch


def blended_cross_entropy(logits: Tensor, batch: Batch, smoothing: float) -> Tensor:
    """Cross entropy with the labels of a batch, for blended images with both labels in proportion."""
    own, other = (functional.cross_entropy(logits, labels, label_smoothing=smoothing, reduction="none")
                  for labels in (batch.labels, batch.others))
    return (batch.share * own + (1 - batch.share) * other).mean()


def distillation(logits: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """Kullback-Leibler divergence of the softened answers, times the squared temperature (Hinton et al. 2015)."""
    own = functional.log_softmax(logits / temperature, dim=-1)
    other = functional.log_softmax(teacher / temperature, dim=-1)
    return functional.kl_div(own, other, reduction="batchmean", log_target=True) * temperature**2


def feature_distance(features: Sequence[Tensor], teacher: Sequence[Tensor]) -> Tensor:
    """Mean squared distance of normalised tokens after every block, averaged over the blocks.

    Parameters
    ----------
    features, teacher : per block ``(B, N, D)``. Where the student has dropped tokens only CLS is compared
    """
    distances = []
    for own, other in zip(features, teacher, strict=True):
        same = own.shape[1] == other.shape[1]
        pair = (own, other) if same else (own[:, 0], other[:, 0])
        first, second = (functional.layer_norm(tokens.float(), tokens.shape[-1:]) for tokens in pair)
        distances.append(functional.mse_loss(first, second))
    return torch.stack(distances).mean()
