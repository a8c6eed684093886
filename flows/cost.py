"""What a network costs: multiplications, parameters, bytes of weights, and cycles on an accelerator."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from flows.compile import compile_program, config_for, estimate
from flows.compile.decode import dropping_steps
from flows.compile.steps import kept_weights, network_steps
from flows.contracts.artifact import LAYER_KINDS, Linear, SparseVit, TokenDrop
from flows.contracts.hardware import HardwareConfig


@dataclass(frozen=True)
class Cost:
    """Cost of one image.

    Attributes
    ----------
    macs : multiplications by kept blocks for tokens alive
    dense_macs : of the same network with all blocks and all tokens
    parameters : weights in kept blocks, and everything that is no matrix
    weight_bytes : of the kept blocks, every code as long as it needs to be
    cycles : that the compiler predicts
    milliseconds : the same at the target clock
    """

    macs: int
    dense_macs: int
    parameters: int
    weight_bytes: int
    cycles: int
    milliseconds: float


def cost_of(artifact: SparseVit, clusters: int = 4, hardware: Mapping[str, Any] | None = None,
            tokens: Sequence[float] | None = None) -> Cost:
    """Cost of a network on an accelerator.

    Parameters
    ----------
    artifact : the network
    clusters : MAC clusters
    hardware : further fields of :class:`HardwareConfig`
    tokens : mean number of tokens alive after each block, for networks that drop by threshold; the most possible ones
        by default

    Raises
    ------
    ConfigError
        When the network does not fit the hardware.
    """
    config = config_for(artifact, clusters=clusters, **dict(hardware or {}))
    program = compile_program(artifact, config)
    names = [entry["name"] for entry in program.manifest["steps"]]
    alive = {} if tokens is None else {
        index: round(tokens[int(names[index].split(".")[0].removeprefix("block"))])
        for index in dropping_steps(program.stream, config)}
    cycles = estimate(program.stream, config, alive=alive).total
    return Cost(macs=useful_macs(_as_topk(artifact, tokens), config), dense_macs=useful_macs(_dense(artifact), config),
                parameters=parameters(artifact), weight_bytes=artifact.packed_weight_bytes, cycles=cycles,
                milliseconds=cycles / (config.clock_mhz * 1000))


def useful_macs(artifact: SparseVit, config: HardwareConfig) -> int:
    """Multiplications by kept blocks for tokens alive, no padding counted."""
    return sum(step.useful_macs for step in network_steps(artifact, config))


def parameters(artifact: SparseVit) -> int:
    """Parameters of the float network that are left: CLS token and patch bias count, though codes of positions hold
    them.
    """
    layers = [layer for kind in LAYER_KINDS for layer in artifact.layers_of(kind)]
    matrices = sum(kept_weights(layer, range(len(layer.mask))) + len(layer.bias) for layer in layers)
    norms = 2 * artifact.width * (2 * len(artifact.blocks) + 1)
    return matrices + norms + artifact.residual_init.size + artifact.width


def _as_topk(artifact: SparseVit, tokens: Sequence[float] | None) -> SparseVit:
    """The network with drops that keep a fixed number of tokens: those alive on average."""
    if tokens is None:
        return artifact
    before, blocks = artifact.tokens, []
    for block, after in zip(artifact.blocks, tokens, strict=True):
        drop = block.drop
        if drop is not None and drop.mode == "threshold":
            drop = TokenDrop("topk", keep=round(after) - 2) if round(after) < before else None
        blocks.append(dataclasses.replace(block, drop=drop))
        before = round(after)
    return dataclasses.replace(artifact, blocks=tuple(blocks))


def _dense(artifact: SparseVit) -> SparseVit:
    """The network with all blocks and no drop. Weights are those of the pruned one: only masks are counted."""

    def full(layer: Linear) -> Linear:
        return dataclasses.replace(layer, mask=np.ones_like(layer.mask))

    blocks = [dataclasses.replace(block, drop=None, **{kind: full(getattr(block, kind))
                                                       for kind in ("qkv", "proj", "fc1", "fc2")})
              for block in artifact.blocks]
    return dataclasses.replace(artifact, embed=full(artifact.embed), head=full(artifact.head), blocks=tuple(blocks))
