"""What a picture of a run needs beyond its figures: who worked when, where blocks are, which patches were dropped."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from flows.breakdown import slot_lengths
from flows.compile import Program
from flows.compile.cycles import Estimate
from flows.compile.steps import Step, network_steps
from flows.contracts.artifact import Linear, SparseVit
from flows.sim_flow import Outcome
from sim.golden import token_drop
from sim.golden.network import Result
from sim.golden.softmax import exponentials, reciprocal
from sim.probes import SLOT_UNIT

FUSED = -1
"""Stands for a fused token among patch indices."""

PRUNED, LEFT_OUT = ".", "*"
"""Characters of a block map: a pruned block, and a kept one that changes nothing and is not executed."""


def details_of(outcome: Outcome) -> dict[str, Any]:
    """Everything a dashboard draws of a run that is not in its report, as JSON can hold it.

    Returns
    -------
    dict
        ``steps``: names. ``slots``: ``cycle`` in which the first row is streamed, ``step``, ``rows`` and ``length`` in
        cycles, a list each with an entry per slot; None when nothing counted cycles. ``clusters`` and ``sources``: per
        cluster a list with the number (within the step) of the output column it works on in each slot, and the source
        column that it multiplies; -1 is idle.
        ``matrices``: see :func:`block_maps`. ``grid``: rows and columns of patches. ``blocks``: see :func:`token_rows`.
    """
    program, artifact = outcome.program, outcome.artifact
    steps = network_steps(artifact, program.config)
    edge = artifact.image_size // artifact.patch
    placements = program.placements
    return {
        "steps": [step.name for step in steps],
        "slots": slot_rows(outcome.run.records, outcome.estimate) if outcome.run.cycles else None,
        "clusters": np.concatenate([placed.job for placed in placements]).T.tolist(),
        "sources": np.concatenate([placed.source for placed in placements]).T.tolist(),
        "matrices": block_maps(program, artifact, steps),
        "grid": [edge, edge],
        "blocks": token_rows(artifact, outcome.golden),
    }


def slot_rows(records: np.ndarray, model: Estimate) -> dict[str, list[int]]:
    """When each slot ran, from the probe records of a frame, and how long its rows take.

    Parameters
    ----------
    records : probe records of one frame
    model : estimate for the same program and tokens
    """
    starts = records[records["unit"] == SLOT_UNIT]
    steps = starts["step"].astype(np.int64)
    rows, short = slot_lengths(model)
    # A record marks the cycle before the first row.
    return {"cycle": (starts["cycle"].astype(np.int64) + 1).tolist(), "step": steps.tolist(),
            "rows": rows[steps].tolist(), "length": (rows + short)[steps].tolist()}


def block_maps(program: Program, artifact: SparseVit, steps: list[Step]) -> list[dict[str, Any]]:
    """Which blocks of each weight matrix are kept, and which cluster executes each.

    Returns
    -------
    list of dict
        ``name``; ``rows`` and ``columns``: output and input block columns; ``kept``: kept blocks; ``clusters``: a
        string per output block column with a character per input block column, :data:`PRUNED`, :data:`LEFT_OUT`, or the
        cluster as a hexadecimal digit.
    """
    owners = {step.name: _owners(program, index, step) for index, step in enumerate(steps) if step.linear is not None}
    return [{"name": name, "rows": layer.mask.shape[0], "columns": layer.mask.shape[1], "kept": int(layer.mask.sum()),
             "clusters": _map_rows(layer, owners[name])} for name, layer in _matrices(artifact)]


def token_rows(artifact: SparseVit, golden: Result) -> list[dict[str, Any]]:
    """Patches alive in each block, and the class token's attention to them.

    Parameters
    ----------
    artifact : the network
    golden : its run, recorded

    Returns
    -------
    list of dict
        Per block ``alive`` and ``kept``: indices of patches (row by row in the picture) that enter and leave it;
        ``fused``: whether a fused token leaves it; ``attention``: by patch entering, share of the class token's
        attention, mean of the heads, over all tokens but the class token; ``fused_attention``: that of fused tokens.
    """
    tokens = list(range(artifact.tokens - 1))
    rows = []
    for index, block in enumerate(artifact.blocks):
        shares = _attention(golden.checkpoints[f"block{index}.score"], block.exp)
        entering = tokens
        if index in golden.kept and len(golden.kept[index]) < len(tokens):
            # Token 0, the class token, is not in the list.
            tokens = [entering[place - 1] for place in golden.kept[index]] + [FUSED]
        rows.append({
            "alive": _patches(entering), "kept": _patches(tokens), "fused": FUSED in tokens,
            "attention": {str(token): float(share) for token, share in zip(entering, shares, strict=True)
                          if token != FUSED},
            "fused_attention": float(sum(share for token, share in zip(entering, shares, strict=True)
                                         if token == FUSED))})
    return rows


def _attention(score: NDArray[np.int8], table: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Share of each token but the first in the first one's attention; int8 ``(H, N, N)`` to ``(N - 1,)``."""
    first = score[:, 0]
    exps = exponentials(first, first.max(-1), first.shape[-1], table)
    drawn = token_drop.scores(exps, *reciprocal(exps.sum(-1, dtype=np.int64)))[1:]
    return drawn / max(int(drawn.sum()), 1)


def _patches(tokens: list[int]) -> list[int]:
    return [token for token in tokens if token != FUSED]


def _owners(program: Program, index: int, step: Step) -> dict[tuple[int, int], int]:
    """Cluster by output and input block column."""
    placed = program.placements[index]
    owners = {}
    for slot, cluster in np.argwhere(placed.job >= 0):
        column = step.columns[placed.job[slot, cluster]]
        block = column.inputs[column.sources.index(int(placed.source[slot, cluster]))]
        owners[column.output, block] = int(cluster)
    return owners


def _map_rows(layer: Linear, owners: dict[tuple[int, int], int]) -> list[str]:
    def character(row: int, column: int) -> str:
        if not layer.mask[row, column]:
            return PRUNED
        owner = owners.get((row, column))
        return LEFT_OUT if owner is None else f"{owner:x}"

    return ["".join(character(row, column) for column in range(layer.mask.shape[1]))
            for row in range(layer.mask.shape[0])]


def _matrices(artifact: SparseVit) -> list[tuple[str, Linear]]:
    """Every weight matrix with the name of its step, in the order of execution."""
    inner = [(f"block{index}.{kind}", getattr(block, kind)) for index, block in enumerate(artifact.blocks)
             for kind in ("qkv", "proj", "fc1", "fc2")]
    return [("embed", artifact.embed), *inner, ("head", artifact.head)]
