"""Gradients of the loss with respect to masks of heads and neurons, image by image."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from algo.prune.loss import sample_loss
from algo.prune.masked import blocks_from, embed, image_chunks, unit_masks
from algo.prune.methods import Subject


@dataclass(frozen=True, eq=False)
class MaskGradients:
    """Gradients per block of the network: ``heads[l]`` ``(images, heads)``, ``neurons[l]`` ``(images, hidden)``."""

    heads: list[Tensor]
    neurons: list[Tensor]

    def fisher(self) -> tuple[list[Tensor], list[Tensor]]:
        """Diagonal of the empirical Fisher information of the masks: squares summed over the images."""
        return ([part.double().square().sum(dim=0) for part in self.heads],
                [part.double().square().sum(dim=0) for part in self.neurons])


def mask_gradients(subject: Subject) -> MaskGradients:
    """Gradient of each calibration image's loss with respect to every mask, at masks of one.

    Every image has masks of its own, so that one backward pass of a batch gives the gradients of all its images; Kwon
    et al. square sums over mini-batches instead, which is noisier for the few images used here.
    """
    blocks = list(subject.model.blocks)
    heads: list[list[Tensor]] = [[] for _ in blocks]
    neurons: list[list[Tensor]] = [[] for _ in blocks]
    generator = torch.Generator().manual_seed(subject.seed)
    done = 0
    for images, labels in image_chunks(subject):
        head_masks = [torch.ones(len(images), block.attn.num_heads, requires_grad=True) for block in blocks]
        neuron_masks = [torch.ones(len(images), block.mlp.fc2.in_features, requires_grad=True) for block in blocks]
        with torch.enable_grad(), unit_masks(subject.model, head_masks, neuron_masks):
            logits = blocks_from(subject.model, embed(subject.model, images), 0, subject.drops)
            gradients = torch.autograd.grad(sample_loss(logits, labels, generator), [*head_masks, *neuron_masks])
        for store, gradient in zip([*heads, *neurons], gradients, strict=True):
            store.append(gradient)
        done += len(images)
        subject.progress("gradients", done / len(subject.pixels))
    return MaskGradients([torch.cat(parts) for parts in heads], [torch.cat(parts) for parts in neurons])
