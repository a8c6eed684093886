"""Second-order statistics of the linear layers: how much the loss feels a change of their weights.

With ``x`` the input of a layer and ``g`` the gradient of an image's loss with respect to its output, the loss rises by
about ``1/2 sum_o G_o dw_o H dw_o^T`` when row ``o`` of the weights changes by ``dw_o``. That is K-FAC (Martens and
Grosse, ICML 2015) with a diagonal output factor ``G_o = mean_t g_to^2``. Its input factor here is
``H = sum_t s_t x_t x_t^T``, with ``s_t`` the token's share of the squared gradients, 1 on average: tokens that no loss
depends on, as the patches in the last MLP, do not count.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from algo.prune.blocks import layer_names
from algo.prune.loss import sample_loss
from algo.prune.masked import blocks_from, embed, image_chunks
from algo.prune.methods import Subject, weights_of

FLOOR = 0.05
"""Smallest weight of a token, as a share of the mean: keeps ``H`` well conditioned."""


@dataclass(eq=False)
class Curvature:
    """Statistics of one layer, summed over tokens.

    Attributes
    ----------
    inputs : ``H``, float64 ``(in, in)``
    outputs : ``sum_t g_t^2``, float64 ``(out,)``
    tokens : how many
    """

    inputs: Tensor
    outputs: Tensor
    tokens: int = 0

    def add(self, x: Tensor, gradient: Tensor) -> None:
        """Add tokens ``x (T, in)`` with output gradients ``(T, out)``."""
        squares = gradient.square()
        share = squares.sum(dim=1)
        share = share / share.mean().clamp_min(1e-30) + FLOOR
        self.inputs += (x.T @ (x * share[:, None])).double()
        self.outputs += squares.sum(dim=0).double()
        self.tokens += len(x)


def measure_curvature(subject: Subject) -> dict[str, Curvature]:
    """Curvature of every prunable layer, by one backward pass over the calibration images."""
    model = subject.model
    layers = {name: model.get_submodule(name) for name in layer_names(weights_of(subject))}
    found = {name: Curvature(torch.zeros(layer.in_features, layer.in_features, dtype=torch.float64),
                             torch.zeros(layer.out_features, dtype=torch.float64)) for name, layer in layers.items()}
    handles = [layer.register_forward_hook(_recorder(found[name])) for name, layer in layers.items()]
    generator = torch.Generator().manual_seed(subject.seed)
    done = 0
    try:
        for images, labels in image_chunks(subject):
            with torch.enable_grad():
                x = embed(model, images).detach().requires_grad_(True)
                sample_loss(blocks_from(model, x, 0, subject.drops), labels, generator).backward()
            done += len(images)
            subject.progress("curvature", done / len(subject.pixels))
    finally:
        for handle in handles:
            handle.remove()
    return found


def _recorder(curvature: Curvature) -> Callable[[Any, tuple[Tensor, ...], Tensor], None]:
    def hook(module: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        x = inputs[0].detach().flatten(0, 1)
        output.register_hook(lambda gradient: curvature.add(x, gradient.flatten(0, 1)))

    return hook
