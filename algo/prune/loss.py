"""The loss whose gradients rank the parts of a network."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def sample_loss(logits: Tensor, labels: Tensor, generator: torch.Generator) -> Tensor:
    """Sum over the images of the cross entropy.

    An image without a label (-1) gets one drawn from the network's own prediction. The squared gradients are then those
    of the true Fisher information (Kunstner et al., NeurIPS 2019), which needs no labels at all.

    Parameters
    ----------
    logits : ``(B, classes)``
    labels : int64 ``(B,)``
    generator : for the draw
    """
    drawn = torch.multinomial(logits.detach().float().softmax(dim=1), 1, generator=generator)[:, 0]
    return functional.cross_entropy(logits.float(), torch.where(labels < 0, drawn, labels), reduction="sum")
