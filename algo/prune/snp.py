"""SNP: query-key pairs, value channels and MLP neurons go, in equal numbers per head.

After Shim et al., "SNP: Structured Neuron-level Pruning to Preserve Attention Scores" (ECCV 2024, arXiv 2404.11630):
channels of queries and keys go in pairs, chosen so that the attention map changes least, and value channels where heads
repeat each other. The paper's scoring runs in a closed service; the scores used here (:mod:`algo.prune.channel_scores`)
follow from what it optimises. The paper trains afterwards; here the mean of what goes is moved into the bias that
follows.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from algo.prune.channel_scores import LayerScores, layer_scores
from algo.prune.methods import Subject, register_method
from algo.prune.plan import Pruned, PruningPlan, State, apply_plan
from flows.contracts.hardware import BLOCK

PAIRS, VALUES, NEURONS = "pairs", "values", "neurons"
KINDS = (PAIRS, VALUES, NEURONS)


@dataclass(frozen=True)
class Level:
    """Sixteen channels of every head, or sixteen neurons, of one block: what goes at once.

    Attributes
    ----------
    layer : block
    kind : ``"pairs"``, ``"values"`` or ``"neurons"``
    loss : part of that product's energy that goes with it
    macs : multiplications that go with it
    """

    layer: int
    kind: str
    loss: float
    macs: float


@register_method("snp", needs="images")
def snp(subject: Subject) -> ChannelFamily:
    """Query-key pairs and value channels, equally many per head, and MLP neurons, by activations (after SNP, 2024).

    Channels are ranked within their head, neurons within their MLP, and go 16 at a time, which leaves whole weight
    blocks empty. Over blocks and kinds, what goes first is what loses the smallest part of the energy of its logits,
    context or MLP output per multiplication saved. At least 16 channels and neurons of each stay.

    Raises
    ------
    ConfigError
        When there is no calibration image.
    """
    scores = layer_scores(subject)
    return ChannelFamily(subject.model.state_dict(), scores)


class ChannelFamily:
    """Plans of :func:`snp`; ``share`` is that of the multiplications which can go.

    Parameters
    ----------
    state : weights of the dense network
    scores : of every block
    """

    def __init__(self, state: State, scores: list[LayerScores]) -> None:
        self.state = {name: tensor.detach() for name, tensor in state.items()}
        self.scores = scores
        found = [level for layer, part in enumerate(scores) for level in levels(layer, part)]
        # Within a kind of a layer losses ascend, so a level never goes before a less important one.
        self.levels = sorted(found, key=lambda level: level.loss / level.macs)

    def at(self, share: float) -> Pruned:
        """The network with about ``share`` of its prunable multiplications; 0 leaves 16 channels of everything."""
        gone = dict.fromkeys(((layer, kind) for layer in range(len(self.scores)) for kind in KINDS), 0)
        to_go = (1 - share) * sum(level.macs for level in self.levels)
        for level in self.levels:
            if to_go < level.macs / 2:
                break
            gone[level.layer, level.kind] += 1
            to_go -= level.macs
        masks = {kind: {layer: kept(getattr(part, kind), gone[layer, kind] * BLOCK)
                        for layer, part in enumerate(self.scores) if gone[layer, kind]} for kind in KINDS}
        plan = PruningPlan("snp", neurons=masks[NEURONS], pairs=masks[PAIRS], values=masks[VALUES])
        return apply_plan(self._with_means(plan), plan)

    def _with_means(self, plan: PruningPlan) -> State:
        """Biases that include the means of the channels and neurons that go."""
        state = dict(self.state)
        for mapping, name, source in ((plan.values, "attn.proj", "context_mean"),
                                      (plan.neurons, "mlp.fc2", "hidden_mean")):
            for layer, stays in mapping.items():
                path = f"blocks.{layer}.{name}"
                if f"{path}.bias" in state:
                    lost = torch.from_numpy(np.where(stays.ravel(), 0.0, getattr(self.scores[layer], source)))
                    bias = state[f"{path}.bias"]
                    state[f"{path}.bias"] = bias + (state[f"{path}.weight"].double() @ lost).to(bias.dtype)
        return state


def levels(layer: int, scores: LayerScores) -> Iterator[Level]:
    """What can go from a block, the least important first; the last 16 channels of each kind stay."""
    heads, head_width = scores.pairs.shape
    width = heads * head_width
    # per channel of every head: two projections and its product with all tokens; per neuron: a row and a column
    attention = heads * (2 * width * scores.tokens_in + scores.tokens_in**2)
    for kind, macs in ((PAIRS, attention), (VALUES, attention), (NEURONS, 2 * width * scores.tokens_out)):
        energy = np.sort(np.atleast_2d(getattr(scores, kind)) ** 2, axis=1).sum(axis=0)
        total = max(float(energy.sum()), np.finfo(np.float64).tiny)
        for first in range(0, len(energy) - BLOCK, BLOCK):
            yield Level(layer, kind, float(energy[first:first + BLOCK].sum()) / total, macs * BLOCK)


def kept(scores: np.ndarray, gone: int) -> np.ndarray:
    """Bool mask without the ``gone`` lowest scores of each row; of equal ones the last go first."""
    rows = np.atleast_2d(scores)
    order = np.argsort(-rows, axis=1, kind="stable")
    mask = np.ones(rows.shape, bool)
    np.put_along_axis(mask, order[:, rows.shape[1] - gone:], False, axis=1)
    return mask.reshape(scores.shape)
