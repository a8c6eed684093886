"""Single wrong bits: in a network (as integers), and in the program stream (as the hardware reads it)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from flows.compile.decode import Packet, packets
from flows.contracts.artifact import Block, Linear, Norm, SparseVit
from flows.contracts.program import (
    CLUSTER,
    SLOT,
    STEP,
    WRITE,
    Drop,
    Fields,
    Kind,
    Post,
    Source,
    Target,
    Tile,
    column_parameter_words,
    fields_width,
)
from tests.accelerator.harness import Job

Mutation = Callable[[SparseVit, np.random.Generator], SparseVit]


def flip(array: np.ndarray, rng: np.random.Generator, allowed: np.ndarray | None = None, bits: int = 64) -> np.ndarray:
    """A copy with one random bit flipped, among the lowest ``bits`` of an element where ``allowed`` holds."""
    places = np.flatnonzero(np.ones(array.shape, bool) if allowed is None else allowed)
    changed = array.copy()
    raw = changed.reshape(-1).view(f"u{array.itemsize}")
    raw[rng.choice(places)] ^= 1 << int(rng.integers(min(bits, 8 * array.itemsize)))
    return changed


def in_linear(part: str) -> Callable[[Linear, np.random.Generator], Linear]:
    """One bit of ``weight`` (of a kept block), ``bias`` or ``mult``."""
    def mutate(layer: Linear, rng: np.random.Generator) -> Linear:
        if part == "weight":
            kept = np.repeat(np.repeat(layer.mask, 16, 0), 16, 1)[:layer.weight.shape[0]]
            while ((weight := flip(layer.weight, rng, kept)) == -128).any():
                pass  # no weight code
            return replace(layer, weight=weight)
        # Accumulators, bias included, stay below 2**30.
        return replace(layer, **{part: flip(getattr(layer, part), rng, bits=26)})
    return mutate


def in_norm(part: str) -> Callable[[Norm, np.random.Generator], Norm]:
    """One bit of ``gamma`` or ``beta``."""
    return lambda norm, rng: replace(norm, **{part: flip(getattr(norm, part), rng)})


def in_block(name: str, mutate: Callable[[Any, np.random.Generator], Any]) -> Mutation:
    """Change member ``name`` of a random block."""
    def apply(artifact: SparseVit, rng: np.random.Generator) -> SparseVit:
        index = int(rng.integers(len(artifact.blocks)))
        blocks: list[Block] = list(artifact.blocks)
        blocks[index] = replace(blocks[index], **{name: mutate(getattr(blocks[index], name), rng)})
        return replace(artifact, blocks=tuple(blocks))
    return apply


def in_network(name: str, mutate: Callable[[Any, np.random.Generator], Any]) -> Mutation:
    """Change a member of the network itself."""
    return lambda artifact, rng: replace(artifact, **{name: mutate(getattr(artifact, name), rng)})


def network_mutations() -> Iterator[tuple[str, Mutation]]:
    """One random bit in everything a program holds."""
    for layer in ("qkv", "proj", "fc1", "fc2"):
        for part in ("weight", "bias", "mult"):
            yield f"{layer} {part}", in_block(layer, in_linear(part))
    for part in ("weight", "mult"):  # the embedding has no bias
        yield f"embed {part}", in_network("embed", in_linear(part))
    for part in ("weight", "bias", "mult"):
        yield f"head {part}", in_network("head", in_linear(part))
    for part in ("gamma", "beta"):
        yield f"norm {part}", in_network("norm", in_norm(part))
        for norm in ("norm1", "norm2"):
            yield f"{norm} {part}", in_block(norm, in_norm(part))
    # Entry 0 is 255 by definition; the first ones are used by every softmax, those in the middle by every GELU.
    used = np.arange(256)
    yield "exp table", in_block("exp", lambda table, rng: flip(table, rng, (used >= 1) & (used < 100)))
    yield "gelu table", in_block("gelu", lambda table, rng: flip(table, rng, (used > 80) & (used < 176)))
    for name in ("score_mult", "context_mult"):
        yield name, in_block(name, lambda mult, rng: mult ^ 1 << int(rng.integers(16)))
    yield "residual", in_network("residual_init", flip)


Choice = Callable[[Packet], bool]


class Headers:
    """The packets of a program, and copies of the program with one header field wrong."""

    def __init__(self, job: Job) -> None:
        self._program = job.frame.program
        self._word_bytes = job.config.stream_bytes
        self._packets = list(packets(job.program.stream, job.config))
        self._steps: dict[int, dict[str, int]] = {}
        step: dict[str, int] = {}
        for packet in self._packets:
            step = packet.fields if packet.kind is Kind.STEP else step
            self._steps[packet.position] = step

    def first(self, kind: Kind, choose: Choice) -> Packet:
        """The first packet of a kind that ``choose`` takes."""
        return next(packet for packet in self._packets if packet.kind is kind and choose(packet))

    def of_step(self, **wanted: int) -> Choice:
        """Packets of steps with these fields."""
        return lambda packet: all(self._steps[packet.position].get(name) == value for name, value in wanted.items())

    def drains(self, **wanted: int) -> Choice:
        """Slots of such steps in which a column drains."""
        choose = self.of_step(**wanted)
        return lambda packet: bool(packet.fields["drain"]) and choose(packet)

    def wrong(self, packet: Packet, fields: Fields, name: str, mask: int, offset: int = 0) -> tuple[str, bytes]:
        """The program with the bits ``mask`` of a field flipped; ``fields`` begin ``offset`` bits into the header."""
        names = [field for field, _ in fields]
        start = offset + sum(width for _, width in fields[:names.index(name)])
        stream = bytearray(self._program)
        at = slice(packet.position * self._word_bytes, (packet.position + packet.header) * self._word_bytes)
        header = int.from_bytes(stream[at], "little") ^ mask << start
        stream[at] = header.to_bytes(packet.header * self._word_bytes, "little")
        what = "CLUSTER" if fields is CLUSTER else packet.kind.name
        return f"{what} {name} ^ {mask}, word {packet.position}", bytes(stream)

    def wrong_cluster(self, name: str, choose: Choice, *, captured: bool = False) -> tuple[str, bytes]:
        """The lowest bit of a field of a valid cluster entry, of one that captures all of 16 scores if ``captured``."""
        def fits(entry: dict[str, int]) -> bool:
            return bool(entry["valid"]) and (not captured or (entry["capture"] == 1 and entry["key_block"] == 0))

        packet = self.first(Kind.SLOT, lambda p: choose(p) and any(fits(entry) for entry in p.clusters))
        index = next(cluster for cluster, entry in enumerate(packet.clusters) if fits(entry))
        return self.wrong(packet, CLUSTER, name, 1, fields_width(SLOT) + index * fields_width(CLUSTER))


def header_mutations(job: Job) -> Iterator[tuple[str, bytes]]:
    """Programs with one header field wrong, each in a packet in which the field means something.

    The values are chosen so that they have an effect: what a field says is used, and the wrong value is another use.
    The network needs 33 tokens, 4 heads in groups of 3, a top-k drop and a threshold drop.
    """
    headers = Headers(job)
    for choose, name, mask in _step_fields(headers):
        yield headers.wrong(headers.first(Kind.STEP, choose), STEP, name, mask)
    for choose, name, mask in _slot_fields(headers):
        yield headers.wrong(headers.first(Kind.SLOT, choose), SLOT, name, mask)
    stream, context = headers.of_step(tile=Tile.STREAM), headers.of_step(post=Post.CONTEXT)
    yield headers.wrong_cluster("valid", stream)
    yield headers.wrong_cluster("source_column", headers.of_step(source=Source.A, tile=Tile.STREAM))
    yield headers.wrong_cluster("source_column", context)
    yield headers.wrong_cluster("tile_column", headers.of_step(tile=Tile.KEY))
    yield headers.wrong_cluster("key_block", headers.of_step(tile=Tile.KEY))
    yield headers.wrong_cluster("key_block", context)
    yield headers.wrong_cluster("local_head", context)
    yield headers.wrong_cluster("head", context, captured=True)
    yield headers.wrong_cluster("capture", context, captured=True)
    for target in Target:
        packet = headers.first(Kind.WRITE, lambda p, target=target: p.fields["target"] == target)
        yield headers.wrong(packet, WRITE, "words", 1)
        # The tables' words are in the order of their addresses; 32 entries are a word there.
        yield headers.wrong(packet, WRITE, "address", 32 if target in (Target.EXP, Target.GELU) else 1)
        yield headers.wrong(packet, WRITE, "target", 1)


def _step_fields(headers: Headers) -> list[tuple[Choice, str, int]]:
    """Which step, field, wrong bits."""
    of_step = headers.of_step
    return [
        (of_step(post=Post.INT8), "source", 1), (of_step(tile=Tile.KEY), "tile", 3),
        (of_step(tile=Tile.VALUE), "tile", 2), (of_step(post=Post.GELU), "post", 1),
        (of_step(post=Post.SCORE), "post", 7), (of_step(post=Post.RESIDUAL, unsigned=1), "unsigned", 1),
        (of_step(post=Post.INT8), "shift", 1), (of_step(post=Post.RESIDUAL), "shift", 2),
        (of_step(image=1), "tokens", 1), (of_step(post=Post.GELU), "index", 1),
        (of_step(norm=1), "width", 16), (of_step(norm=1), "norm", 1), (of_step(norm=1), "norm_half", 1),
        (of_step(norm=1), "norm_columns", 1), (of_step(norm=1), "norm_shift", 1),
        (of_step(drop=Drop.TOPK), "drop", 1), (of_step(drop=Drop.TOPK), "drop", 3),
        (of_step(drop=Drop.TOPK), "keep", 1), (of_step(drop=Drop.THRESHOLD), "threshold", 1 << 20),
        (of_step(drop=Drop.TOPK), "heads", 6), (of_step(drop=Drop.TOPK), "inverse_heads", 1 << 15)]


def _slot_fields(headers: Headers) -> list[tuple[Choice, str, int]]:
    """Which slot, field, wrong bits."""
    drains = headers.drains
    score, normed = drains(post=Post.SCORE), headers.of_step(norm=1)
    return [
        (drains(tile=Tile.STREAM), "drain", 1), (drains(post=Post.INT8), "drain_cluster", 1),
        (drains(post=Post.INT8), "dest", 1), (drains(post=Post.RESIDUAL), "dest_column", 1),
        (drains(post=Post.INT8), "dest_column", 1), (drains(post=Post.LOGIT), "dest_column", 1),
        # 33 tokens: block 2 holds one key, whereas all keys of block 0 exist.
        (lambda packet: score(packet) and packet.fields["key_block"] == 0, "key_block", 2),
        (score, "local_head", 1),
        (lambda packet: bool(packet.fields["capture"]), "head", 1),
        (lambda packet: bool(packet.fields["capture"]), "capture", 1),
        (lambda packet: bool(packet.fields["stats_last"]), "stats_last", 1),
        # Loaded before the step begins, so that only the norm pass can hold it up.
        (lambda packet: normed(packet) and packet.fields["need_columns"] == 1, "need_columns", 1)]


def payload_words(job: Job) -> dict[str, list[int]]:
    """Words of the stream that are no headers, by what they are."""
    words: dict[str, list[int]] = {"block": [], "parameters": []}
    for packet in packets(job.program.stream, job.config):
        first, last = packet.position + packet.header, packet.position + packet.words
        if packet.kind is Kind.SLOT:
            words["block"] += range(first, first + packet.blocks)
            words["parameters"] += range(last - column_parameter_words(job.config) * packet.fields["drain"], last)
        elif packet.kind is Kind.WRITE:
            words.setdefault(Target(packet.fields["target"]).name.lower(), []).extend(range(first, last))
    return words
