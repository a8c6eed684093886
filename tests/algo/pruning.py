"""A small network and images for tests of pruning methods."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from algo.data import normalise
from algo.models import build_like
from algo.prune.masked import blocks_from, embed
from algo.prune.methods import Subject
from algo.synthetic import synthetic_state

MEAN = STD = (0.5, 0.5, 0.5)


def micro_subject(images: int = 12, *, labels: bool = True, seed: int = 0, **fields: Any) -> Subject:
    """vit_micro with made-up weights, and smooth random pictures."""
    state = synthetic_state("vit_micro", seed)
    model = build_like("vit_micro", state)
    model.load_state_dict(state)
    model.requires_grad_(False)
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (images, 4, 4, 3)).astype(np.uint8)
    pixels = coarse.repeat(8, axis=1).repeat(8, axis=2)
    chosen = rng.integers(0, 10, images) if labels else np.full(images, -1)
    return Subject("vit_micro", model, pixels, chosen.astype(np.int64), MEAN, STD, seed=seed, **fields)


def logits_of(state: dict[str, torch.Tensor], subject: Subject) -> torch.Tensor:
    """Logits of a network with these weights for the subject's images, under its token drop."""
    return _run(state, subject)[1]


def streams_of(state: dict[str, torch.Tensor], subject: Subject) -> list[torch.Tensor]:
    """The residual stream behind each block."""
    return _run(state, subject)[0]


@torch.no_grad()
def _run(state: dict[str, torch.Tensor], subject: Subject) -> tuple[list[torch.Tensor], torch.Tensor]:
    model = build_like("vit_micro", state)
    model.load_state_dict(state)
    streams: list[torch.Tensor] = []
    images = normalise(subject.pixels, subject.mean, subject.std)
    logits = blocks_from(model, embed(model, images), 0, subject.drops, lambda index, x: streams.append(x))
    return streams, logits
