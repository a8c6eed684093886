"""Seeded weights with the statistics of a trained network, for hardware work where no trained weights are to be had.

A network with a framework's default initialisation is a poor stand-in: attention is uniform, the residual stream never
grows, all images get the same class. These weights follow what DeiT-Tiny looks like: low-frequency patch filters,
queries and keys that give scores with a deviation near 2, layer norm gains that spread, rows of different size (so that
pruning by magnitude has something to choose), and additions to the residual stream of the size trained blocks make.
The class they predict means nothing.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor

from algo.models import build_model

State = dict[str, Tensor]


def synthetic_state(model_name: str, seed: int) -> State:
    """Made-up weights for ``model_name`` with timm names, float32; the same for the same seed."""
    return synthetic_like(build_model(model_name).state_dict(), seed)


def synthetic_like(shapes: Mapping[str, Tensor], seed: int) -> State:
    """Made-up weights with the names and shapes of ``shapes``, those of a ViT or Swin of timm."""
    state = {}
    for name, tensor in shapes.items():
        # a generator per tensor: values do not depend on the order of the tensors
        generator = np.random.default_rng([seed, zlib.crc32(name.encode())])
        values = _values(name, tuple(tensor.shape), generator)
        state[name] = torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32))
    return state


Shape = tuple[int, ...]
Generator = np.random.Generator
Maker = Callable[[Shape, Generator], np.ndarray]


def _values(name: str, shape: Shape, generator: Generator) -> np.ndarray:
    for ending, make in _MAKERS:
        if name.endswith(ending):
            return make(shape, generator)
    raise ValueError(f"no rule for the tensor {name}")


def _heavy(shape: Shape, generator: Generator) -> np.ndarray:
    """Deviation 1, tails as heavy as those of trained weights (Student's t, 8 degrees of freedom)."""
    return generator.standard_t(8, shape) * np.sqrt(6 / 8)


def _matrix(gain: float, spread: float = 0.25) -> Maker:
    """Weights whose outputs have the deviation ``gain`` for inputs of deviation 1; rows and columns differ in size."""

    def make(shape: Shape, generator: Generator) -> np.ndarray:
        rows = np.exp(spread * generator.standard_normal((shape[0], 1)) - spread**2)
        columns = np.exp(spread * generator.standard_normal((1, shape[1])) - spread**2)
        return gain / np.sqrt(shape[1]) * _heavy(shape, generator) * rows * columns

    return make


def _qkv(shape: Shape, generator: Generator) -> np.ndarray:
    parts = [_matrix(gain)((shape[0] // 3, shape[1]), generator) for gain in (1.6, 1.6, 0.9)]
    return np.concatenate(parts)


def _patch_filters(shape: Shape, generator: Generator) -> np.ndarray:
    """Sums of cosines, low frequencies strongest, equal in sign over the colours most of the time."""
    outputs, colours, height, width = shape

    def basis(size: int) -> np.ndarray:
        position, frequency = np.arange(size), np.arange(size)[:, None]
        return np.cos(np.pi * frequency * (position + 0.5) / size)

    frequency = np.hypot(np.arange(height)[:, None], np.arange(width)[None, :])
    strength = 1 / (1 + frequency) ** 1.5
    grey = generator.standard_normal((outputs, 1, height, width))
    colour = 0.5 * generator.standard_normal((outputs, colours, height, width))
    filters = np.einsum("ocuv,uy,vx->ocyx", (grey + colour) * strength, basis(height), basis(width))
    # the mean of a patch varies far more between images than its detail: weaken it
    filters -= 0.7 * filters.mean(axis=(2, 3), keepdims=True)
    return filters * 0.3 / (np.sqrt((filters**2).sum(axis=(1, 2, 3), keepdims=True)) * np.sqrt(height * width) / 4)


def _normal(mean: float, deviation: float) -> Maker:
    return lambda shape, generator: generator.normal(mean, deviation, shape)


def _gain(shape: Shape, generator: Generator) -> np.ndarray:
    return np.exp(generator.normal(-0.03, 0.25, shape))


_MAKERS: tuple[tuple[str, Maker], ...] = (
    ("cls_token", _normal(0, 0.2)),
    ("pos_embed", _normal(0, 0.2)),
    ("patch_embed.proj.weight", _patch_filters),
    ("norm1.weight", _gain),
    ("norm2.weight", _gain),
    ("norm.weight", _gain),
    ("norm1.bias", _normal(0, 0.1)),
    ("norm2.bias", _normal(0, 0.1)),
    ("norm.bias", _normal(0, 0.1)),
    ("attn.qkv.weight", _qkv),
    ("attn.qkv.bias", _normal(0, 0.3)),
    ("attn.proj.weight", _matrix(0.8)),
    ("mlp.fc1.weight", _matrix(1.0)),
    ("mlp.fc1.bias", _normal(-0.6, 0.4)),
    ("mlp.fc2.weight", _matrix(1.2)),
    ("head.weight", _matrix(1.6)),
    ("head.fc.weight", _matrix(1.6)),
    ("downsample.reduction.weight", _matrix(1.0)),
    ("relative_position_bias_table", _normal(0, 0.5)),
    (".bias", _normal(0, 0.05)),
)
