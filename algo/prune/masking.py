"""Pruning masks that change while a network is trained.

What is ranked against each other: the blocks of one matrix (queries, keys and values are three), and the hidden neurons
of one MLP. A subclass says how important each of them is; this class turns that, and the share to keep, into masks.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from algo.prune.blocks import keep_best
from algo.prune.plan import Pruned, PruningPlan, State, apply_plan, zero_block_masks
from flows.contracts.errors import ConfigError
from flows.contracts.hardware import BLOCK

PATTERNS = ("alternate", "blocks")


class Masks(nn.Module):
    """Masks of the encoder's matrices.

    With the pattern ``blocks`` every matrix is pruned in 16x16 blocks. With ``alternate`` (Parikh et al., FCCM 2024,
    section III-A; the ``hybrid`` scheme of Lagunas et al. 2021, section 4) the matrices of attention are pruned in
    blocks, and what becomes useless on the other side goes too: channels of keys without queries, columns of the
    projection without values; in the MLP whole hidden neurons go, a row of fc1 together with a column of fc2.

    Parameters
    ----------
    model : VisionTransformer; its weights are looked at, not changed
    pattern : ``alternate`` or ``blocks``
    balanced : the same number of blocks in every output block column
    attention : share of attention's matrices that is kept when the share of all is one half; the MLP has what is left.
        By default both keep the same share

    Attributes
    ----------
    keep : share that is kept at present; :meth:`refresh` makes it take effect
    """

    def __init__(self, model: Any, pattern: str = "alternate", *, balanced: bool = False,
                 attention: float | None = None) -> None:
        super().__init__()
        self.attention = attention
        if pattern not in PATTERNS:
            raise ConfigError(f"pruning pattern must be one of {', '.join(PATTERNS)}, not {pattern!r}")
        self.keep, self.pattern, self.balanced = 1.0, pattern, balanced
        # not a submodule: its parameters belong to the network
        self._network = [model]
        self._sizes = {part: sum(matrix_weights(getattr(block, part)) for block in model.blocks)
                       for part in ("attn", "mlp")}
        self._frozen: tuple[dict[str, np.ndarray], dict[int, np.ndarray]] | None = None
        self._full: dict[str, Tensor] = {}
        self._rows: dict[str, Tensor] = {}

    @property
    def network(self) -> Any:
        """The network that is pruned."""
        return self._network[0]

    @property
    def depth(self) -> int:
        """Blocks of the network."""
        return len(self.network.blocks)

    def names(self) -> list[str]:
        """Layers that are pruned in blocks."""
        layers = ["attn.qkv", "attn.proj"] + (["mlp.fc1", "mlp.fc2"] if self.pattern == "blocks" else [])
        return [f"blocks.{layer}.{name}" for layer in range(self.depth) for name in layers]

    def shares(self, keep: float) -> dict[str, float]:
        """Shares of the weights of attention (``"attn"``) and of the MLPs (``"mlp"``) that make ``keep`` together.

        Attention keeps ``keep ** power``, with the power at which one half becomes :attr:`attention`.
        """
        if self.attention is None:
            return {"attn": keep, "mlp": keep}
        sizes = self._sizes
        own = keep ** (math.log(self.attention) / math.log(0.5))
        return {"attn": own, "mlp": max((keep * sum(sizes.values()) - own * sizes["attn"]) / sizes["mlp"], 0.0)}

    def block_scores(self, name: str) -> Tensor:
        """Importance of the blocks of a layer ``(out / 16, in / 16)``."""
        raise NotImplementedError

    def neuron_scores(self, layer: int) -> Tensor:
        """Importance of the hidden neurons of a block's MLP ``(hidden,)``."""
        raise NotImplementedError

    def penalty(self) -> Tensor:
        """What the masks themselves add to the loss."""
        return torch.zeros(())

    @torch.no_grad()
    def block_masks(self, keep: float) -> dict[str, np.ndarray]:
        """Kept blocks of the layers of :meth:`names` for a share; when frozen, the frozen ones."""
        if self._frozen is not None:
            return self._frozen[0]
        masks, shares = {}, self.shares(keep)
        for name in self.names():
            parts = self.block_scores(name).float().cpu().chunk(3 if name.endswith("qkv") else 1)
            share = shares["attn" if ".attn." in name else "mlp"]
            masks[name] = torch.cat([keep_best(part, share, self.balanced) for part in parts]).numpy()
        if self.pattern == "alternate":
            for layer in range(self.depth):
                imply(masks[f"blocks.{layer}.attn.qkv"], masks[f"blocks.{layer}.attn.proj"])
        return masks

    @torch.no_grad()
    def neuron_masks(self, keep: float) -> dict[int, np.ndarray]:
        """Kept hidden neurons per block for a share, a multiple of 16; none when the MLP is pruned in blocks."""
        if self._frozen is not None:
            return self._frozen[1]
        if self.pattern == "blocks":
            return {}
        masks, share = {}, self.shares(keep)["mlp"]
        for layer in range(self.depth):
            scores = self.neuron_scores(layer).float().cpu()
            count = max(1, round(share * len(scores) / BLOCK)) * BLOCK
            best = scores.sort(descending=True, stable=True).indices[:count]
            masks[layer] = torch.zeros(len(scores), dtype=torch.bool).scatter_(0, best, True).numpy()
        return masks

    def freeze(self) -> None:
        """Keep the masks that belong to the present scores and ``keep`` from now on."""
        self._frozen = self.block_masks(self.keep), self.neuron_masks(self.keep)
        self.refresh()

    @property
    def frozen(self) -> bool:
        """Whether the masks stay as they are."""
        return self._frozen is not None

    def get_extra_state(self) -> dict[str, Any]:
        """Share and frozen masks, for checkpoints."""
        blocks, neurons = self._frozen or ({}, {})
        return {"keep": self.keep, "frozen": self.frozen,
                "blocks": {name: torch.from_numpy(mask) for name, mask in blocks.items()},
                "neurons": {layer: torch.from_numpy(mask) for layer, mask in neurons.items()}}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Restore what :meth:`get_extra_state` gave."""
        self.keep = state["keep"]
        blocks = {name: mask.numpy() for name, mask in state["blocks"].items()}
        neurons = {layer: mask.numpy() for layer, mask in state["neurons"].items()}
        self._frozen = (blocks, neurons) if state["frozen"] else None

    @torch.no_grad()
    def refresh(self) -> None:
        """Compute the masks from the scores and ``keep``."""
        blocks, neurons = self.block_masks(self.keep), self.neuron_masks(self.keep)
        device = self.network.pos_embed.device
        self._full = {name: _full(mask).to(device) for name, mask in blocks.items()}
        self._rows = {name: _row_mask(mask).to(device) for name, mask in blocks.items() if name.endswith("qkv")}
        for layer, kept in neurons.items():
            row = torch.from_numpy(kept).float().to(device)
            self._full |= {f"blocks.{layer}.mlp.fc1": row[:, None], f"blocks.{layer}.mlp.fc2": row[None]}

    def weight_of(self, name: str, weight: Tensor) -> Tensor:
        """The masked weights of a layer."""
        return weight * self._full[name] if name in self._full else weight

    def bias_of(self, name: str, bias: Tensor) -> Tensor:
        """Biases; those of queries, keys and values without any weight are zero, or no head could ever vanish."""
        return bias * self._rows[name] if name in self._rows else bias

    def kept_share(self, dense: int | None = None) -> float:
        """Share of the weights of the encoder's matrices that the masks keep at present.

        Parameters
        ----------
        dense : number of weights that counts as all, when neurons were removed before; those of the network by default
        """
        kept = 0.0
        for layer in range(self.depth):
            for name in ("attn.qkv", "attn.proj", "mlp.fc1", "mlp.fc2"):
                size = self.network.get_submodule(f"blocks.{layer}.{name}").weight.numel()
                mask = self._full.get(f"blocks.{layer}.{name}")
                kept += size if mask is None else size * float(mask.mean())
        return kept / (dense or sum(self._sizes.values()))

    def at(self, share: float) -> Pruned:
        """The present network pruned to ``share``: masks are a :class:`algo.prune.methods.Family`."""
        state: State = {name: tensor.detach().cpu().clone() for name, tensor in self.network.state_dict().items()}
        plan = PruningPlan(type(self).__name__.lower(), self.block_masks(share), self.neuron_masks(share))
        for name, mask in plan.blocks.items():
            if name.endswith("qkv") and f"{name}.bias" in state:
                state[f"{name}.bias"] = state[f"{name}.bias"] * _row_mask(mask)
        return apply_plan(state, plan)


class Fixed(Masks):
    """What is zero in the network at the start stays zero."""

    def __init__(self, model: Any) -> None:
        super().__init__(model, "blocks")
        self._masks = zero_block_masks(model.state_dict())

    def block_masks(self, keep: float) -> dict[str, np.ndarray]:
        """The blocks that were not zero, whatever ``keep`` is."""
        return dict(self._masks)

    def neuron_masks(self, keep: float) -> dict[int, np.ndarray]:
        """None: neurons that went before are not in the network any more."""
        return {}


def matrix_weights(module: nn.Module) -> int:
    """Weights of the matrices in ``module``."""
    return sum(parameter.numel() for parameter in module.parameters() if parameter.dim() > 1)


def imply(qkv: np.ndarray, projection: np.ndarray) -> None:
    """Take out, in place, the blocks of an attention that other empty blocks make useless.

    Queries meet keys channel by channel, and values meet columns of the projection: 16 channels that one side lacks are
    of no use to the other.

    Parameters
    ----------
    qkv : bool ``(3 D / 16, D / 16)``
    projection : bool ``(D / 16, D / 16)``
    """
    query, key, value = np.split(qkv, 3)
    pairs = query.any(1) & key.any(1)
    query[~pairs], key[~pairs] = False, False
    used = value.any(1) & projection.any(0)
    value[~used], projection[:, ~used] = False, False


def _full(mask: np.ndarray) -> Tensor:
    return torch.from_numpy(mask).float().repeat_interleave(BLOCK, 0).repeat_interleave(BLOCK, 1)


def _row_mask(mask: np.ndarray) -> Tensor:
    return torch.from_numpy(mask.any(1)).float().repeat_interleave(BLOCK)
