"""Block pruning: whole blocks of a weight matrix become zero, and cost no cycles."""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from algo.prune.scores import block_scores
from flows.contracts.errors import ConfigError
from flows.contracts.hardware import BLOCK

State = dict[str, Tensor]
Keep = float | Mapping[int | str, float]

LAYERS = ("attn.qkv", "attn.proj", "mlp.fc1", "mlp.fc2")
"""Linear layers of a block that are pruned."""


def prune_blocks(
    state: State,
    keep: Keep,
    block: tuple[int, int] = (BLOCK, BLOCK),
    scores: str = "magnitude",
    balanced: bool = False,
    extra: tuple[str, ...] = (),
) -> tuple[State, dict[str, np.ndarray]]:
    """Zero the least important blocks of each linear layer; the query, key and value parts count as layers.

    Parameters
    ----------
    state : weights with timm names; not changed
    keep : share of blocks to keep in every layer, or by block number (``{3: 0.5}``) or layer name
        (``{"blocks.3.mlp.fc1": 0.7}``, which goes before the number); what a mapping does not name stays dense
    block : rows (outputs) and columns (inputs) of a pruning block, multiples of 16
    scores : name of a registered score function
    balanced : keep the same number of blocks in every output block column, so that parallel clusters are busy equally
    extra : more layers to prune, ``"head"`` or ``"patch_embed.proj"``, both dense by default

    Returns
    -------
    The pruned weights, and per layer name a bool mask ``(out / 16, in / 16)`` (rounded up) of the kept 16x16 blocks.

    Raises
    ------
    ConfigError
        For a share outside 0..1 (0 excluded), a block size that does not divide a layer, or an unknown name.
    """
    if any(edge <= 0 or edge % BLOCK for edge in block):
        raise ConfigError(f"block size {block[0]}x{block[1]} must be multiples of {BLOCK}")
    score = block_scores(scores)
    names = layer_names(state, extra)
    _check_keep(keep, names)
    pruned, masks = dict(state), {}
    for name in names:
        share = _share(keep, name)
        if share == 1:
            continue
        weight = state[f"{name}.weight"]
        matrix = weight.reshape(weight.shape[0], -1)
        parts = 3 if name.endswith("attn.qkv") else 1
        if (matrix.shape[0] // parts) % block[0] or matrix.shape[1] % block[1]:
            size = f"{matrix.shape[0]}x{matrix.shape[1]}"
            raise ConfigError(f"block size {block[0]}x{block[1]} does not divide {name} ({size}); use 16x16")
        # queries, keys and values are three matrices of different size: ranked together, one of them would vanish
        ranked = score(matrix, block).chunk(parts)
        mask = torch.cat([keep_best(part, share, balanced) for part in ranked])
        full = mask.repeat_interleave(block[0], 0).repeat_interleave(block[1], 1)
        pruned[f"{name}.weight"] = (matrix * full).reshape(weight.shape)
        masks[name] = full[::BLOCK, ::BLOCK].numpy().copy()
    return pruned, masks


def keep_best(scores: Tensor, share: float, balanced: bool) -> Tensor:
    """Bool mask of the best ``share`` of ``scores`` ``(rows, columns)``; of equal scores the first.

    At least one block is kept: in every row when ``balanced``, else in all.
    """
    rows = scores if balanced else scores.reshape(1, -1)
    count = max(1, round(share * rows.shape[1]))
    best = rows.sort(dim=1, descending=True, stable=True).indices[:, :count]
    return torch.zeros_like(rows, dtype=torch.bool).scatter_(1, best, True).reshape(scores.shape)


def layer_names(state: State, extra: tuple[str, ...] = ()) -> list[str]:
    """The linear layers of the blocks, in the order of ``state``, and ``extra``.

    Raises
    ------
    ConfigError
        When the network has no layer of a name in ``extra``.
    """
    pattern = re.compile(r"blocks\.\d+\.(" + "|".join(re.escape(layer) for layer in LAYERS) + r")\.weight")
    names = [key.removesuffix(".weight") for key in state if pattern.fullmatch(key)]
    for name in extra:
        if f"{name}.weight" not in state:
            raise ConfigError(f"no layer {name!r} to prune; head and patch_embed.proj can be added")
    return names + list(extra)


def _number(name: str) -> int | None:
    return int(name.split(".")[1]) if name.startswith("blocks.") else None


def _share(keep: Keep, name: str) -> float:
    if not isinstance(keep, Mapping):
        return keep
    number = _number(name)
    return keep.get(name, 1.0 if number is None else keep.get(number, 1.0))


def _check_keep(keep: Keep, names: list[str]) -> None:
    shares: Mapping[int | str, float] = keep if isinstance(keep, Mapping) else {"every layer": keep}
    for key, share in shares.items():
        if not 0 < share <= 1:
            raise ConfigError(f"keep_blocks of {key} must be above 0 and at most 1, not {share}")
    if isinstance(keep, Mapping):
        known = {*names, *(_number(name) for name in names)}
        for key in keep:
            if key not in known:
                raise ConfigError(f"keep_blocks names {key!r}, which is no layer; use a block number or a name such as "
                                  f"{names[0]}")
