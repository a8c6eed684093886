"""Which columns (16 channels) of a block's attention have to be computed: what is not read, or adds zeros, need not.

Compiler and golden model follow this one rule, and ``docs/program.md`` states it. Nothing that reaches the residual
stream changes: pruned heads and channels save their attention too.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from flows.contracts.artifact import Block, Linear
from flows.contracts.hardware import BLOCK

Groups = tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class AttentionUse:
    """What of the attention of a block is computed.

    Attributes
    ----------
    columns : columns of a head
    pairs : per head, its columns (counted from 0) whose products of queries and keys are summed to scores; none when
        the head's scores are not needed, else at least one
    values : per head, its columns of values and context
    """

    columns: int
    pairs: Groups
    values: Groups

    @property
    def heads(self) -> tuple[int, ...]:
        """Heads whose scores are computed."""
        return tuple(head for head, pairs in enumerate(self.pairs) if pairs)

    @property
    def queries(self) -> tuple[int, ...]:
        """Columns of the queries, ascending; the first when the attention does nothing, as the step has to exist."""
        return self._absolute(self.pairs) or (0,)

    @property
    def keys(self) -> tuple[int, ...]:
        """Columns of the keys."""
        return self._absolute(self.pairs)

    @property
    def contexts(self) -> tuple[int, ...]:
        """Columns of the values, and of the context."""
        return self._absolute(self.values)

    @cached_property
    def unused(self) -> dict[str, tuple[int, ...]]:
        """What is not computed, by checkpoint: columns of query, key, value and context, heads of score."""
        total = range(self.columns * len(self.pairs))

        def others(columns: tuple[int, ...]) -> tuple[int, ...]:
            return tuple(column for column in total if column not in columns)

        return {"query": others(self.queries), "key": others(self.keys), "value": others(self.contexts),
                "context": others(self.contexts),
                "score": tuple(head for head, pairs in enumerate(self.pairs) if not pairs)}

    def _absolute(self, groups: Groups) -> tuple[int, ...]:
        return tuple(head * self.columns + column for head, group in enumerate(groups) for column in group)


def attention_use(block: Block, heads: int) -> AttentionUse:
    """What has to be computed of the attention of ``block``.

    - A context column is read when a block of the projection's column is kept. When the block drops tokens, the scores
      of every head count, and its first column carries them if no other does.
    - Scores are needed of heads with such a column.
    - A product of a query and a key column is zero, and left out, when one of the two has neither weights nor bias;
      one product stays.
    """
    columns = block.proj.mask.shape[1] // heads
    read = block.proj.mask.any(axis=0).reshape(heads, columns)
    query, key = (~zero_columns(block.qkv)).reshape(3, heads, columns)[:2]
    values = [_places(row) or ((0,) if block.drop is not None else ()) for row in read]
    pairs = [(_places(row) or (0,)) if used else () for row, used in zip(query & key, values, strict=True)]
    return AttentionUse(columns, tuple(pairs), tuple(values))


def zero_columns(linear: Linear) -> np.ndarray:
    """Output columns of 16 channels that are always zero: no block kept, no bias. Bool ``(out / 16,)``."""
    return np.logical_not(linear.mask.any(axis=1) | linear.bias.reshape(-1, BLOCK).any(axis=1))


def _places(row: np.ndarray) -> tuple[int, ...]:
    return tuple(int(column) for column in np.flatnonzero(row))
