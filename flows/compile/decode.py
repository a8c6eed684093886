"""Reads a stream back into packets, for the cycle model."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from flows.contracts.errors import ArtifactError
from flows.contracts.hardware import HardwareConfig
from flows.contracts.program import (
    CLUSTER,
    END,
    HELLO,
    SLOT,
    STEP,
    WRITE,
    Drop,
    Kind,
    Tile,
    column_parameter_words,
    fields_width,
    slot_header_words,
    unpack,
)


@dataclass(frozen=True)
class Packet:
    """A packet of the stream.

    Attributes
    ----------
    kind : packet kind
    position : first word
    header, blocks, words : words of the header, of weight blocks, and of the whole packet
    fields : header fields
    clusters : entries of a slot's clusters
    """

    kind: Kind
    position: int
    header: int
    blocks: int
    words: int
    fields: dict[str, int]
    clusters: tuple[dict[str, int], ...] = ()


def packets(stream: np.ndarray, config: HardwareConfig) -> Iterator[Packet]:
    """All packets up to and with END.

    Raises
    ------
    ArtifactError
        When a packet is unknown or the stream ends within one.
    """
    size = config.stream_bytes
    total, position, tile = stream.size // size, 0, Tile.STREAM
    data = stream.tobytes()
    slot_words = slot_header_words(config)
    while position < total:
        code = data[position * size] & 15
        words = slot_words if code == Kind.SLOT else 1
        header = int.from_bytes(data[position * size:(position + words) * size], "little")
        packet = _packet(code, position, words, header, tile, config)
        if position + packet.words > total:
            raise ArtifactError("the program stream ends within a packet; compile it again")
        if packet.kind is Kind.STEP:
            tile = Tile(packet.fields["tile"])
        yield packet
        if packet.kind is Kind.END:
            return
        position += packet.words
    raise ArtifactError("the program stream has no end packet; compile it again")


def _packet(code: int, position: int, words: int, header: int, tile: Tile, config: HardwareConfig) -> Packet:
    if code == Kind.SLOT:
        fields = unpack(SLOT, header)
        offset, width = fields_width(SLOT), fields_width(CLUSTER)
        clusters = tuple(unpack(CLUSTER, header >> (offset + width * c)) for c in range(config.clusters))
        blocks = config.block_words * sum(entry["valid"] for entry in clusters) if tile is Tile.STREAM else 0
        payload = blocks + column_parameter_words(config) * fields["drain"]
        return Packet(Kind.SLOT, position, words, blocks, words + payload, fields, clusters)
    if code == Kind.WRITE:
        fields = unpack(WRITE, header)
        return Packet(Kind.WRITE, position, words, 0, words + fields["words"], fields)
    layouts = {Kind.HELLO: HELLO, Kind.STEP: STEP, Kind.END: END}
    if code not in layouts:
        raise ArtifactError(f"the program stream has an unknown packet {code} at word {position}; compile it again")
    kind = Kind(code)
    return Packet(kind, position, words, 0, words, unpack(layouts[kind], header))


def dropping_steps(stream: np.ndarray, config: HardwareConfig) -> list[int]:
    """Indices of the steps that drop tokens; a top-k drop that keeps every token is left out by the compiler."""
    return [packet.fields["index"] for packet in packets(stream, config)
            if packet.kind is Kind.STEP and packet.fields["drop"] != Drop.NONE]
