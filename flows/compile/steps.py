"""The steps of a network: what is multiplied with what, where results go, in the terms of ``docs/program.md``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from flows.compile.layout import parameter_words, residual_words
from flows.contracts.artifact import Block, Linear, Norm, SparseVit
from flows.contracts.attention import AttentionUse, attention_use
from flows.contracts.hardware import BLOCK, HardwareConfig, ceil_div
from flows.contracts.numerics import DROP_SCORE_BITS, inverse_heads
from flows.contracts.program import Dest, Drop, Post, Source, Target, Tile

NORM1_HALF = 0
"""Half of the norm parameter memory of norm1 and of the final norm; norm2 has the other."""
NORM2_HALF = 1


@dataclass(frozen=True)
class Column:
    """One output block column of a step.

    Attributes
    ----------
    sources : source column of each block, distinct
    inputs : input block of the weight matrix of each block (stream), or its key/value column (tiles)
    key_blocks : block of 16 keys each block belongs to (tiles), else empty
    output : block row of the weight matrix, and index of the column's parameters
    dest, dest_column : where the finished column goes
    key_block, local_head, head, capture : fields of the packets, see ``flows/contracts/program.py``
    last : source column that has to be processed last, if any
    """

    sources: tuple[int, ...]
    inputs: tuple[int, ...]
    output: int
    dest: Dest
    dest_column: int
    key_blocks: tuple[int, ...] = ()
    key_block: int = 0
    local_head: int = 0
    head: int = 0
    capture: bool = False
    last: int | None = None


@dataclass(frozen=True, eq=False)
class Parameters:
    """Tables that have to be written while a step runs: ``(target, first address, rows)`` per entry.

    ``rows`` has one row per address: a word, or the words of a column for NORM; for RESIDUAL ``tokens`` of them are in
    a word.
    """

    target: Target
    address: int
    rows: np.ndarray
    tokens: int = 1


@dataclass(frozen=True, eq=False)
class Step:
    """One step of the program.

    Attributes
    ----------
    name : for example ``"block3.fc1"``
    fields : values of the STEP packet, without the index
    tokens : tokens at the start of the step; the most possible ones when ``static`` is false
    columns : output columns
    linear : the weights, None when the blocks are key or value tiles
    mult, bias : requantizer parameters of all output channels
    useful_macs : multiplications by kept blocks for alive tokens, no padding counted
    writes : what is written into tables while the step runs
    """

    name: str
    fields: dict[str, int]
    tokens: int
    static: bool
    columns: tuple[Column, ...]
    linear: Linear | None
    mult: np.ndarray
    bias: np.ndarray
    useful_macs: int
    writes: tuple[Parameters, ...] = field(default=())

    @property
    def blocks(self) -> int:
        """Blocks of all columns, inserted zero blocks included."""
        return sum(len(column.sources) for column in self.columns)

    @property
    def drops(self) -> bool:
        """Whether tokens may be dropped while the step drains."""
        return self.fields.get("drop", Drop.NONE) != Drop.NONE


def network_steps(artifact: SparseVit, config: HardwareConfig) -> list[Step]:
    """All steps of a network in order: embedding, seven or so per block, head.

    Columns of attention that :func:`flows.contracts.attention.attention_use` leaves out are in no step, and a step
    without columns is left out.
    """
    return list(_Network(artifact, config).steps())


def tokens_after(drop_mode: Drop, keep: int, tokens: int) -> int:
    """Most tokens alive after a drop from ``tokens`` tokens."""
    return keep + 2 if drop_mode is Drop.TOPK and keep < tokens - 1 else tokens


class _Network:
    def __init__(self, artifact: SparseVit, config: HardwareConfig) -> None:
        self.artifact, self.config = artifact, config
        self.tokens, self.static = artifact.tokens, True
        self.cols = artifact.width // BLOCK

    def steps(self) -> Iterator[Step]:
        yield self._embed()
        for index, block in enumerate(self.artifact.blocks):
            yield from self._block(index, block)
        yield self._head()

    def _embed(self) -> Step:
        linear = self.artifact.embed
        blocks = self.artifact.blocks
        norm = blocks[0].norm1 if blocks else self.artifact.norm
        dests = [(Dest.R, column) for column in range(self.cols)]
        return self._linear("embed", linear, dests, Post.RESIDUAL, Source.A, useful_tokens=self.tokens - 1,
                            fields={"tokens": self.tokens, "image": 1},
                            writes=(self._residual_writes(), self._norm_writes(norm, NORM1_HALF)))

    def _block(self, index: int, block: Block) -> Iterator[Step]:
        name = f"block{index}"
        mode, keep, threshold = self._drop(block)
        following = self.artifact.blocks[index + 1].norm1 if index + 1 < len(self.artifact.blocks) else \
            self.artifact.norm
        use = attention_use(block, self.artifact.heads)
        yield self._qkv(name, block, use)
        yield from self._attention(name, block, use, capture=mode is not Drop.NONE)
        drop = {"drop": mode, "keep": keep, "threshold": threshold, "heads": self.artifact.heads,
                "inverse_heads": inverse_heads(self.artifact.heads)} if mode is not Drop.NONE else {}
        residual = [(Dest.R, column) for column in range(self.cols)]
        yield self._linear(f"{name}.proj", block.proj, residual, Post.RESIDUAL, Source.A, first_source=self.cols,
                           fields=drop)
        self.tokens = tokens_after(mode, keep, self.tokens)
        self.static = self.static and mode is not Drop.THRESHOLD
        hidden = [(Dest.A, column) for column in range(block.fc1.mask.shape[0])]
        yield self._linear(f"{name}.fc1", block.fc1, hidden, Post.GELU, Source.X,
                           fields=self._norm_fields(block.norm2, NORM2_HALF),
                           writes=(self._norm_writes(following, NORM1_HALF),))
        yield self._linear(f"{name}.fc2", block.fc2, residual, Post.RESIDUAL, Source.A, fields={"unsigned": 1})

    def _qkv(self, name: str, block: Block, use: AttentionUse) -> Step:
        dests = [(Dest.A, column) for column in range(self.cols)]
        dests += [(Dest.KV, column) for column in range(2 * self.cols)]
        outputs = [*use.queries, *(self.cols + column for column in use.keys),
                   *(2 * self.cols + column for column in use.contexts)]
        tables = [Parameters(target, 0, table.reshape(-1, self.config.stream_bytes).view(np.uint8))
                  for target, table in ((Target.EXP, block.exp), (Target.GELU, block.gelu))]
        return self._linear(f"{name}.qkv", block.qkv, dests, Post.INT8, Source.X, outputs=outputs,
                            fields=self._norm_fields(block.norm1, NORM1_HALF),
                            writes=(*tables, self._norm_writes(block.norm2, NORM2_HALF)))

    def _head(self) -> Step:
        linear = self.artifact.head
        dests = [(Dest.L, column) for column in range(linear.mask.shape[0])]
        self.tokens, self.static = 1, True
        return self._linear("head", linear, dests, Post.LOGIT, Source.X,
                            fields={"tokens": 1, **self._norm_fields(self.artifact.norm, NORM1_HALF)})

    def _attention(self, name: str, block: Block, use: AttentionUse, *, capture: bool) -> Iterator[Step]:
        size = self.config.score_heads
        groups = [range(first, min(first + size, self.artifact.heads))
                  for first in range(0, self.artifact.heads, size)]
        for index, heads in enumerate(groups):
            if not any(use.pairs[head] for head in heads):
                continue
            suffix = f".{index}" if len(groups) > 1 else ""
            score_macs, context_macs = (self.tokens**2 * BLOCK * sum(len(part[head]) for head in heads)
                                        for part in (use.pairs, use.values))
            yield self._tiles(f"{name}.score{suffix}", self._score_columns(heads, use), Source.A, Tile.KEY, Post.SCORE,
                              block.score_mult, block.score_shift, score_macs)
            yield self._tiles(f"{name}.context{suffix}", self._context_columns(heads, use, capture), Source.S,
                              Tile.VALUE, Post.CONTEXT, block.context_mult, block.context_shift, context_macs)

    def _score_columns(self, heads: range, use: AttentionUse) -> Iterator[Column]:
        for local, head in enumerate(heads):
            columns = tuple(head * use.columns + column for column in use.pairs[head])
            for key_block in range(ceil_div(self.tokens, BLOCK) if columns else 0):
                yield Column(sources=columns, inputs=columns, key_blocks=(key_block,) * len(columns), output=0,
                             dest=Dest.S, dest_column=local * self.config.score_stride + key_block,
                             key_block=key_block, local_head=local, head=head)

    def _context_columns(self, heads: range, use: AttentionUse, capture: bool) -> Iterator[Column]:
        key_blocks = tuple(range(ceil_div(self.tokens, BLOCK)))
        for local, head in enumerate(heads):
            base = local * self.config.score_stride
            for turn, channel in enumerate(use.values[head]):
                column = head * use.columns + channel
                yield Column(sources=tuple(base + key_block for key_block in key_blocks),
                             inputs=(self.cols + column,) * len(key_blocks), key_blocks=key_blocks, output=0,
                             dest=Dest.A, dest_column=self.cols + column, local_head=local, head=head,
                             capture=capture and turn == 0, last=None if self.static else base)

    def _tiles(self, name: str, columns: Iterator[Column], source: Source, tile: Tile, post: Post, mult: int,
               shift: int, macs: int) -> Step:
        fields = {"source": source, "tile": tile, "post": post, "shift": shift, "width": self.artifact.width,
                  "unsigned": int(source is Source.S)}
        return Step(name, fields, self.tokens, self.static, tuple(columns), None, np.full(BLOCK, mult, np.uint16),
                    np.zeros(BLOCK, np.int32), macs)

    def _linear(self, name: str, linear: Linear, dests: list[tuple[Dest, int]], post: Post, source: Source, *,
                fields: dict[str, int], first_source: int = 0, useful_tokens: int | None = None,
                outputs: Sequence[int] | None = None, writes: tuple[Parameters, ...] = ()) -> Step:
        columns = []
        chosen = range(len(dests)) if outputs is None else outputs
        for output in chosen:
            dest, column = dests[output]
            kept = tuple(int(block) for block in np.flatnonzero(linear.mask[output])) or (0,)
            columns.append(Column(sources=tuple(first_source + block for block in kept), inputs=kept, output=output,
                                  dest=dest, dest_column=column))
        fields = {"source": source, "post": post, "shift": linear.shift, "width": self.artifact.width, **fields}
        padded = linear.mask.shape[0] * BLOCK
        mult, bias = np.zeros(padded, np.uint16), np.zeros(padded, np.int32)
        mult[:linear.mult.size], bias[:linear.bias.size] = linear.mult, linear.bias
        macs = kept_weights(linear, chosen) * (self.tokens if useful_tokens is None else useful_tokens)
        return Step(name, fields, self.tokens, self.static, tuple(columns), linear, mult, bias, macs, writes)

    def _norm_fields(self, norm: Norm, half: int) -> dict[str, int]:
        return {"norm": 1, "norm_half": half, "norm_columns": self.cols, "norm_shift": norm.shift}

    def _norm_writes(self, norm: Norm, half: int) -> Parameters:
        words = parameter_words(norm.beta, norm.gamma, self.config)
        return Parameters(Target.NORM, half * self.config.max_width // BLOCK, words)

    def _residual_writes(self) -> Parameters:
        """Column after column; the gap up to ``max_tokens`` is left out when the packets are made."""
        words = residual_words(self.artifact.residual_init, self.config)
        return Parameters(Target.RESIDUAL, 0, words, tokens=self.config.tokens_per_word)

    def _drop(self, block: Block) -> tuple[Drop, int, int]:
        """Mode, k and threshold; no drop at all when k keeps every token, as that costs nothing."""
        if block.drop is None:
            return Drop.NONE, 0, 0
        if block.drop.mode == "threshold":
            return Drop.THRESHOLD, 0, min(max(block.drop.threshold, 0), (1 << DROP_SCORE_BITS) - 1)
        if block.drop.keep >= self.tokens - 1:
            return Drop.NONE, 0, 0
        return Drop.TOPK, max(block.drop.keep, 0), 0


def kept_weights(linear: Linear, outputs: Sequence[int]) -> int:
    """Weights in kept blocks of some output columns, rows of padding not counted."""
    rows = np.full(linear.mask.shape[0], BLOCK, np.int64)
    rows[-1] = linear.weight.shape[0] - (linear.mask.shape[0] - 1) * BLOCK
    return int((linear.mask.sum(1) * rows)[list(outputs)].sum()) * BLOCK
