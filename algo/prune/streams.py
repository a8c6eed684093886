"""Calibration images in two streams side by side: through the dense network, and through its pruned copy.

The copy is finished layer by layer, from first to last, so that each layer is fitted to the inputs it will really have.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from algo.prune.masked import embed, image_chunks
from algo.prune.methods import Subject
from algo.tokens.evit import attention, drop_tokens
from flows.contracts.artifact import TokenDrop

Pairs = list[tuple[Tensor, Tensor]]
"""For each chunk of images, the input of a layer in the pruned network ``(B, N, in)`` and its wanted output
``(B, N, out)``."""
Fit = Callable[[str, Pairs], None]
"""Changes the layer of that name in the pruned network."""


@torch.no_grad()
def fit_layers(subject: Subject, pruned: Any, fit: Fit, stage: str) -> None:
    """Call ``fit`` for the linear layers of all blocks in the order they run.

    Queries, keys, values and hidden units are wanted as in the dense network. Layers that add to the residual stream
    are wanted to lead back to the dense stream, so that they correct what earlier layers have done to it as well.

    Parameters
    ----------
    pruned : copy of ``subject.model``; its linear layers are changed by ``fit``
    stage : for the progress report
    """
    dense = subject.model
    streams = [(x, x) for x in (embed(dense, images) for images, _ in image_chunks(subject))]
    for index, (block, copy) in enumerate(zip(dense.blocks, pruned.blocks, strict=True)):
        streams = _attention_half(f"blocks.{index}.attn", block, copy, streams, subject.drops.get(index), fit)
        streams = _mlp_half(f"blocks.{index}.mlp", block, copy, streams, fit)
        subject.progress(stage, (index + 1) / len(dense.blocks))


def _attention_half(path: str, dense: Any, pruned: Any, streams: Pairs, drop: TokenDrop | None, fit: Fit) -> Pairs:
    inputs = [(dense.norm1(x), pruned.norm1(z)) for x, z in streams]
    fit(f"{path}.qkv", [(z, dense.attn.qkv(x)) for x, z in inputs])
    contexts, wanted, scores = [], [], []
    for (x, _), (dense_input, pruned_input) in zip(streams, inputs, strict=True):
        attended, cls_attention = attention(dense.attn, dense_input, lambda name, value: None)
        contexts.append(_context(pruned.attn, pruned_input))
        wanted.append(x + attended)
        scores.append(cls_attention)
    fit(f"{path}.proj", [(c, x - z) for c, x, (_, z) in zip(contexts, wanted, streams, strict=True)])
    after = [(x, z + pruned.attn.proj(c)) for x, c, (_, z) in zip(wanted, contexts, streams, strict=True)]
    if drop is None:
        return after
    # Both keep the tokens that the dense network chooses, or they could not be compared.
    heads = dense.attn.num_heads
    return [(drop_tokens(x, score, drop, heads), drop_tokens(z, score, drop, heads))
            for (x, z), score in zip(after, scores, strict=True)]


def _mlp_half(path: str, dense: Any, pruned: Any, streams: Pairs, fit: Fit) -> Pairs:
    inputs = [(dense.norm2(x), pruned.norm2(z)) for x, z in streams]
    fit(f"{path}.fc1", [(z, dense.mlp.fc1(x)) for x, z in inputs])
    hidden = [pruned.mlp.act(pruned.mlp.fc1(z)) for _, z in inputs]
    wanted = [x + dense.mlp(y) for (x, _), (y, _) in zip(streams, inputs, strict=True)]
    fit(f"{path}.fc2", [(h, x - z) for h, x, (_, z) in zip(hidden, wanted, streams, strict=True)])
    return [(x, z + pruned.mlp.fc2(h)) for x, h, (_, z) in zip(wanted, hidden, streams, strict=True)]


def _context(attn: Any, y: Tensor) -> Tensor:
    found: list[Tensor] = []
    attention(attn, y, lambda name, value: found.append(value) if name == "context" else None)
    return found[0]
