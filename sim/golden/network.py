"""The whole network: units in the order of ``docs/numerics.md``, with every intermediate integer on request."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from flows.contracts.artifact import Block, Linear, SparseVit
from flows.contracts.attention import attention_use
from flows.contracts.errors import ArtifactError, ConfigError
from sim.golden import head, residual, token_drop
from sim.golden.cluster import matmul
from sim.golden.gelu import gelu
from sim.golden.layer_norm import layer_norm
from sim.golden.requant import requant
from sim.golden.softmax import exponentials, normalise, reciprocal

Observer = Callable[[str, np.ndarray], None]
"""Called with the name and the array of every checkpoint, in the order of execution."""


@dataclass(frozen=True, eq=False)
class Result:
    """What a run of the golden model yields.

    Attributes
    ----------
    logits : int16 ``(classes,)``
    tokens : tokens alive after each block
    kept : by block that drops tokens: the indices, into the tokens that entered the block, of the patch tokens (not
        CLS) that stay. All of them when nothing was dropped.
    checkpoints : every intermediate array by name in the order of execution; empty unless recorded
    unused : parts of checkpoints that change nothing and that the hardware leaves out, see
        :mod:`flows.contracts.attention`: columns of 16 channels, heads of scores
    """

    logits: NDArray[np.int16]
    tokens: list[int]
    kept: dict[int, NDArray[np.int64]]
    checkpoints: dict[str, np.ndarray] = field(default_factory=dict)
    unused: dict[str, tuple[int, ...]] = field(default_factory=dict)


class Golden:
    """The integer model of one artifact; converts the weights for BLAS once.

    Parameters
    ----------
    artifact : the network

    Raises
    ------
    ArtifactError
        When the patch embedding has a bias of its own (it belongs into ``residual_init``).

    Notes
    -----
    Checkpoints, with ``N`` tokens entering block ``l`` and ``N'`` leaving it: ``embed`` int16 ``(N, D)``; of every
    block ``block{l}.norm1``, ``.query``, ``.key``, ``.value``, ``.context`` int8 ``(N, D)``, ``.score`` int8
    ``(H, N, N)``, ``.proj`` int16 ``(N', D)`` (the residual stream after attention and token drop), ``.norm2`` int8
    ``(N', D)``, ``.hidden`` uint8 ``(N', F)``, ``.mlp`` int16 ``(N', D)`` (the residual stream after the block);
    ``norm`` int8 ``(1, D)``; ``logits`` int16 ``(classes,)``.
    """

    def __init__(self, artifact: SparseVit) -> None:
        if artifact.embed.bias.any():
            raise ArtifactError("embed: bias must be 0, it is part of residual_init; export the artifact again")
        self.artifact = artifact
        layers = [artifact.embed, artifact.head]
        layers += [layer for block in artifact.blocks for layer in (block.qkv, block.proj, block.fc1, block.fc2)]
        self._unused = {f"block{index}.{name}": parts for index, block in enumerate(artifact.blocks)
                        for name, parts in attention_use(block, artifact.heads).unused.items() if parts}
        self._weights = {id(layer): layer.weight.astype(np.float32) for layer in layers}

    def run(self, patches: NDArray[np.int8], *, record: bool = False, observe: Observer | None = None) -> Result:
        """Run one image.

        Parameters
        ----------
        patches : int8 ``(N, P)``, row 0 zero
        record : keep every checkpoint in the result
        observe : called with every checkpoint as it is computed

        Raises
        ------
        ConfigError
            When ``patches`` do not fit the artifact.
        """
        self._check(patches, (self.artifact.tokens, self.artifact.embed.weight.shape[1]))
        checkpoints: dict[str, np.ndarray] = {}
        tokens: list[int] = []
        kept: dict[int, NDArray[np.int64]] = {}

        def emit(name: str, array: np.ndarray) -> None:
            if record:
                checkpoints[name] = array
            if observe is not None:
                observe(name, array)

        x = residual.add(self.artifact.residual_init, self._linear(patches, self.artifact.embed, 16))
        emit("embed", x)
        for index, block in enumerate(self.artifact.blocks):
            x, stay = self._block(x, block, lambda name, array, index=index: emit(f"block{index}.{name}", array))
            tokens.append(x.shape[0])
            if stay is not None:
                kept[index] = np.flatnonzero(stay)[1:]
        codes = head.norm(x, self.artifact.norm)
        emit("norm", codes)
        logits = head.logits(codes, self.artifact.head, self._weights[id(self.artifact.head)])
        emit("logits", logits)
        return Result(logits, tokens, kept, checkpoints, dict(self._unused))

    def classify(self, patches: NDArray[np.int8]) -> NDArray[np.int16]:
        """Logits int16 ``(B, classes)`` of a batch of images, int8 ``(B, N, P)``.

        Image by image: the activations of one stay in the cache, which is faster than larger matrices, and the number
        of tokens alive may differ between images.

        Raises
        ------
        ConfigError
            When ``patches`` do not fit the artifact.
        """
        if patches.ndim != 3:
            raise ConfigError(f"a batch of patch codes has three axes (images, tokens, inputs), not {patches.ndim}")
        logits = np.empty((patches.shape[0], self.artifact.head.weight.shape[0]), np.int16)
        for index, image in enumerate(patches):
            logits[index] = self.run(image).logits
        return logits

    def _block(self, x: NDArray[np.int16], block: Block,
               emit: Observer) -> tuple[NDArray[np.int16], NDArray[np.bool_] | None]:
        """One encoder block: residual stream in and out, and which tokens stay when the block drops tokens."""
        codes = layer_norm(x, block.norm1)
        emit("norm1", codes)
        context, score = self._attention(codes, block, emit)
        x = residual.add(x, self._linear(context, block.proj, 16))
        stay = None
        if block.drop is not None:
            stay = token_drop.select(score, block.drop)
            x = token_drop.fuse(x, stay, token_drop.weights(score, self.artifact.heads))
        emit("proj", x)
        codes = layer_norm(x, block.norm2)
        emit("norm2", codes)
        hidden = gelu(self._linear(codes, block.fc1, 8), block.gelu)
        emit("hidden", hidden)
        x = residual.add(x, self._linear(hidden, block.fc2, 16))
        emit("mlp", x)
        return x, stay

    def _attention(self, codes: NDArray[np.int8], block: Block,
                   emit: Observer) -> tuple[NDArray[np.int8], NDArray[np.int64]]:
        """Context int8 ``(N, D)``, and the token drop scores ``(N,)``."""
        tokens, width = codes.shape
        query, key, value = (np.ascontiguousarray(part)
                             for part in np.split(self._linear(codes, block.qkv, 8), 3, axis=1))
        emit("query", query)
        emit("key", key)
        emit("value", value)

        acc = matmul(self._heads(query), self._heads(key))
        score = requant(acc, 0, block.score_mult, block.score_shift, 8)
        emit("score", score)
        exps = exponentials(score, score.max(-1), tokens, block.exp)
        mant, q = reciprocal(exps.sum(-1, dtype=np.int64))
        acc = matmul(exps, self._heads(value).swapaxes(1, 2))
        scaled = normalise(acc, mant[..., None], q[..., None])
        context = requant(scaled, 0, block.context_mult, block.context_shift, 8)
        context = context.transpose(1, 0, 2).reshape(tokens, width)
        emit("context", context)
        return context, token_drop.scores(exps[:, 0], mant[:, 0], q[:, 0])

    def _heads(self, codes: np.ndarray) -> np.ndarray:
        """``(N, D)`` to ``(H, N, D / H)``."""
        return codes.reshape(codes.shape[0], self.artifact.heads, -1).transpose(1, 0, 2)

    def _linear(self, codes: np.ndarray, layer: Linear, bits: int) -> np.ndarray:
        acc = matmul(codes, self._weights[id(layer)])
        return requant(acc, layer.bias, layer.mult, layer.shift, bits)

    def _check(self, patches: np.ndarray, shape: tuple[int, int]) -> None:
        if patches.shape != shape or patches.dtype != np.int8:
            raise ConfigError(f"patch codes are {patches.dtype} {patches.shape}, but {self.artifact.model} takes "
                              f"int8 {shape}; prepare the image with this artifact")
        if patches[0].any():
            raise ConfigError("patch codes of the CLS token (row 0) must be 0")


def run(artifact: SparseVit, patches: NDArray[np.int8], *, layers: range | None = None, record: bool = False,
        observe: Observer | None = None) -> Result:
    """Run one image through ``artifact``, or through its blocks ``layers`` only; see :meth:`Golden.run`.

    With ``layers`` the blocks are counted from 0 again, as in the artifact that :func:`select_layers` returns.
    """
    if layers is not None:
        if not layers or layers.step != 1:
            raise ConfigError(f"layers must be a range of consecutive blocks, not {layers}")
        artifact = select_layers(artifact, layers.start, layers.stop - 1)
    return Golden(artifact).run(patches, record=record, observe=observe)


def classify(artifact: SparseVit, patches: NDArray[np.int8]) -> NDArray[np.int16]:
    """Logits int16 ``(B, classes)`` of images int8 ``(B, N, P)``; see :meth:`Golden.classify`."""
    return Golden(artifact).classify(patches)


def select_layers(artifact: SparseVit, first: int, last: int) -> SparseVit:
    """An artifact with the blocks ``first`` to ``last`` (both included) only, embedding and head as they are.

    Raises
    ------
    ConfigError
        When there are no such blocks.
    """
    depth = len(artifact.blocks)
    if not 0 <= first <= last < depth:
        raise ConfigError(f"layers {first}..{last} are not within 0..{depth - 1} of {artifact.model}")

    def renumber(match: re.Match[str]) -> str:
        return f"{match[1]}{int(match[2]) - first}{match[3]}"

    scales = {}
    for name, scale in artifact.scales.items():
        match = _BLOCK_NAME.match(name)
        if match is None or first <= int(match[2]) <= last:
            scales[_BLOCK_NAME.sub(renumber, name)] = scale
    return dataclasses.replace(artifact, blocks=artifact.blocks[first : last + 1], scales=scales)


_BLOCK_NAME = re.compile(r"^(blocks?\.?)(\d+)(\b.*)$")
"""Names of block tensors: ``block3.score`` or ``blocks.3.score``."""
