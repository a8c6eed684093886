"""Program stream: packet kinds, header fields, and their packing. ``docs/program.md`` describes the format."""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum

from flows.contracts.hardware import BLOCK, HardwareConfig, ceil_div

MAGIC = 0x54564953  # "SIVT"
VERSION = 3

Fields = tuple[tuple[str, int], ...]


class Kind(IntEnum):
    """Packet kinds."""

    HELLO = 1
    STEP = 2
    SLOT = 3
    WRITE = 4
    END = 5


class Source(IntEnum):
    """Memory whose words are streamed through the clusters."""

    X = 0
    A = 1
    S = 2


class Tile(IntEnum):
    """Where stationary blocks come from."""

    STREAM = 0
    KEY = 1
    VALUE = 2


class Post(IntEnum):
    """What happens to a finished column."""

    INT8 = 0
    GELU = 1
    RESIDUAL = 2
    SCORE = 3
    CONTEXT = 4
    LOGIT = 5


class Dest(IntEnum):
    """Memory that receives a finished column."""

    A = 0
    KV = 1
    S = 2
    R = 3
    L = 4


class Drop(IntEnum):
    """Token selection mode of a step."""

    NONE = 0
    TOPK = 1
    THRESHOLD = 2


class Target(IntEnum):
    """Memory written by a WRITE packet."""

    EXP = 0
    GELU = 1
    NORM = 2
    RESIDUAL = 3


HELLO: Fields = (
    ("kind", 4),
    ("resident", 1),      # the program store holds the whole stream: later images of a run do not read it again
    ("pad", 27),
    ("magic", 32),
    ("version", 16),
    ("pad2", 16),
    ("config_hash", 32),
    ("words", 32),        # of the stream, padding included
    ("image_tokens", 9),
    ("pad3", 7),
    ("image_words", 8),
)

STEP: Fields = (
    ("kind", 4),
    ("source", 2),
    ("tile", 2),
    ("post", 3),
    ("unsigned", 1),     # streamed codes are uint8
    ("shift", 6),        # requantizer shift of the step
    ("tokens", 9),       # sets N when the step starts; 0 keeps the current N
    ("index", 16),       # step number, for progress and errors
    ("width", 11),       # D of the residual stream, for layer norm
    ("norm", 1),         # run a norm pass over norm_columns while the step runs
    ("norm_half", 1),
    ("norm_columns", 7),
    ("norm_shift", 5),
    ("image", 1),        # need_columns counts image columns
    ("drop", 2),
    ("keep", 9),         # k of top-k
    ("threshold", 21),
    ("heads", 5),
    ("inverse_heads", 17),
)

SLOT: Fields = (
    ("kind", 4),
    ("drain", 1),
    ("drain_cluster", 4),
    ("dest", 3),
    ("dest_column", 10),
    ("key_block", 5),     # SCORE: key block of the drained column
    ("local_head", 4),    # SCORE: row of the row-max memory
    ("head", 4),          # CONTEXT: head of the drained column
    ("capture", 1),       # CONTEXT: store the CLS row's reciprocal under head
    ("stats_last", 1),    # RESIDUAL: last column of the step, token statistics are complete with it
    ("need_columns", 7),
    ("merge", 1),         # the drained column is the sum of drain_cluster and merge_cluster, both valid
    ("merge_cluster", 4),
    ("pad", 15),
)

CLUSTER: Fields = (
    ("valid", 1),
    ("source_column", 10),
    ("tile_column", 8),   # key/value column
    ("key_block", 5),     # key/value tile, and mask of S words
    ("local_head", 4),    # row of the row-max memory
    ("head", 4),
    ("capture", 1),       # store the CLS row of exponentials under (head, key_block)
    ("pad", 7),
)

WRITE: Fields = (("kind", 4), ("target", 3), ("pad", 1), ("address", 16), ("words", 10))

END: Fields = (("kind", 4),)

COLUMN_PARAMETER_BITS = BLOCK * (32 + 16)
"""Requantizer parameters of a column: 16 x int32 bias, then 16 x uint16 multiplier."""


def fields_width(fields: Fields) -> int:
    """Bits of a field list."""
    return sum(width for _, width in fields)


def slot_header_words(config: HardwareConfig) -> int:
    """Words of a SLOT header."""
    return ceil_div(fields_width(SLOT) + config.clusters * fields_width(CLUSTER), config.stream_bits)


def column_parameter_words(config: HardwareConfig) -> int:
    """Words of the column parameters of a draining slot, and of a column's norm parameters."""
    return ceil_div(COLUMN_PARAMETER_BITS, config.stream_bits)


def pack(fields: Fields, values: Mapping[str, int]) -> int:
    """Pack non-negative ``values`` (absent ones are 0) from bit 0 upwards.

    Raises
    ------
    ValueError
        For a name that is no field, or a value that does not fit its field.
    """
    if unknown := set(values) - {name for name, _ in fields}:
        raise ValueError(f"no such field: {min(unknown)}")
    word, offset = 0, 0
    for name, width in fields:
        value = int(values.get(name, 0))
        if not 0 <= value < 1 << width:
            raise ValueError(f"{name} = {value} does not fit {width} bits")
        word |= value << offset
        offset += width
    return word


def unpack(fields: Fields, word: int) -> dict[str, int]:
    """The inverse of :func:`pack`."""
    values, offset = {}, 0
    for name, width in fields:
        values[name] = word >> offset & (1 << width) - 1
        offset += width
    return values
