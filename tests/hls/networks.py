"""Random networks and hardware, and whole networks on the HLS models."""

from __future__ import annotations

import os
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from flows.compile import compile_program, config_for, image_words
from flows.contracts.artifact import SparseVit, TokenDrop
from flows.contracts.errors import ConfigError
from flows.contracts.hardware import HardwareConfig
from flows.hls_flow import run_of
from flows.hls_vectors import Vector
from flows.sim_flow import compare_run
from hls_models.native import Engine
from sim.compare import Comparison
from sim.golden.network import run
from tests.accelerator.networks import threshold, topk
from tests.factory import random_artifact, random_patches

SEED_VARIABLE = "SIEVIT_SEED"


def run_seed() -> int:
    """Seed of this test run: another one each time, or that of the environment variable ``SIEVIT_SEED``."""
    return int(os.environ.get(SEED_VARIABLE) or secrets.randbelow(1 << 31))


@dataclass(frozen=True)
class Limits:
    """How large random networks may be."""

    tokens: int = 70
    depth: int = 2
    hidden: int = 256


def random_network(rng: np.random.Generator, config: HardwareConfig, limits: Limits = Limits()) -> SparseVit:
    """A network of random sizes, sparsity, empty columns and token drops that fits ``config``."""
    head_width = int(rng.choice([width for width in (16, 32, 64) if width <= config.max_width]))
    heads = int(rng.integers(1, min(16, config.max_width // head_width) + 1))
    tokens = int(rng.integers(2, min(config.max_tokens, limits.tokens) + 1))
    depth = int(rng.integers(1, limits.depth + 1))

    def drop() -> TokenDrop:
        if rng.random() < 0.5:
            return topk(int(rng.integers(0, tokens)))
        return threshold(float(rng.uniform(0.3, 1.5)), tokens, heads)

    layers = ("qkv", "proj", "fc1", "fc2")
    return random_artifact(
        width=heads * head_width, heads=heads, depth=depth, tokens=tokens, seed=int(rng.integers(1 << 30)),
        hidden=16 * int(rng.integers(1, min(config.max_hidden, limits.hidden) // 16 + 1)),
        patch_inputs=int(rng.choice([inputs for inputs in (48, 192) if inputs <= config.max_patch])),
        classes=int(rng.integers(2, config.max_classes + 1)), keep_blocks=float(rng.choice([0, 0.2, 0.5, 0.8, 1])),
        empty_columns=[(str(rng.choice(layers)), int(rng.integers(0, 6))) for _ in range(rng.integers(0, 4))],
        empty_heads=[0] if rng.random() < 0.2 else [],
        drop={layer: drop() for layer in range(depth) if rng.random() < 0.7})


def random_hardware(rng: np.random.Generator, *, small: bool = False) -> HardwareConfig:
    """An accelerator of random sizes; a ``small`` one has at most two clusters in all, and builds in seconds."""
    while True:
        stream, groups = int(rng.choice([256, 512])), int(rng.choice([1, 2] if small else [1, 2, 4, 8]))
        sizes: dict[str, Any] = {
            "clusters": int(rng.integers(1, 2 // groups + 1 if small else 7)), "groups": groups, "stream_bits": stream,
            "banks": int(rng.choice([4, 8] if small else [4, 8, 16])), "bus_bits": int(rng.choice([128, 256, 512])),
            "fifo_words": 256, "score_heads": int(rng.integers(1, 5)), "resident_words": int(rng.choice([0, 4096])),
            "row_cycles": int(rng.choice([1, 2, 4])) if groups == 1 else 1}
        if small:
            sizes |= {"multiplier": str(rng.choice(["plain", "dsp48e1", "dsp48e2"])),
                      "crossings": int(rng.choice([0, 1, 2])) if groups > 1 else 0}
        sample = random_artifact(width=16 * int(rng.integers(1, 5 if small else 7)), heads=1, depth=1, seed=1,
                                 hidden=16 * int(rng.integers(1, 7 if small else 13)),
                                 tokens=int(rng.integers(10, 40) if small else rng.integers(20, 90)),
                                 patch_inputs=int(rng.choice([48, 192])), classes=int(rng.integers(3, 50)))
        try:
            return config_for(sample, **sizes)
        except ConfigError:
            continue  # the sizes do not fit each other


@dataclass(frozen=True, eq=False)
class Case:
    """A network with one image, compiled, and what the golden model says of it."""

    artifact: SparseVit
    vector: Vector
    label: str = field(default="")

    @property
    def image(self) -> bytes:
        """Image buffer."""
        return image_words(self.vector.program, self.vector.patches[0]).tobytes()


def make_case(artifact: SparseVit, config: HardwareConfig, images: Sequence[int] = (0,), label: str = "") -> Case:
    """Compile a network for random images, given by their seeds."""
    patches = tuple(random_patches(artifact, image) for image in images)
    golden = tuple(run(artifact, one, record=True) for one in patches)
    return Case(artifact, Vector(compile_program(artifact, config), patches, golden), label)


def check_engine(engine: Engine, case: Case) -> Comparison:
    """The models compute every integer of the golden model, the logits, and the tokens after each drop.

    Raises
    ------
    MismatchError
        For the first difference.
    """
    program, golden = case.vector.program, case.vector.golden[0]
    result = engine.run(program.stream, [case.image], record=True)
    return compare_run(golden, run_of(result, golden.logits.size), program)
