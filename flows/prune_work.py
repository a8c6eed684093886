"""What is counted of a pruned network, by architecture: multiplications, parameters, parts that are left."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np

from flows.contracts.artifact import TokenDrop


class Work(Protocol):
    """Counts for one dense network and whatever is made from it by pruning."""

    dense_macs: int
    dense_parameters: int

    def macs(self, pruned: Any) -> int:
        """Multiplications of one image."""
        ...

    def parameters(self, pruned: Any) -> int:
        """Parameters, weights of pruned blocks left out."""
        ...

    def parts(self, pruned: Any) -> dict[str, Any]:
        """What else is left, for the report."""
        ...


def work_of(subject: Any, architecture: str) -> Work:
    """The counts for an :class:`algo.prune.methods.Subject`."""
    return SwinWork(subject.model) if architecture == "swin" else VitWork(subject.model, subject.drops)


class VitWork:
    """Counts of a plain ViT, with its token drop where pruned and without it where dense.

    Parameters
    ----------
    model : VisionTransformer
    drops : token drop per block
    """

    def __init__(self, model: Any, drops: Mapping[int, TokenDrop]) -> None:
        from algo.macs import count_work

        self._count, self._drops = count_work, drops
        self._heads, self._depth = model.blocks[0].attn.num_heads, len(model.blocks)
        dense = count_work(model.state_dict(), self._heads)
        self.dense_macs, self.dense_parameters = dense.macs, dense.parameters

    def macs(self, pruned: Any) -> int:
        """Multiplications of one image."""
        return self._count(pruned.state, self._heads, self._drops).macs

    def parameters(self, pruned: Any) -> int:
        """Parameters, weights of pruned blocks left out."""
        return self._count(pruned.state, self._heads, self._drops).parameters

    def parts(self, pruned: Any) -> dict[str, Any]:
        """Heads and hidden neurons of each block."""
        whole, depth = np.ones(self._heads, dtype=bool), range(self._depth)
        return {"heads": [int(pruned.plan.heads.get(index, whole).sum()) for index in depth],
                "neurons": [len(pruned.state[f"blocks.{index}.mlp.fc1.bias"]) for index in depth]}


class SwinWork:
    """Counts of a Swin, of which methods prune blocks of weights only.

    Parameters
    ----------
    model : SwinTransformer
    """

    def __init__(self, model: Any) -> None:
        from algo.prune.plan import zero_block_masks
        from algo.swin import swin_macs, swin_parameters

        self._model, self._macs, self._parameters = model, swin_macs, swin_parameters
        masks = zero_block_masks(model.state_dict())
        self.dense_macs, self.dense_parameters = swin_macs(model, masks).total, swin_parameters(model, masks)

    def macs(self, pruned: Any) -> int:
        """Multiplications of one image."""
        return self._macs(self._model, pruned.masks).total

    def parameters(self, pruned: Any) -> int:
        """Parameters, weights of pruned blocks left out."""
        return self._parameters(self._model, pruned.masks)

    def parts(self, pruned: Any) -> dict[str, Any]:
        """Nothing: all heads and neurons stay."""
        return {}
