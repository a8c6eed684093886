"""The SparseVit artifact: a pruned, quantized ViT as integers and scales, in one versioned, checksummed file.

The file is a safetensors container; its metadata holds the format version, a SHA-256 over all content, and the model
description as JSON. Everything downstream of ``algo`` works from this file, without torch.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy

from flows.contracts.errors import ArtifactError
from flows.contracts.files import replacing
from flows.contracts.hardware import BLOCK, ceil_div

FORMAT_VERSION = 1
LAYER_KINDS = ("embed", "qkv", "proj", "fc1", "fc2", "head")


@dataclass(frozen=True, eq=False)
class Linear:
    """A quantized, block-sparse linear layer with its requantizer.

    Attributes
    ----------
    weight : int8, ``(out, in)``, -127..127, zero where the block is pruned
    mask : bool, ``(out / 16, in / 16)``, the kept blocks
    bias : int32, ``(out,)``, in accumulator units, below 2**30 in magnitude
    mult : uint16, ``(out,)``
    shift : int, 1..47
    """

    weight: np.ndarray
    mask: np.ndarray
    bias: np.ndarray
    mult: np.ndarray
    shift: int


@dataclass(frozen=True, eq=False)
class Norm:
    """Layer norm parameters: gamma int16 ``(D,)``, beta int32 ``(D,)``, shift 1..31."""

    gamma: np.ndarray
    beta: np.ndarray
    shift: int


@dataclass(frozen=True)
class TokenDrop:
    """Token selection after a block's attention.

    Attributes
    ----------
    mode : ``"topk"`` or ``"threshold"``
    keep : tokens to keep besides CLS and the fused token (top-k)
    threshold : smallest score kept, 16 fraction bits, summed over heads (threshold)
    """

    mode: str
    keep: int = 0
    threshold: int = 0


@dataclass(frozen=True, eq=False)
class Block:
    """One encoder block. ``exp`` and ``gelu`` are uint8 tables of 256 entries."""

    norm1: Norm
    qkv: Linear
    score_mult: int
    score_shift: int
    exp: np.ndarray
    context_mult: int
    context_shift: int
    proj: Linear
    drop: TokenDrop | None
    norm2: Norm
    fc1: Linear
    gelu: np.ndarray
    fc2: Linear


@dataclass(frozen=True, eq=False)
class SparseVit:
    """A whole network, ready to compile or to run in the golden model.

    Attributes
    ----------
    model : registry name, for example ``"deit_t"``
    weights : where the weights came from, in words; says so when they are synthetic
    image_size, patch : pixels
    heads : attention heads; ``width % heads == 0`` and ``width / heads`` is a multiple of 16
    mean, std : per colour channel, applied to pixels in 0..1
    input_scale : real value of one patch code
    residual_init : int16, ``(tokens, width)``
    scales : real value of one code of other tensors, for reports
    weight_bits : by kind of layer (``embed``, ``qkv``, ``proj``, ``fc1``, ``fc2``, ``head``), how many bits its weight
        codes need, where that is not 8
    """

    model: str
    weights: str
    image_size: int
    patch: int
    heads: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    input_scale: float
    class_names: tuple[str, ...]
    embed: Linear
    residual_init: np.ndarray
    blocks: tuple[Block, ...]
    norm: Norm
    head: Linear
    scales: dict[str, float] = field(default_factory=dict)
    weight_bits: dict[str, int] = field(default_factory=dict)

    @property
    def tokens(self) -> int:
        """Tokens before any drop, CLS included."""
        return int(self.residual_init.shape[0])

    @property
    def width(self) -> int:
        """Embedding width D."""
        return int(self.residual_init.shape[1])

    def layers_of(self, kind: str) -> list[Linear]:
        """All linear layers of a kind, one of :data:`LAYER_KINDS`."""
        return [getattr(self, kind)] if kind in ("embed", "head") else [getattr(block, kind) for block in self.blocks]

    @property
    def packed_weight_bytes(self) -> int:
        """Bytes of the weights of all kept blocks when every code takes just the bits it needs."""
        bits = sum(self.weight_bits.get(kind, 8) * int(layer.mask.sum()) * BLOCK * BLOCK
                   for kind in LAYER_KINDS for layer in self.layers_of(kind))
        return ceil_div(bits, 8)

    @property
    def synthetic(self) -> bool:
        """True when the weights were made up from a seed."""
        return self.weights.startswith("synthetic")

    def content_hash(self) -> str:
        """SHA-256 (hex) over every integer and scale."""
        tensors, meta = _flatten(self)
        return _digest(tensors, meta)


def save_artifact(artifact: SparseVit, path: Path | str) -> None:
    """Write ``artifact`` to ``path`` (atomically: a temporary file is renamed)."""
    tensors, meta = _flatten(artifact)
    # One key: safetensors writes several in random order, and equal artifacts shall be equal files.
    metadata = {"sievit": json.dumps({"format": FORMAT_VERSION, "sha256": _digest(tensors, meta), "model": meta})}
    with replacing(path) as part:
        safetensors.numpy.save_file(tensors, str(part), metadata=metadata)


def load_artifact(path: Path | str) -> SparseVit:
    """Read and verify an artifact.

    Raises
    ------
    ArtifactError
        When the file is missing, is no artifact, has another format version, is damaged, or is inconsistent.
    """
    path = Path(path)
    if not path.is_file():
        raise ArtifactError(f"no artifact at {path}; make one with 'sievit export'")
    try:
        with safetensors.safe_open(str(path), "np") as file:
            metadata = file.metadata() or {}
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except Exception as error:
        raise ArtifactError(f"{path} is not a sievit artifact or is truncated ({error}); export it again") from None
    try:
        content = json.loads(metadata["sievit"])
        version = content["format"]
    except (KeyError, ValueError):
        raise ArtifactError(
            f"{path} is a safetensors file but no sievit artifact; export one with 'sievit export'") from None
    if version != FORMAT_VERSION:
        raise ArtifactError(f"{path} has artifact format {version}, this sievit reads {FORMAT_VERSION}; "
                            "export it again")
    if content.get("sha256") != _digest(tensors, content.get("model", "")):
        raise ArtifactError(f"{path} is damaged (checksum differs); export it again")
    artifact = _unflatten(tensors, json.loads(content["model"]))
    validate(artifact)
    return artifact


def validate(artifact: SparseVit) -> None:
    """Check shapes and ranges.

    Raises
    ------
    ArtifactError
        Naming the first tensor that breaks the rules of ``docs/numerics.md``.
    """
    width = artifact.width
    if width % artifact.heads or (width // artifact.heads) % BLOCK:
        raise ArtifactError(f"head width {width}/{artifact.heads} must be a multiple of {BLOCK}")
    if artifact.residual_init.dtype != np.int16:
        raise ArtifactError(f"residual_init is {artifact.residual_init.dtype}, expected int16")
    _check_linear("embed", artifact.embed, (width, artifact.patch**2 * 3))
    if artifact.embed.bias.any():
        raise ArtifactError("embed: bias must be 0, it belongs into residual_init")
    for index, block in enumerate(artifact.blocks):
        _check_block(f"block {index}", block, width)
    _check_norm("norm", artifact.norm, width)
    _check_linear("head", artifact.head, (artifact.head.weight.shape[0], width))
    _check_weight_bits(artifact)


def _check_weight_bits(artifact: SparseVit) -> None:
    for kind, bits in artifact.weight_bits.items():
        if kind not in LAYER_KINDS or not 2 <= bits <= 8:
            raise ArtifactError(f"weight_bits has {bits} bits for {kind!r}; kinds are {', '.join(LAYER_KINDS)}, "
                                "2 to 8 bits")
        for layer in artifact.layers_of(kind):
            if np.abs(layer.weight).max() >= 1 << (bits - 1):
                raise ArtifactError(f"a weight code of {kind} does not fit {bits} bits")


def _check_block(name: str, block: Block, width: int) -> None:
    hidden = block.fc1.weight.shape[0]
    _check_norm(f"{name} norm1", block.norm1, width)
    _check_norm(f"{name} norm2", block.norm2, width)
    _check_linear(f"{name} qkv", block.qkv, (3 * width, width))
    _check_linear(f"{name} proj", block.proj, (width, width))
    _check_linear(f"{name} fc1", block.fc1, (hidden, width))
    _check_linear(f"{name} fc2", block.fc2, (width, hidden))
    for part, table in (("exp", block.exp), ("gelu", block.gelu)):
        if table.shape != (256,) or table.dtype != np.uint8:
            raise ArtifactError(f"{name} {part} table must be 256 x uint8")
    if block.exp[0] != 255:
        raise ArtifactError(f"{name} exp table must start with 255")
    for part in ("score", "context"):
        mult, shift = getattr(block, f"{part}_mult"), getattr(block, f"{part}_shift")
        if not (0 <= mult < 65536 and 1 <= shift <= 47):
            raise ArtifactError(f"{name} {part} requantizer out of range: mult {mult}, shift {shift}")
    if block.drop is not None:
        _check_drop(name, block.drop)


def _check_drop(name: str, drop: TokenDrop) -> None:
    if drop.mode not in ("topk", "threshold"):
        raise ArtifactError(f"{name} token drop mode {drop.mode!r} is not topk or threshold")
    if not (0 <= drop.keep < 512 and 0 <= drop.threshold < 1 << 21):
        raise ArtifactError(f"{name} token drop out of range: keep {drop.keep}, threshold {drop.threshold}")


def _check_linear(name: str, layer: Linear, shape: tuple[int, int]) -> None:
    rows, cols = shape
    if layer.weight.shape != shape or layer.weight.dtype != np.int8:
        raise ArtifactError(f"{name}: weight is {layer.weight.dtype} {layer.weight.shape}, expected int8 {shape}")
    blocks = (-(-rows // BLOCK), -(-cols // BLOCK))
    if layer.mask.shape != blocks:
        raise ArtifactError(f"{name}: mask is {layer.mask.shape}, expected {blocks}")
    if cols % BLOCK:
        raise ArtifactError(f"{name}: {cols} inputs are no multiple of {BLOCK}")
    if (layer.weight == -128).any():
        raise ArtifactError(f"{name}: weight code -128 is not allowed")
    full = np.repeat(np.repeat(layer.mask, BLOCK, 0), BLOCK, 1)[:rows, :cols]
    if (layer.weight[~full] != 0).any():
        raise ArtifactError(f"{name}: a pruned block holds a non-zero weight")
    for part, dtype in (("bias", np.int32), ("mult", np.uint16)):
        tensor = getattr(layer, part)
        if tensor.shape != (rows,) or tensor.dtype != dtype:
            raise ArtifactError(
                f"{name}: {part} is {tensor.dtype} {tensor.shape}, expected {dtype.__name__} ({rows},)")
    if (np.abs(layer.bias.astype(np.int64)) >= 1 << 30).any() or not 1 <= layer.shift <= 47:
        raise ArtifactError(f"{name}: bias or shift out of range")


def _check_norm(name: str, norm: Norm, width: int) -> None:
    for part, dtype in (("gamma", np.int16), ("beta", np.int32)):
        tensor = getattr(norm, part)
        if tensor.shape != (width,) or tensor.dtype != dtype:
            raise ArtifactError(
                f"{name}: {part} is {tensor.dtype} {tensor.shape}, expected {dtype.__name__} ({width},)")
    if not 1 <= norm.shift <= 31:
        raise ArtifactError(f"{name}: shift {norm.shift} is not 1..31")


def _flatten(value: Any) -> tuple[dict[str, np.ndarray], str]:
    tensors: dict[str, np.ndarray] = {}

    def walk(item: Any, path: str) -> Any:
        if isinstance(item, np.ndarray):
            tensors[path] = np.ascontiguousarray(item)
            return None
        if dataclasses.is_dataclass(item):
            return {f.name: walk(getattr(item, f.name), f"{path}.{f.name}".lstrip(".")) for f in
                    dataclasses.fields(item)}
        if isinstance(item, tuple) and item and dataclasses.is_dataclass(item[0]):
            return [walk(part, f"{path}.{index}") for index, part in enumerate(item)]
        return item

    content = walk(value, "")
    if not content["weight_bits"]:
        del content["weight_bits"]  # files without it, from before there was a choice, keep their hash
    meta = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return tensors, meta


def _digest(tensors: dict[str, np.ndarray], meta: str) -> str:
    digest = hashlib.sha256(meta.encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"{name} {tensor.dtype} {tensor.shape}".encode())
        digest.update(np.ascontiguousarray(tensor).tobytes())
    return digest.hexdigest()


def _unflatten(tensors: dict[str, np.ndarray], meta: dict[str, Any]) -> SparseVit:
    def linear(path: str, item: dict[str, Any]) -> Linear:
        return Linear(tensors[f"{path}.weight"], tensors[f"{path}.mask"], tensors[f"{path}.bias"],
                      tensors[f"{path}.mult"], item["shift"])

    def norm(path: str, item: dict[str, Any]) -> Norm:
        return Norm(tensors[f"{path}.gamma"], tensors[f"{path}.beta"], item["shift"])

    def block(index: int, item: dict[str, Any]) -> Block:
        path = f"blocks.{index}"
        parts: dict[str, Any] = dict(item)
        for name in ("norm1", "norm2"):
            parts[name] = norm(f"{path}.{name}", item[name])
        for name in ("qkv", "proj", "fc1", "fc2"):
            parts[name] = linear(f"{path}.{name}", item[name])
        for name in ("exp", "gelu"):
            parts[name] = tensors[f"{path}.{name}"]
        parts["drop"] = None if item["drop"] is None else TokenDrop(**item["drop"])
        return Block(**parts)

    try:
        values = dict(meta)
        for name in ("mean", "std", "class_names"):
            values[name] = tuple(values[name])
        values["embed"] = linear("embed", meta["embed"])
        values["head"] = linear("head", meta["head"])
        values["norm"] = norm("norm", meta["norm"])
        values["residual_init"] = tensors["residual_init"]
        values["blocks"] = tuple(block(index, item) for index, item in enumerate(meta["blocks"]))
        return SparseVit(**values)
    except (KeyError, TypeError) as error:
        raise ArtifactError(f"artifact is incomplete ({error}); export it again") from None
