"""Ranges of the activations of a network: what calibration ends with, and what quantization starts from.

They are kept apart from the statistics they were estimated from, because a network that is trained with its
quantization in the loop must be exported with the very ranges it was trained with: they travel in its weights file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from flows.contracts.errors import WeightsError
from flows.contracts.files import replacing

PREFIX = "ranges/"
"""Tensors of a file or a state dict whose names begin so are ranges, no weights."""
_KEY_OFFSET = "key_offset"


@dataclass(frozen=True, eq=False)
class Range:
    """Real values that the codes of a tensor shall cover.

    Attributes
    ----------
    low, high : float64 ``(channels,)``, or ``(1,)`` when all channels share a range
    mean : float64 ``(channels,)``, mean over images and tokens
    """

    low: np.ndarray
    high: np.ndarray
    mean: np.ndarray


@dataclass(frozen=True, eq=False)
class Ranges:
    """Range of every tensor that is quantized, by the names of :func:`algo.tokens.evit.forward_with_drop`.

    Attributes
    ----------
    tensors : range by name
    key_offset : per block path, the vector ``(D,)`` that is taken from all keys
    """

    tensors: Mapping[str, Range]
    key_offset: Mapping[str, np.ndarray] = field(default_factory=dict)

    def __getitem__(self, name: str) -> Range:
        if name not in self.tensors:
            raise WeightsError(f"the ranges lack {name}: they are of another network; calibrate again")
        return self.tensors[name]

    def largest(self, name: str) -> float:
        """Largest magnitude within a range."""
        return float(max(-self[name].low.min(), self[name].high.max()))

    def keep_neurons(self, kept: Mapping[int, np.ndarray]) -> Ranges:
        """The ranges after MLP neurons are removed: bool ``(hidden,)`` of those that stay, by block number.

        The ends stay those of all neurons, so that the codes of the others do not change.
        """
        tensors = dict(self.tensors)
        for layer, chosen in kept.items():
            for name in (f"blocks.{layer}.pre", f"blocks.{layer}.hidden"):
                old = self[name]
                tensors[name] = Range(old.low.min(keepdims=True), old.high.max(keepdims=True), old.mean[chosen])
        return Ranges(tensors, self.key_offset)

    def state(self) -> dict[str, Tensor]:
        """As float64 tensors, for a file or a checkpoint; their names begin with :data:`PREFIX`."""
        tensors = {f"{PREFIX}{name}/{side}": getattr(value, side)
                   for name, value in self.tensors.items() for side in ("low", "high", "mean")}
        tensors |= {f"{PREFIX}{path}/{_KEY_OFFSET}": value for path, value in self.key_offset.items()}
        return {name: torch.from_numpy(np.ascontiguousarray(value, np.float64)) for name, value in tensors.items()}


def ranges_of_state(state: Mapping[str, Tensor]) -> Ranges | None:
    """The ranges among the tensors of a file or a checkpoint, the inverse of :meth:`Ranges.state`; None without any.

    Raises
    ------
    WeightsError
        When a range is incomplete.
    """
    found: dict[str, dict[str, np.ndarray]] = {}
    for key, tensor in state.items():
        if key.startswith(PREFIX):
            name, _, side = key.removeprefix(PREFIX).rpartition("/")
            found.setdefault(name, {})[side] = tensor.detach().double().numpy()
    if not found:
        return None
    offsets = {name: parts.pop(_KEY_OFFSET) for name, parts in found.items() if _KEY_OFFSET in parts}
    try:
        return Ranges({name: Range(**parts) for name, parts in found.items() if parts}, offsets)
    except TypeError:
        raise WeightsError("the ranges are incomplete; calibrate or train the network again") from None


def save_ranges(ranges: Ranges, path: Path) -> None:
    """Write ranges to a ``.safetensors`` file of their own."""
    with replacing(path) as part:
        save_file(ranges.state(), str(part))


def read_ranges(path: Path) -> Ranges | None:
    """The ranges in a ``.safetensors`` file (of weights, or of ranges alone); None when it holds none.

    Raises
    ------
    WeightsError
        When the file is missing, truncated, or its ranges are incomplete.
    """
    if not path.is_file():
        raise WeightsError(f"no file at {path}; give a .safetensors file")
    if path.suffix != ".safetensors":
        return None
    try:
        with safe_open(str(path), "pt") as file:
            state = {name: file.get_tensor(name) for name in file.keys() if name.startswith(PREFIX)}  # noqa: SIM118
    except Exception as error:
        raise WeightsError(f"{path} is no safetensors file or is truncated ({error}); give a complete one") from None
    return ranges_of_state(state)
