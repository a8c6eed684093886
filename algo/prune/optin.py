"""OPTIN: one-shot pruning by the trajectory of features (Khaki and Plataniotis, ICLR 2024, arXiv 2403.17921)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from algo.data import normalise
from algo.prune.knapsack import Scores, group_neurons
from algo.prune.masked import blocks_from, embed, unit_masks
from algo.prune.methods import Subject, register_method
from algo.prune.rescale import rescale
from algo.prune.trajectory import Trajectory, record
from algo.prune.units import Kept, UnitFamily
from algo.tokens.evit import block_with_drop
from flows.contracts.errors import ConfigError

State = dict[str, Tensor]

IMAGES = 8
FEATURE_WEIGHT = 10.0
"""Feature errors count about that many times as much as logit errors."""
LAST_BLOCK, HEADS = 0.5, 0.5
"""Factors of the scores of the last block, which has no later features, and of heads beside neurons."""
DAMP = 0.01


@register_method("optin", needs="images")
def optin(subject: Subject) -> UnitFamily:
    """Trajectory scores of heads and neurons: the error that each one's removal leads to in all later blocks (OPTIN).

    Each head, and each group of 16 neurons, is taken out alone; the rest of the network runs again on one batch, and
    the errors of the features of all later blocks and of the logits add up to its importance. Neurons are grouped by
    the exact norm of what they add to the residual stream on that batch, ``|h_j| |w_j|``, so that a group goes together
    that would go together; the output of their layer follows from the dense one by subtraction of what the group adds,
    so only the blocks behind it run. Selection as in :mod:`algo.prune.knapsack`.

    Options: ``batch`` (images, 8), ``feature_weight`` (10), ``rescale`` (bool, off: least-squares mask values of the
    kept units, as Kwon et al. have them), ``damp`` (of the rescaling).
    """
    if len(subject.pixels) == 0:
        raise ConfigError("optin needs calibration images; give a pack or a folder of images")
    # The pruned network may keep another number of tokens under threshold drop: nothing could be compared.
    drops = {layer: drop for layer, drop in subject.drops.items() if drop.mode == "topk"}
    heads, members, groups = _scores(replace(subject, drops=drops))

    def tune(kept_heads: Kept, kept_neurons: Kept) -> State:
        return rescale(subject, kept_heads, kept_neurons, float(subject.options.get("damp", DAMP)))

    return UnitFamily("optin", subject, heads, members, groups,
                      tune=tune if subject.options.get("rescale", False) else None)


@dataclass(eq=False)
class _Errors:
    """Errors per block and unit: of the features of later blocks, and of the logits."""

    features: Scores
    logits: Scores


@torch.no_grad()
def _scores(subject: Subject) -> tuple[Scores, list[np.ndarray], Scores]:
    """Importance of heads, members of the groups of neurons, importance of the groups."""
    model = subject.model
    images = normalise(subject.pixels[:int(subject.options.get("batch", IMAGES))], subject.mean, subject.std)
    outputs: list[Tensor] = []
    start = embed(model, images)
    logits = blocks_from(model, start, 0, subject.drops, lambda index, x: outputs.append(x))
    dense = record(outputs, logits, subject.seed)
    inputs = [start, *outputs[:-1]]
    depth = len(model.blocks)
    heads = _Errors([], [])
    groups = _Errors([], [])
    members = []
    for index, block in enumerate(model.blocks):
        _add(heads, [_head_errors(subject, dense, inputs[index], index, head) for head in range(block.attn.num_heads)])
        hidden = _hidden(block, inputs[index], subject.drops.get(index))
        (own,), _ = group_neurons([_local_norm(block, hidden)])
        members.append(own)
        _add(groups, [_group_errors(subject, dense, outputs[index], hidden, index, torch.from_numpy(group))
                      for group in own])
        subject.progress("trajectories", (index + 1) / depth)
    weight = float(subject.options.get("feature_weight", FEATURE_WEIGHT))
    scale = _logit_scale([*heads.features, *groups.features], [*heads.logits, *groups.logits], weight)
    return _mix(heads, scale, HEADS), members, _mix(groups, scale, 1.0)


def _add(errors: _Errors, found: list[tuple[float, float]]) -> None:
    pairs = np.array(found, dtype=np.float64)
    errors.features.append(pairs[:, 0])
    errors.logits.append(pairs[:, 1])


def _mix(errors: _Errors, scale: float, factor: float) -> Scores:
    scores = [factor * (features + scale * logits)
              for features, logits in zip(errors.features, errors.logits, strict=True)]
    scores[-1] = scores[-1] * LAST_BLOCK
    return scores


def _logit_scale(features: Scores, logits: Scores, weight: float) -> float:
    """Power of ten that makes the mean logit error about ``1 / weight`` of the mean feature error."""
    both = np.concatenate(features).mean(), np.concatenate(logits).mean()
    if min(both) <= 0 or weight <= 0:
        return 1.0
    return float(10.0 ** np.round(np.log10(both[0] / (weight * both[1]))))


def _head_errors(subject: Subject, dense: Trajectory, x: Tensor, index: int, head: int) -> tuple[float, float]:
    blocks = subject.model.blocks
    mask = torch.ones(blocks[index].attn.num_heads)
    mask[head] = 0
    heads = [mask if number == index else None for number in range(len(blocks))]
    with unit_masks(subject.model, heads, [None] * len(blocks)):
        return _later(subject, dense, x, index, skip=index)


def _group_errors(subject: Subject, dense: Trajectory, output: Tensor, hidden: Tensor, index: int,
                  group: Tensor) -> tuple[float, float]:
    weight = subject.model.blocks[index].mlp.fc2.weight[:, group]
    return _later(subject, dense, output - hidden[..., group] @ weight.T, index + 1, skip=index)


def _later(subject: Subject, dense: Trajectory, x: Tensor, first: int, skip: int) -> tuple[float, float]:
    """Errors of the features behind block ``skip`` and of the logits, when ``x`` enters block ``first``."""
    total = 0.0

    def see(index: int, stream: Tensor) -> None:
        nonlocal total
        if index > skip:
            total += dense.feature_error(index, stream)

    logits = blocks_from(subject.model, x, first, subject.drops, see)
    return total, dense.logit_error(logits)


def _hidden(block: Any, x: Tensor, drop: Any) -> Tensor:
    """Hidden activations of a block's MLP ``(B, N, F)``."""
    found: list[Tensor] = []
    see: Callable[[str, Tensor], None] = lambda name, value: found.append(value) if name == "hidden" else None  # noqa: E731
    block_with_drop(block, x, drop, see)
    return found[0]


def _local_norm(block: Any, hidden: Tensor) -> np.ndarray:
    """Norm of what each neuron adds to the residual stream ``(F,)``."""
    return (hidden.flatten(0, 1).double().norm(dim=0) * block.mlp.fc2.weight.double().norm(dim=0)).numpy()
