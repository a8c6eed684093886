"""DIMAP: weights only, ranked over whole modules: attention's two layers together, an MLP's two layers together.

After He and Zhou, "Data-independent Module-aware Pruning for Hierarchical Vision Transformers" (ICLR 2024, arXiv
2404.13648). Their code is not public; the score is that of LAMP (Lee et al., ICLR 2021, arXiv 2010.07611), for blocks
of 16x16 weights instead of single ones, and relative to the module instead of the layer.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from algo.prune.magnitude import magnitude
from algo.prune.methods import Subject, register_method
from algo.prune.plan import Pruned, PruningPlan, State, apply_plan
from flows.contracts.errors import ConfigError
from flows.contracts.hardware import BLOCK

MODULES = (("qkv", "proj"), ("fc1", "fc2"), ("reduction",))
"""Linear layers that are ranked together: of attention, of an MLP, of Swin's patch merging."""


@register_method("dimap", needs="nothing", architectures=("vit", "swin"))
def dimap(subject: Subject) -> ModuleFamily:
    """Weight blocks by LAMP score over modules (attention, MLP, patch merging), one threshold (after DIMAP, 2024).

    Raises
    ------
    ConfigError
        When the network has no such module, or a layer is no multiple of 16 wide.
    """
    state = {name: tensor.detach() for name, tensor in subject.model.state_dict().items()}
    return ModuleFamily(state, modules_of(subject.model))


class ModuleFamily:
    """Plans of :func:`dimap`; ``share`` is that of the blocks. Every module keeps its largest block.

    Parameters
    ----------
    state : weights of the dense network
    modules : names of the linear layers of each module
    """

    def __init__(self, state: State, modules: list[tuple[str, ...]]) -> None:
        self.state, self.modules = state, modules
        self.scores: dict[str, Tensor] = {}
        for layers in modules:
            energies = [block_energy(state[f"{name}.weight"], name) for name in layers]
            scores = lamp(torch.cat([energy.flatten() for energy in energies]))
            parts = scores.split([energy.numel() for energy in energies])
            self.scores |= {name: part.reshape(energy.shape)
                            for name, part, energy in zip(layers, parts, energies, strict=True)}
        # of equal scores the first stays
        self.order = torch.cat([part.flatten() for part in self.scores.values()]).argsort(descending=True, stable=True)

    def at(self, share: float) -> Pruned:
        """The network with ``share`` of its blocks, but no module without any."""
        if share >= 1:
            return apply_plan(self.state, PruningPlan("dimap"))
        # the largest block of a module scores 1, the most there is: these come first
        count = max(len(self.modules), round(share * len(self.order)))
        kept = torch.zeros(len(self.order), dtype=torch.bool)
        kept[self.order[:count]] = True
        parts = kept.split([part.numel() for part in self.scores.values()])
        masks: dict[str, np.ndarray] = {name: part.reshape(scores.shape).numpy()
                                        for (name, scores), part in zip(self.scores.items(), parts, strict=True)}
        return apply_plan(self.state, PruningPlan("dimap", blocks=masks))


def modules_of(model: nn.Module) -> list[tuple[str, ...]]:
    """Names of the linear layers that are ranked together, module by module in the order of the network.

    Raises
    ------
    ConfigError
        When there are none.
    """
    found = []
    for path, module in model.named_modules():
        for layers in MODULES:
            if all(isinstance(getattr(module, layer, None), nn.Linear) for layer in layers):
                found += [tuple(f"{path}.{layer}" for layer in layers)]
    if not found:
        raise ConfigError("the network has neither attention (qkv, proj) nor MLPs (fc1, fc2) to prune; use a ViT or a "
                          "Swin")
    return found


def block_energy(weight: Tensor, name: str) -> Tensor:
    """Sum of squares of each 16x16 block, float64 ``(out / 16, in / 16)``.

    Raises
    ------
    ConfigError
        When the layer does not consist of whole blocks.
    """
    if any(edge % BLOCK for edge in weight.shape):
        raise ConfigError(f"{name} has {weight.shape[0]}x{weight.shape[1]} weights, which are not whole blocks of "
                          f"{BLOCK}x{BLOCK}")
    return magnitude(weight, (BLOCK, BLOCK)).square() * BLOCK**2


def lamp(energy: Tensor) -> Tensor:
    """LAMP scores: each energy over the sum of all that are at least as large, itself included.

    Parameters
    ----------
    energy : squared norms, ``(n,)``

    Returns
    -------
    ``(n,)``, 0..1, in the order of the energies; 1 for the largest (of equal ones for the first), 0 for empty blocks.
    """
    order = energy.argsort(descending=True, stable=True)
    ranked = energy[order]
    sums = ranked.cumsum(0)
    scores = torch.where(sums > 0, ranked / sums, torch.zeros_like(ranked))
    return torch.empty_like(energy).scatter_(0, order, scores)
