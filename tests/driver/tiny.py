"""A tiny accelerator and the networks that the driver's tests run on it, written as a generated folder has them."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from flows.compile import Program, compile_program
from flows.compile.decode import packets
from flows.contracts.artifact import SparseVit
from flows.contracts.hardware import HardwareConfig
from flows.contracts.program import Kind
from flows.driver_params import write_driver
from sim.golden.network import Golden
from tests.accelerator.networks import topk
from tests.factory import random_artifact, random_patches

TINY = HardwareConfig(clusters=1, banks=2, max_tokens=32, max_width=32, max_hidden=32, max_patch=48, score_heads=1,
                      max_classes=48, bus_bits=256, fifo_words=128, image_fifo_words=128)
OTHER = TINY.replace(max_hidden=48)
"""Another accelerator, whose programs look much the same."""


@dataclass(frozen=True, eq=False)
class Case:
    """A network in a folder as users get it."""

    artifact: SparseVit
    program: Program
    folder: Path

    def golden(self, codes: np.ndarray) -> tuple[np.ndarray, list[int]]:
        """Logits, and tokens alive after each token drop."""
        result = Golden(self.artifact).run(codes)
        return result.logits, [result.tokens[layer] for layer in sorted(result.kept)]

    def codes(self, image: int) -> np.ndarray:
        """Patch codes of a random image."""
        return random_patches(self.artifact, image)

    def picture(self, seed: int) -> np.ndarray:
        """A random picture of just the network's size: nothing has to be resized."""
        size = self.artifact.image_size
        return np.random.default_rng(seed).integers(0, 256, (size, size, 3), dtype=np.uint8)


def make_case(folder: Path, config: HardwareConfig = TINY, *, classes: int = 20, seed: int = 5) -> Case:
    """17 tokens, of which two drops leave 9 and 5; 16 x 16 pixels."""
    artifact = random_artifact(width=32, heads=1, hidden=32, tokens=17, depth=2, classes=classes, seed=seed,
                               keep_blocks=0.7, drop={0: topk(7), 1: topk(3)})
    program = compile_program(artifact, config)
    write_driver(program, artifact, folder)
    return Case(artifact, program, folder)


def write_damaged(case: Case, folder: Path) -> Path:
    """The case with a packet that the hardware does not know, checksum and all. Returns its params.json."""
    stream = bytearray(case.program.stream.tobytes())
    config = case.program.config
    step = [packet.position for packet in packets(case.program.stream, config) if packet.kind is Kind.STEP][1]
    stream[step * config.stream_bytes] = 0
    params = json.loads((case.folder / "params.json").read_text())
    params["program"]["sha256"] = hashlib.sha256(stream).hexdigest()
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "program.bin").write_bytes(stream)
    (folder / "params.json").write_text(json.dumps(params))
    return folder / "params.json"
