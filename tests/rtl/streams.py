"""Program streams packed by hand, and what the decoder must make of each packet."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any

from flows.contracts.hardware import BLOCK, HardwareConfig
from flows.contracts.program import (
    CLUSTER,
    END,
    HELLO,
    MAGIC,
    SLOT,
    STEP,
    VERSION,
    WRITE,
    Fields,
    Kind,
    Post,
    Source,
    Target,
    Tile,
    column_parameter_words,
    fields_width,
    pack,
    slot_header_words,
    unpack,
)


@dataclass
class Outcome:
    """What comes out of the decoder, port by port, in order.

    Attributes
    ----------
    hello : accepted headers
    order : steps and slots, as ("step" or "slot", payload)
    loads : (clusters, transposed, word)
    parameters : words of column parameters
    exp, gelu : (address, byte)
    norm, residual : (address, word of the packet, data)
    """

    hello: list[int] = field(default_factory=list)
    order: list[tuple[str, int]] = field(default_factory=list)
    loads: list[tuple[int, int, int]] = field(default_factory=list)
    parameters: list[int] = field(default_factory=list)
    exp: list[tuple[int, int]] = field(default_factory=list)
    gelu: list[tuple[int, int]] = field(default_factory=list)
    norm: list[tuple[int, int, int]] = field(default_factory=list)
    residual: list[tuple[int, int, int]] = field(default_factory=list)

    def check(self, expected: Outcome) -> None:
        """Compare every port: values, order, count.

        Raises
        ------
        AssertionError
            Naming the port and the first difference.
        """
        for port, wanted in vars(expected).items():
            got = getattr(self, port)
            for index, (a, b) in enumerate(zip(got, wanted, strict=False)):
                assert a == b, f"{port} {index}: got {a}, expected {b}"
            assert len(got) == len(wanted), f"{port}: got {len(got)}, expected {len(wanted)}"


def tile_word(config: HardwareConfig, column: int, key_block: int, word: int) -> int:
    """Contents of the key/value memory beside the decoder: bits that tell every address from every other."""
    return random.Random((column << 16 | key_block << 8) + word).getrandbits(config.stream_bits)


def random_fields(rng: random.Random, fields: Fields, **fixed: int) -> dict[str, int]:
    """Random values for all fields but padding and the ``fixed`` ones."""
    values = {name: rng.getrandbits(width) for name, width in fields if not name.startswith("pad")}
    return values | fixed


class Stream:
    """Builds a program and the outcome it must have.

    Parameters
    ----------
    config : HardwareConfig
    tokens : alive while the program runs
    seed : of everything random
    """

    def __init__(self, config: HardwareConfig, tokens: int, seed: int) -> None:
        self.config, self.tokens = config, tokens
        self.rng = random.Random(seed)
        self.words: list[int] = []
        self.expected = Outcome()
        self.loads_by_slot: list[int] = []
        """Loads and parameter words due when the n-th slot is offered, cumulative."""
        self.parameters_by_slot: list[int] = []
        self.skipped = 0
        """Slots that no cluster has work in."""
        self._tile = Tile.STREAM

    def word(self) -> int:
        """A random payload word."""
        return self.rng.getrandbits(self.config.stream_bits)

    def hello(self, **changes: int) -> Stream:
        """A header that this hardware accepts, but for ``changes``."""
        fields = {"kind": Kind.HELLO, "magic": MAGIC, "version": VERSION, "config_hash": self.config.config_hash(),
                  "words": self.rng.getrandbits(32), "image_tokens": self.rng.randrange(self.config.max_tokens + 1),
                  "image_words": self.rng.getrandbits(8)}
        self.words.append(pack(HELLO, fields | changes))
        self.expected.hello.append(self.words[-1])
        return self

    def step(self, tile: Tile = Tile.STREAM, **fixed: int) -> Stream:
        """A step of random settings."""
        tokens = self.rng.randrange(self.config.max_tokens + 1)
        codes = {"source": self.rng.choice(list(Source)), "post": self.rng.choice(list(Post))}
        fields = random_fields(self.rng, STEP, **{"kind": Kind.STEP, "tile": tile, "tokens": tokens} | codes | fixed)
        self.words.append(pack(STEP, fields))
        self.expected.order.append(("step", self.words[-1]))
        self._tile = tile
        return self

    def slot(self, valid: list[int], *, drain: int | None = None, key_blocks: list[int] | None = None) -> Stream:
        """A slot: ``valid`` per cluster, the cluster that drains, the key block of each cluster's tile."""
        entries = []
        for cluster, bit in enumerate(valid):
            block = key_blocks[cluster] if key_blocks else self.rng.randrange(self.config.token_blocks)
            column = self.rng.randrange(self.config.kv_cols)
            entries.append(random_fields(self.rng, CLUSTER, valid=bit, key_block=block, tile_column=column))
        header = random_fields(self.rng, SLOT, kind=Kind.SLOT, drain=int(drain is not None), drain_cluster=drain or 0)
        packed = self._pack(header, entries)
        bits = self.config.stream_bits
        self.words += [packed >> bits * index & (1 << bits) - 1 for index in range(slot_header_words(self.config))]
        working = [self._works(entry) for entry in entries]
        self._blocks(entries, working)
        if drain is not None:
            parameters = [self.word() for _ in range(column_parameter_words(self.config))]
            self.words += parameters
            # Those of a cluster without work are thrown away.
            self.expected.parameters += parameters if working[drain] else []
        self.skipped += not any(working)
        if any(working):
            for entry, works in zip(entries, working, strict=True):
                entry["valid"] = int(works)
            header["drain"] = int(drain is not None and working[drain])
            self.expected.order.append(("slot", self._pack(header, entries)))
            self.loads_by_slot.append(len(self.expected.loads))
            self.parameters_by_slot.append(len(self.expected.parameters))
        return self

    def _works(self, entry: dict[str, int]) -> bool:
        beyond = self._tile != Tile.STREAM and entry["key_block"] * BLOCK >= self.tokens
        return bool(entry["valid"]) and not beyond

    def _blocks(self, entries: list[dict[str, int]], working: list[bool]) -> None:
        for cluster, works in enumerate(working):
            for index in range(self.config.block_words if works else 0):
                if self._tile == Tile.STREAM:
                    word = self.word()
                    self.words.append(word)
                else:
                    word = tile_word(self.config, entries[cluster]["tile_column"], entries[cluster]["key_block"], index)
                self.expected.loads.append((1 << cluster, int(self._tile == Tile.VALUE), word))

    @staticmethod
    def _pack(header: dict[str, Any], entries: list[dict[str, int]]) -> int:
        packed, offset = pack(SLOT, header), fields_width(SLOT)
        for entry in entries:
            packed |= pack(CLUSTER, entry) << offset
            offset += fields_width(CLUSTER)
        return packed

    def write(self, target: Target, address: int, words: int) -> Stream:
        """A table, norm parameters, or initial residuals."""
        header = {"kind": Kind.WRITE, "target": target, "address": address, "words": words}
        self.words.append(pack(WRITE, header))
        for index in range(words):
            word = self.word()
            self.words.append(word)
            if target in (Target.EXP, Target.GELU):
                table = self.expected.exp if target == Target.EXP else self.expected.gelu
                table += [(address + self.config.stream_bytes * index + entry, word >> 8 * entry & 255)
                          for entry in range(self.config.stream_bytes)]
            elif target == Target.NORM:
                column, part = divmod(index, column_parameter_words(self.config))
                self.expected.norm.append((address + column, part, word))
            else:
                self.expected.residual.append((address + index * self.config.stream_bits // 256, 0, word))
        return self

    def end(self, padding: int | None = None) -> Stream:
        """The last packet, and as many words of padding that the header then counts. None: the header counts wrong."""
        self.words.append(pack(END, {"kind": Kind.END}))
        if padding is not None:
            self.words += [self.word() for _ in range(padding)]
            self.words[0] = pack(HELLO, unpack(HELLO, self.words[0]) | {"words": len(self.words)})
            self.expected.hello[0] = self.words[0]
        return self
