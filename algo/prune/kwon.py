"""Fast post-training pruning of heads and neurons (Kwon et al., NeurIPS 2022, arXiv 2204.09656)."""

from __future__ import annotations

from torch import Tensor

from algo.prune.fisher import mask_gradients
from algo.prune.knapsack import as_scores, group_neurons
from algo.prune.methods import Subject, register_method
from algo.prune.rearrange import rearrange
from algo.prune.rescale import rescale
from algo.prune.units import Kept, UnitFamily

State = dict[str, Tensor]

DAMP = 0.01


@register_method("kwon", needs="images")
def kwon(subject: Subject) -> UnitFamily:
    """Fisher masks of heads and neurons, rearranged and rescaled (Kwon et al., NeurIPS 2022).

    Importance is the diagonal of the Fisher information of mask variables (section 4.1), from per-image gradients; a
    knapsack keeps the best heads and neurons; swaps within a layer lower the loss that its Fisher block predicts
    (4.2); least squares give the kept ones real mask values (4.3). Neurons are kept in groups of 16 neurons of like
    importance. Images without labels get them from the network's own predictions.

    Options: ``rearrange``, ``rescale`` (bool, both on), ``damp`` (of the rescaling).
    """
    gradients = mask_gradients(subject)
    heads, neurons = gradients.fisher()
    members, groups = group_neurons(as_scores(neurons))

    def swap(kept_heads: Kept, kept_neurons: Kept) -> tuple[Kept, Kept]:
        return ({index: rearrange(mask, gradients.heads[index]) for index, mask in kept_heads.items()},
                {index: rearrange(mask, gradients.neurons[index]) for index, mask in kept_neurons.items()})

    def tune(kept_heads: Kept, kept_neurons: Kept) -> State:
        return rescale(subject, kept_heads, kept_neurons, float(subject.options.get("damp", DAMP)))

    return UnitFamily("kwon", subject, as_scores(heads), members, groups,
                      rearrange=swap if subject.options.get("rearrange", True) else None,
                      tune=tune if subject.options.get("rescale", True) else None)
