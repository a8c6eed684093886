"""Block pruning by second-order scores, with least-squares compensation."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from algo.prune.blocks import layer_names
from algo.prune.compensate import compensate
from algo.prune.curvature import Curvature, measure_curvature
from algo.prune.methods import Subject, register_method, weights_of
from algo.prune.order import Order, by_importance, reorder, row_order
from algo.prune.plan import Pruned, PruningPlan, apply_plan, zero_block_masks
from algo.prune.surgeon import damped, removal_costs
from algo.tokens.count import alive_tokens

DAMP = 0.01

Curvatures = dict[str, Curvature]


@register_method("second_order", needs="images")
def second_order(subject: Subject) -> SecondOrderFamily:
    """Blocks that cost least by second-order scores go, the others make up for them by least squares.

    1. Curvature of every layer (:mod:`algo.prune.curvature`), which makes scores of different layers comparable.
    2. Channels of like importance move together (:mod:`algo.prune.order`).
    3. The order in which the blocks of each block row go when the others make up for each, and what each costs
       (:mod:`algo.prune.surgeon`).
    4. One threshold over all layers on the cost per multiplication.
    5. New weights for the blocks that stay, and new biases, layer after layer (:mod:`algo.prune.compensate`).

    Options: ``damp`` (share of the mean diagonal added to the moments), ``order`` and ``compensate`` (bool, both on).
    """
    damp = float(subject.options.get("damp", DAMP))
    curvatures = measure_curvature(subject)
    order = channel_order(subject.model, curvatures) if subject.options.get("order", True) else {}
    model = copy.deepcopy(subject.model)
    model.load_state_dict(reorder(model.state_dict(), order))
    ordered = replace(subject, model=model)
    curvatures = reorder_curvatures(curvatures, order)
    costs = {}
    for index, (name, curvature) in enumerate(curvatures.items()):
        weight = model.get_submodule(name).weight.double()
        gain = (curvature.outputs / max(1, curvature.tokens)).sqrt()
        costs[name] = removal_costs(weight * gain[:, None], damped(curvature.inputs, damp)).numpy()
        subject.progress("second-order scores", (index + 1) / len(curvatures))
    return SecondOrderFamily(ordered, order, costs, layer_tokens(ordered), damp,
                             bool(subject.options.get("compensate", True)))


@dataclass(frozen=True, eq=False)
class SecondOrderFamily:
    """Plans that remove the blocks of least cost per multiplication.

    Attributes
    ----------
    subject : the network with its channels in the new order
    order : that order
    costs : per layer, what the removal of each block costs, ``(out / 16, in / 16)``
    tokens : per layer, how many tokens it works on
    damp : of the least squares
    compensates : whether :meth:`at` makes up for the blocks that go
    """

    subject: Subject
    order: Order
    costs: dict[str, np.ndarray]
    tokens: dict[str, int]
    damp: float
    compensates: bool

    def at(self, share: float) -> Pruned:
        """The network with ``share`` of the multiplications of its linear layers, its weights compensated."""
        sketch = self.sketch(share)
        if not sketch.masks or not self.compensates:
            return sketch
        state = compensate(self.subject, sketch.masks, self.damp)
        return Pruned(sketch.plan, state, zero_block_masks(state))

    def sketch(self, share: float) -> Pruned:
        """The same blocks as :meth:`at` keeps, with the weights as they were."""
        masks = self._masks(share)
        applied = apply_plan(weights_of(self.subject), PruningPlan("second_order", blocks=masks))
        return Pruned(PruningPlan("second_order", blocks=masks, order=self.order), applied.state, applied.masks)

    def _masks(self, share: float) -> dict[str, np.ndarray]:
        sizes = [cost.size for cost in self.costs.values()]
        work = np.repeat([float(self.tokens[name]) for name in self.costs], sizes)
        price = np.concatenate([cost.ravel() for cost in self.costs.values()]) / work
        order = np.argsort(-price, kind="stable")
        # a millionth more, so that rounding of the sums does not cost the last block
        count = int(np.searchsorted(np.cumsum(work[order]), share * work.sum() * (1 + 1e-6), side="right"))
        kept = np.zeros(len(price), dtype=bool)
        kept[order[:count]] = True
        parts = np.split(kept, np.cumsum(sizes)[:-1])
        return {name: part.reshape(cost.shape) for (name, cost), part in zip(self.costs.items(), parts, strict=True)
                if not part.all()}


def channel_order(model: Any, curvatures: Curvatures) -> Order:
    """Channels by the loss that the curvature predicts when each is taken out alone."""
    order = {}
    for index, block in enumerate(model.blocks):
        path, heads = f"blocks.{index}", block.attn.num_heads
        order[f"{path}.mlp"] = by_importance(_input_importance(block.mlp.fc2, curvatures[f"{path}.mlp.fc2"]))
        values = _input_importance(block.attn.proj, curvatures[f"{path}.attn.proj"])
        order[f"{path}.values"] = by_importance(values, heads)
        query, key, _ = np.split(_output_importance(block.attn.qkv, curvatures[f"{path}.attn.qkv"]), 3)
        order[f"{path}.pairs"] = by_importance(query + key, heads)
    return order


def _input_importance(layer: Any, curvature: Curvature) -> np.ndarray:
    weight: Tensor = layer.weight.double()
    return (curvature.inputs.diagonal() * (curvature.outputs[:, None] * weight.square()).sum(dim=0)).numpy()


def _output_importance(layer: Any, curvature: Curvature) -> np.ndarray:
    weight: Tensor = layer.weight.double()
    return (((weight @ curvature.inputs) * weight).sum(dim=1) * curvature.outputs).numpy()


def reorder_curvatures(curvatures: Curvatures, order: Order) -> Curvatures:
    """The curvatures of the network whose channels are in the new ``order``."""
    found = dict(curvatures)
    for name, index in order.items():
        path, _, kind = name.rpartition(".")
        rows, columns = (f"{path}.mlp.fc1", f"{path}.mlp.fc2") if kind == "mlp" else \
            (f"{path}.attn.qkv", f"{path}.attn.proj")
        old = found[rows]
        found[rows] = Curvature(old.inputs, old.outputs[torch.from_numpy(row_order(kind, index))], old.tokens)
        if kind != "pairs":
            old, inner = found[columns], torch.from_numpy(index)
            found[columns] = Curvature(old.inputs[inner][:, inner], old.outputs, old.tokens)
    return found


def layer_tokens(subject: Subject) -> dict[str, int]:
    """Tokens that each prunable layer works on."""
    model = subject.model
    alive = alive_tokens(model.patch_embed.num_patches + 1, len(model.blocks), subject.drops)
    return {name: alive[int(name.split(".")[1])][".mlp." in name] for name in layer_names(weights_of(subject))}
