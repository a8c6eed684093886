"""What the parts of a dense network contribute on a few images: where learned scores begin.

A weight counts by how much its product with the input varies the output (Sun et al., ICLR 2024, "Wanda"), and rows of
queries, keys and values also by what meets them on the other side. Channels of like importance are put together, see
:mod:`algo.prune.order`, as blocks of 16 channels are what is pruned.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from algo.prune.order import Order, by_importance
from algo.tokens.evit import forward_with_drop
from flows.contracts.hardware import BLOCK

Power = dict[str, Tensor]
"""Mean square of every channel of the tensors that :func:`algo.tokens.evit.forward_with_drop` shows."""


@torch.no_grad()
def measure_power(model: Any, images: Tensor) -> Power:
    """Mean squares on ``images``, float ``(B, 3, size, size)``, normalised."""
    power: Power = {}

    def see(name: str, value: Tensor) -> None:
        if value.dim() == 3:
            power[name] = value.double().square().mean(dim=(0, 1)).cpu()

    training = model.training
    forward_with_drop(model.eval(), images, observe=see)
    model.train(training)
    return power


def channel_order(model: Any, power: Power) -> Order:
    """Order of the channels within each head by importance: pairs of queries and keys, and values."""
    order = {}
    for layer, block in enumerate(model.blocks):
        path, heads = f"blocks.{layer}", block.attn.num_heads
        projection = block.attn.proj.weight.detach().double().cpu().square().sum(dim=0)
        order[f"{path}.pairs"] = by_importance((power[f"{path}.query"] * power[f"{path}.key"]).numpy(), heads)
        order[f"{path}.values"] = by_importance((power[f"{path}.value"] * projection).numpy(), heads)
    return order


def attention_importance(model: Any, power: Power, layer: int) -> tuple[Tensor, Tensor]:
    """Importance of the blocks of qkv ``(3 D / 16, D / 16)`` and of the projection ``(D / 16, D / 16)``."""
    path, attn = f"blocks.{layer}", model.blocks[layer].attn
    qkv, projection = (part.weight.detach().double().cpu().square() for part in (attn.qkv, attn.proj))
    other_side = torch.cat([power[f"{path}.key"], power[f"{path}.query"], projection.sum(dim=0)])
    return (_blocks(qkv * power[f"{path}.norm1"] * other_side[:, None]),
            _blocks(projection * power[f"{path}.context"]))


def neuron_importance(model: Any, power: Power, layer: int) -> Tensor:
    """Importance of the hidden neurons: mean square of their output times that of their weights ``(hidden,)``."""
    weight = model.blocks[layer].mlp.fc2.weight.detach().double().cpu()
    return power[f"blocks.{layer}.hidden"] * weight.square().sum(dim=0)


def mlp_importance(model: Any, power: Power, layer: int) -> tuple[Tensor, Tensor]:
    """Importance of the blocks of fc1 ``(hidden / 16, D / 16)`` and fc2 ``(D / 16, hidden / 16)``."""
    path, mlp = f"blocks.{layer}", model.blocks[layer].mlp
    first, second = (part.weight.detach().double().cpu().square() for part in (mlp.fc1, mlp.fc2))
    return (_blocks(first * power[f"{path}.norm2"] * second.sum(dim=0)[:, None]),
            _blocks(second * power[f"{path}.hidden"]))


def _blocks(squares: Tensor) -> Tensor:
    rows, columns = squares.shape
    return squares.reshape(rows // BLOCK, BLOCK, columns // BLOCK, BLOCK).sum(dim=(1, 3))
