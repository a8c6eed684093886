"""What each step of a program does and reads: multiplications and bytes from memory, the two axes of a roofline."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flows.compile import Program
from flows.compile.decode import packets
from flows.contracts.hardware import BLOCK, ceil_div
from flows.contracts.program import Kind


def bytes_by_step(program: Program) -> list[int]:
    """Bytes of the program's stream that belong to each step, the image with the first one.

    Returns
    -------
    list of int
        In the order of the steps; their sum is stream and image, which the hardware reads once per image unless the
        program is resident.
    """
    config, manifest = program.config, program.manifest
    words = [0] * len(manifest["steps"])
    step = -1
    for packet in packets(program.stream, config):
        step += packet.kind is Kind.STEP
        words[max(step, 0)] += packet.words
    counts = [count * config.stream_bytes for count in words]
    counts[-1] += program.stream.size - sum(counts)  # what fills the last page
    counts[0] += (manifest["tokens"] - 1) * manifest["patch_inputs"]
    return counts


def useful_macs(entry: Mapping[str, Any], alive: int) -> int:
    """Multiplications of a step by kept blocks for ``alive`` tokens.

    The compiler counts the largest number of tokens that is possible; scores and context go with its square.

    Parameters
    ----------
    entry : the step in the program's manifest
    alive : tokens alive in it
    """
    part = alive / entry["tokens"]
    return round(entry["useful_macs"] * part * (part if attends(entry["name"]) else 1))


def lower_bound(entry: Mapping[str, Any], alive: int) -> int:
    """Cycles of a step that no schedule can beat, for ``alive`` tokens."""
    tiles = ceil_div(alive, BLOCK) / ceil_div(entry["tokens"], BLOCK) if attends(entry["name"]) else 1.0
    return round(entry["lower_bound_cycles"] * alive / entry["tokens"] * tiles)


def attends(step: str) -> bool:
    """Whether a step multiplies tokens by tokens: scores and context."""
    return ".score" in step or ".context" in step
