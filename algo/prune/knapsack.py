"""Which heads and neurons to keep under a budget, by their importance.

Both Kwon et al. (NeurIPS 2022, section 4.1) and OPTIN (ICLR 2024, section 3.3) try every number of heads: the most
important ones, then as many of the most important neurons as the rest of the budget allows; the best total wins.
"""

from __future__ import annotations

import numpy as np
import torch

from algo.prune.methods import Subject
from algo.tokens.count import alive_tokens
from flows.contracts.hardware import BLOCK

Scores = list[np.ndarray]
"""Importance per block of the network: ``(heads,)``, or ``(groups,)`` of 16 neurons."""


def select(
    heads: Scores, neurons: Scores, head_costs: np.ndarray, neuron_costs: np.ndarray, budget: float
) -> tuple[Scores, Scores]:
    """The kept heads and groups of neurons with the highest total importance within ``budget``.

    Parameters
    ----------
    heads, neurons : importance of each unit, not negative, per block
    head_costs, neuron_costs : cost of one unit of each block (tokens differ where tokens are dropped), above 0
    budget : most that the kept units may cost; one group per block is kept even if it is exceeded, as a layer needs
        neurons to be a layer

    Returns
    -------
    bool masks in the shape of ``heads`` and of ``neurons``.
    """
    floor = [np.arange(len(scores)) == int(np.argmax(scores)) for scores in neurons]
    base = float(sum(neuron_costs))
    head_order = _Ranked(heads, head_costs)
    neuron_order = _Ranked([np.where(first, 0, scores) for first, scores in zip(floor, neurons, strict=True)],
                           neuron_costs, skip=floor)
    best, choice = -1.0, (0, 0)
    for count in range(len(head_order.cost) + 1):
        spent = base + head_order.spent[count]
        if count and spent > budget:
            break
        others = int(np.searchsorted(neuron_order.spent, budget - spent, side="right")) - 1
        total = head_order.gained[count] + neuron_order.gained[max(others, 0)]
        if total > best:
            best, choice = total, (count, max(others, 0))
    kept = neuron_order.first(choice[1])
    return head_order.first(choice[0]), [mask | first for mask, first in zip(kept, floor, strict=True)]


class _Ranked:
    """Units in the order in which they are kept: importance per cost, of equal ones the earlier block and index.

    Where all units cost the same, as without token drop, that is the papers' order by importance.
    """

    def __init__(self, scores: Scores, costs: np.ndarray, skip: Scores | None = None) -> None:
        self.shapes = [len(part) for part in scores]
        flat = np.concatenate(scores).astype(np.float64)
        cost = np.repeat(np.asarray(costs, dtype=np.float64), self.shapes)
        order = np.argsort(-flat / cost, kind="stable")
        if skip is not None:
            order = order[~np.concatenate(skip)[order]]
        self.order, self.cost = order, cost[order]
        self.spent = np.concatenate([[0.0], np.cumsum(cost[order])])
        self.gained = np.concatenate([[0.0], np.cumsum(flat[order])])

    def first(self, count: int) -> Scores:
        """Masks of the first ``count`` units."""
        mask = np.zeros(sum(self.shapes), dtype=bool)
        mask[self.order[:count]] = True
        return np.split(mask, np.cumsum(self.shapes)[:-1])


def group_neurons(scores: Scores) -> tuple[list[np.ndarray], Scores]:
    """Neurons of like importance in groups of 16, because only whole blocks save anything.

    Parameters
    ----------
    scores : importance of each neuron per block, ``(hidden,)``, a multiple of 16

    Returns
    -------
    Per block the members of each group ``(hidden / 16, 16)``, most important group first, and the groups' summed
    importance ``(hidden / 16,)``.
    """
    members = [np.argsort(-part, kind="stable").reshape(-1, BLOCK) for part in scores]
    return members, [part[index].sum(axis=1) for part, index in zip(scores, members, strict=True)]


def neuron_masks(members: list[np.ndarray], groups: Scores) -> Scores:
    """Masks of neurons ``(hidden,)`` from masks of their groups."""
    masks = []
    for index, kept in zip(members, groups, strict=True):
        mask = np.zeros(index.size, dtype=bool)
        mask[index[kept].ravel()] = True
        masks.append(mask)
    return masks


def unit_costs(subject: Subject) -> tuple[np.ndarray, np.ndarray]:
    """Multiplications of one head, and of one group of 16 neurons, of every block.

    A head multiplies queries, keys, values and projection (``4 N D d``) and its attention (``2 N^2 d``), a neuron
    ``2 N D``, ``N`` being the tokens alive at that point.
    """
    model = subject.model
    width = model.embed_dim
    heads, neurons = [], []
    alive = alive_tokens(model.patch_embed.num_patches + 1, len(model.blocks), subject.drops)
    for block, (before, after) in zip(model.blocks, alive, strict=True):
        channels = width // block.attn.num_heads
        heads.append(4 * before * width * channels + 2 * before**2 * channels)
        neurons.append(2 * after * width * BLOCK)
    return np.array(heads, dtype=np.float64), np.array(neurons, dtype=np.float64)


def as_scores(tensors: list[torch.Tensor]) -> Scores:
    """Tensors as float64 arrays."""
    return [tensor.detach().double().numpy() for tensor in tensors]
