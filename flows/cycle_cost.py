"""Cycles as the cost of a pruned network: the compiler and its cycle model judge a plan before anything is quantized.

How long a program runs depends on which blocks are kept, on the tokens that are dropped, and on the hardware, but not
on the weights' values. So a network of zeros with the masks of a plan is compiled, and the cycle model reads its
program: pruning under a budget of cycles is pruning for the scheduler, the memory and the array at hand.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from torch import Tensor

from algo.models import check_supported
from algo.prune.plan import Pruned, zero_block_masks
from flows.compile import compile_program, config_for, estimate
from flows.contracts.artifact import Block, Linear, Norm, SparseVit, TokenDrop
from flows.contracts.hardware import BLOCK, HardwareConfig, ceil_div
from sim.accelerator import MemoryOptions

MARGIN = 0.006
"""What is added to the prediction, so that the hardware does not exceed a budget that the cycle model just meets."""


def cycle_cost(name: str, model: Any, drops: Mapping[int, TokenDrop] | None = None, *,
               config: HardwareConfig | None = None, clusters: int = 4, hardware: Mapping[str, Any] | None = None,
               memory: MemoryOptions | None = None, margin: float = MARGIN) -> Callable[[Pruned], float]:
    """A cost for :func:`algo.prune.budget.fit`: cycles of one image on a hardware configuration.

    Parameters
    ----------
    name : of the model, for errors
    model : the dense network, a timm VisionTransformer
    drops : token drop per block; by threshold, the most tokens that may stay count
    config : the hardware; by default the smallest one that the dense network fits, so that all plans are for the same
    clusters, hardware : of that default: MAC clusters, and further fields of :class:`HardwareConfig`
    memory : of which latency and bandwidth count
    margin : share added to the cycle model's prediction

    Returns
    -------
    A function from a pruned network to cycles.

    Raises
    ------
    ConfigError
        When the accelerator cannot compute the network, or it does not fit ``config``.
    """
    check_supported(model, name)
    chosen = config or dense_hardware(name, model, clusters, **(hardware or {}))
    options = memory or MemoryOptions()

    def cost(pruned: Pruned) -> float:
        program = compile_program(skeleton(name, model, pruned.state, drops), chosen)
        cycles = estimate(program.stream, chosen, bytes_per_cycle=options.bandwidth, latency=options.latency)
        return cycles.total * (1 + margin)

    return cost


def dense_hardware(name: str, model: Any, clusters: int = 4, **options: Any) -> HardwareConfig:
    """The smallest hardware that the dense network fits: :func:`flows.compile.config_for` before anything is pruned."""
    return config_for(skeleton(name, model, model.state_dict()), clusters=clusters, **options)


def skeleton(name: str, model: Any, state: Mapping[str, Tensor],
             drops: Mapping[int, TokenDrop] | None = None) -> SparseVit:
    """An artifact with the shapes, masks and presence of biases of ``state``, else zeros: fit to be compiled only.

    Parameters
    ----------
    name : for its description
    model : the network that ``state`` was made from; gives image size, patch and heads
    state : weights with timm names; a block of zeros is pruned
    drops : token drop per block
    """
    masks = zero_block_masks(dict(state))

    def linear(path: str) -> Linear:
        weight = state[f"{path}.weight"]
        rows, columns = weight.shape[0], weight[0].numel()
        blocks = (ceil_div(rows, BLOCK), ceil_div(columns, BLOCK))
        bias = state.get(f"{path}.bias") if path != "patch_embed.proj" else None
        # whether there is a bias decides whether a pruned column of queries or keys is zero
        biased = np.zeros(rows, np.int32) if bias is None else (bias != 0).numpy().astype(np.int32)
        if path.endswith("qkv"):
            # keys without weights are constant, and quantization takes the mean of the keys away
            biased[rows // 3:2 * rows // 3] = 0
        return Linear(np.zeros((rows, columns), np.int8), masks.get(path, np.ones(blocks, bool)), biased,
                      np.zeros(rows, np.uint16), 1)

    width = state["pos_embed"].shape[2]
    norm = Norm(np.zeros(width, np.int16), np.zeros(width, np.int32), 1)
    table = np.full(256, 255, np.uint8)

    def block(layer: int) -> Block:
        path = f"blocks.{layer}"
        return Block(norm1=norm, qkv=linear(f"{path}.attn.qkv"), score_mult=0, score_shift=1, exp=table,
                     context_mult=0, context_shift=1, proj=linear(f"{path}.attn.proj"), drop=(drops or {}).get(layer),
                     norm2=norm, fc1=linear(f"{path}.mlp.fc1"), gelu=table, fc2=linear(f"{path}.mlp.fc2"))

    head = linear("head")
    return SparseVit(
        model=name, weights="none", image_size=model.patch_embed.img_size[0],
        patch=model.patch_embed.patch_size[0], heads=model.blocks[0].attn.num_heads, mean=(0.0, 0.0, 0.0),
        std=(1.0, 1.0, 1.0), input_scale=1.0, class_names=tuple(str(index) for index in range(len(head.bias))),
        embed=linear("patch_embed.proj"),
        residual_init=np.zeros((state["pos_embed"].shape[1], width), np.int16),
        blocks=tuple(block(layer) for layer in range(len(model.blocks))), norm=norm, head=head)
