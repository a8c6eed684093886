"""The networks of a sweep: how each is obtained, once for all points that share it."""

from __future__ import annotations

import dataclasses
import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from algo.tokens.count import tokens_after, topk_schedule
from flows.cache import cached, file_hash, source_hash
from flows.contracts.artifact import SparseVit, load_artifact, save_artifact
from flows.contracts.errors import ArtifactError, ConfigError
from flows.contracts.hardware import BLOCK
from flows.shipped import shipped_artifact
from flows.sim_flow import ExportOptions, SimOptions, check_export, obtain_artifact

ENCODER = ("qkv", "proj", "fc1", "fc2")
"""Layers that block pruning prunes."""


@dataclass(frozen=True)
class NetworkSpec:
    """A network of a sweep; the fields are those of :class:`flows.sweep.plan.Networks`, with one value each."""

    model: str
    artifact: Path | None = None
    weights: Path | None = None
    keep_blocks: float | None = None
    keep_tokens: float | None = None
    synthetic: bool = False
    seed: int = 0

    @property
    def label(self) -> str:
        """A name for progress and errors."""
        shares = [f"{name} {value:g}" for name, value in (("blocks", self.keep_blocks), ("tokens", self.keep_tokens))
                  if value is not None]
        return ", ".join([self.origin, *shares])

    @property
    def origin(self) -> str:
        """The model, and the file of its weights."""
        if self.artifact is not None:
            shipped = self.artifact == shipped_artifact(self.model)
            return f"{self.model} (shipped)" if shipped else self.artifact.name
        return self.model if self.weights is None else f"{self.model} ({self.weights.name})"

    @property
    def export(self) -> ExportOptions:
        """How to make it when there is no artifact."""
        return ExportOptions(model=self.model, weights=self.weights, keep_blocks=self.keep_blocks,
                             keep_tokens=self.keep_tokens, synthetic=self.synthetic, seed=self.seed)

    @property
    def reference(self) -> NetworkSpec:
        """The same weights with all blocks (of an artifact those that it has) and all tokens."""
        return dataclasses.replace(self, keep_blocks=None if self.artifact else 1.0, keep_tokens=1.0)

    def check(self) -> None:
        """Refuse what can be refused before anything is loaded; errors as :func:`flows.sim_flow.check_export`."""
        if self.artifact is not None and not self.artifact.is_file():
            raise ConfigError(f"artifact: no such file: {self.artifact}")
        check_export(self.export)

    def key(self) -> dict[str, Any]:
        """What decides its integers."""
        fields = {name: file_hash(value) if isinstance(value, Path) else value
                  for name, value in dataclasses.asdict(self).items()}
        return fields | {"sources": source_hash("algo", "flows/contracts")}

    def options(self) -> SimOptions:
        """Options of a simulation that runs it."""
        if self.artifact is None:
            return SimOptions(export=self.export)
        return SimOptions(artifact=self.artifact if self.keep_tokens is None else self._changed())

    def obtain(self) -> SparseVit:
        """Load or export it.

        Raises
        ------
        SievitError
            When its files are unusable, or its tokens cannot be changed.
        """
        return obtain_artifact(self.options())

    def _changed(self) -> Path:
        """A file of the artifact with another share of tokens."""
        assert self.artifact is not None and self.keep_tokens is not None
        path = cached(f"artifact-{self.artifact.stem}", self.key(), ".safetensors")
        try:
            load_artifact(path)
        except ArtifactError:
            save_artifact(with_tokens(load_artifact(self.artifact), self.keep_tokens), path)
        return path


@functools.lru_cache(maxsize=4)
def network_of(spec: NetworkSpec) -> SparseVit:
    """The network, kept in this process while points of it are looked at."""
    return spec.obtain()


def with_tokens(artifact: SparseVit, keep: float) -> SparseVit:
    """A network that keeps another share of its tokens, at the same blocks, or at the default ones when it had no drop.

    Its activation ranges are those it was calibrated with.

    Raises
    ------
    ConfigError
        When it drops tokens by threshold.
    """
    layers = [index for index, block in enumerate(artifact.blocks) if block.drop is not None]
    modes = {block.drop.mode for block in artifact.blocks if block.drop is not None}
    if "threshold" in modes:
        raise ConfigError(f"{artifact.model} drops tokens by threshold; keep_tokens of an artifact needs top-k")
    drops = topk_schedule(artifact.tokens, layers or _default_layers(len(artifact.blocks)), keep)
    blocks = tuple(dataclasses.replace(block, drop=drops.get(index)) for index, block in enumerate(artifact.blocks))
    return dataclasses.replace(artifact, blocks=blocks)


def _default_layers(depth: int) -> tuple[int, ...]:
    from algo.export import DROP_LAYERS, resolve_layers  # torch only where it is needed

    return resolve_layers(DROP_LAYERS, depth)


def facts_of(spec: NetworkSpec) -> dict[str, Any]:
    """What every point of a network shares, as JSON can hold it.

    Returns
    -------
    dict
        ``artifact_hash``, ``model``, ``weights`` (where they came from), ``synthetic``, ``classes``; ``keep_blocks``,
        the share of the model's encoder blocks that are left; ``keep_tokens``, the share of patch tokens that the first
        drop keeps, or asked for (None with thresholds); ``tokens`` at most alive at first and after each block;
        ``weight_bytes``
    """
    artifact = network_of(spec)
    first = next((block.drop for block in artifact.blocks if block.drop is not None), None)
    patches = artifact.tokens - 1
    by_drop = 1.0 if first is None else None if first.mode == "threshold" else first.keep / patches
    return {
        "artifact_hash": artifact.content_hash(), "model": artifact.model, "weights": artifact.weights,
        "synthetic": artifact.synthetic, "classes": int(artifact.head.weight.shape[0]),
        "keep_blocks": kept_share(artifact) if spec.keep_blocks is None else spec.keep_blocks,
        "keep_tokens": _rounded(by_drop) if spec.keep_tokens is None else spec.keep_tokens,
        "tokens": tokens_of(artifact), "weight_bytes": artifact.packed_weight_bytes,
    }


def kept_share(artifact: SparseVit) -> float:
    """Share of the encoder's blocks of 16x16 weights that are kept, rounded to three digits.

    The whole is an encoder whose MLPs are four times as wide as the tokens, as in every DeiT: hidden neurons that are
    gone count as pruned.
    """
    masks = [layer.mask for kind in ENCODER for layer in artifact.layers_of(kind)]
    columns = artifact.width // BLOCK
    gone = sum(max(0, 4 * columns - len(block.fc1.mask)) for block in artifact.blocks)
    whole = sum(mask.size for mask in masks) + 2 * columns * gone
    return round(sum(int(mask.sum()) for mask in masks) / whole, 3)


def tokens_of(artifact: SparseVit) -> list[int]:
    """Most tokens alive at first and after each block."""
    alive = [artifact.tokens]
    for block in artifact.blocks:
        alive.append(tokens_after(block.drop, alive[-1]))
    return alive


def _rounded(share: float | None) -> float | None:
    return None if share is None else round(share, 3)
