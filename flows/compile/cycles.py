"""Cycle model: how long the hardware takes for a program, slot by slot, from its stream alone.

Three things run side by side: the memory delivers words into the prefetch FIFO, the decoder takes them one a cycle and
stays one slot ahead, and the array works through slots. A slot starts when its predecessor's last token has been
issued, it is loaded, and what it depends on (barrier, norm or image columns, token selection) is there. The constants
are in :class:`flows.contracts.timing.Timing`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from flows.compile.decode import Packet, packets
from flows.compile.layout import WORD_BYTES
from flows.compile.memory_model import Reader
from flows.compile.steps import tokens_after
from flows.contracts.hardware import BLOCK, HardwareConfig, ceil_div
from flows.contracts.program import BLOCK_WORDS, COLUMN_PARAMETER_WORDS, Drop, Kind, Post, Source, Target, Tile
from flows.contracts.timing import Timing


@dataclass
class StepCycles:
    """Cycles of one step, from the end of the one before, and the part spent waiting between slots, by cause."""

    index: int
    tokens: int
    slots: int = 0
    cycles: int = 0
    stalls: dict[str, int] = field(default_factory=lambda: dict.fromkeys(("load", "barrier", "column", "select"), 0))


@dataclass(frozen=True)
class Estimate:
    """Result of the cycle model: all cycles from start to done, and those of each step."""

    total: int
    steps: tuple[StepCycles, ...]

    @property
    def stalls(self) -> dict[str, int]:
        """Waiting cycles by cause, all steps together."""
        return {cause: sum(step.stalls[cause] for step in self.steps) for cause in self.steps[0].stalls}


def estimate(stream: np.ndarray, config: HardwareConfig, *, bytes_per_cycle: float = 32, latency: int = 100,
             alive: Mapping[int, int] | None = None, timing: Timing | None = None) -> Estimate:
    """Cycles of a program.

    Parameters
    ----------
    stream : uint8, the program's stream
    config : the hardware it is for
    bytes_per_cycle : what the memory delivers; the bus width caps it
    latency : cycles from a read request to its first word
    alive : tokens after the step with this index, for steps that drop by threshold; most possible ones when absent
    timing : constants of the hardware

    Returns
    -------
    Estimate

    Raises
    ------
    ArtifactError
        When the stream is no complete program.
    """
    model = _Model(stream, config, min(bytes_per_cycle, config.bus_bits / 8), latency, alive or {}, timing or Timing())
    for packet in packets(stream, config):
        model.take(packet)
    return model.finish()


class _Model:
    def __init__(self, stream: np.ndarray, config: HardwareConfig, rate: float, latency: int, alive: Mapping[int, int],
                 timing: Timing) -> None:
        self.config, self.timing, self.alive, self.latency = config, timing, alive, latency
        self.words_per_cycle = min(1.0, rate / WORD_BYTES)
        self.stream_words = stream.size // WORD_BYTES
        self.decoder = 0          # the decoder is free from here on
        self.slot_start = -1      # of the slot that started last
        self.slot_end = 0
        self.parameters_free = 0  # those of the slot that drained last have become active
        self.fields: dict[str, int] = {}
        self.running: dict[str, int] = {}  # the step of the slot that started last
        self.tokens = 0
        self.begin = 0            # barrier of the current step
        self.first = True         # no slot of the step has started yet
        self.last_drain = 0
        self.steps: list[StepCycles] = []
        self.drained = 0
        self.reader: Reader | None = None

    def take(self, packet: Packet) -> None:
        """Let the decoder take one packet."""
        if packet.kind is Kind.HELLO:
            self._hello(packet)
        elif packet.kind is Kind.STEP:
            self._step(packet)
        elif packet.kind is Kind.WRITE:
            self._read(packet.position, packet.header)
            cost = self.timing.write_word[Target(packet.fields["target"])]
            self._read(packet.position + packet.header, packet.fields["words"], cost)
        elif packet.kind is Kind.SLOT:
            self._slot(packet)

    def finish(self) -> Estimate:
        """Add the last barrier and the write of the output."""
        self._close_step()
        bursts = ceil_div(self.drained, self.timing.output_burst_words)
        output = self.drained * self.timing.output_word + bursts * max(self.latency + self.timing.output_burst, 4)
        return Estimate(self.slot_end + self.timing.finish + output, tuple(self.steps))

    def _read(self, position: int, words: int, cost: int = 1) -> None:
        assert self.reader is not None
        self.decoder = self.reader.take(position, words, self.decoder, cost)

    def _hello(self, packet: Packet) -> None:
        image = packet.fields["image_tokens"] * packet.fields["image_pairs"]
        self.reader = Reader(self.stream_words, image, self.words_per_cycle, self.latency, self.config.fifo_words,
                             self.config.image_fifo_words, self.timing)
        self.image_tokens = packet.fields["image_tokens"]
        self._read(packet.position, packet.header)

    def _close_step(self) -> None:
        if self.steps:
            done = sum(step.cycles for step in self.steps[:-1])
            self.steps[-1].cycles = self.slot_end - done
            post = Post(self.fields["post"])
            self.last_drain = self.timing.drain[post]
            if post is Post.RESIDUAL and self.config.groups > 1:
                self.last_drain += self.timing.move

    def _step(self, packet: Packet) -> None:
        self.decoder = max(self.decoder, self.slot_start + 1)
        self._read(packet.position, packet.header)
        self._close_step()
        # A step may be over before its norm pass, when no block reads the last columns.
        normed = 0
        if self.steps and self.fields["norm"]:
            normed = self.begin + self.timing.rsqrt + self.timing.norm_fill + self.fields["norm_columns"] * self.rows
        if self.steps and self.fields["drop"] != Drop.NONE:
            most = tokens_after(Drop(self.fields["drop"]), self.fields["keep"], self.tokens)
            self.tokens = self.alive.get(self.fields["index"], most)
        self.fields = packet.fields
        self.tokens = packet.fields["tokens"] or self.tokens
        self.begin = max(self.slot_end + self.last_drain, normed)
        self.first, self.drained = True, 0
        self.steps.append(StepCycles(packet.fields["index"], self.tokens))

    def _slot(self, packet: Packet) -> None:
        """The decoder holds one slot: the header is taken once the slot before has started."""
        tile = Tile(self.fields["tile"])
        self.decoder = max(self.decoder, self.slot_start + 1)
        self._read(packet.position, packet.header)
        self.decoder += self.timing.slot_decode
        valid = [entry for entry in packet.clusters if entry["valid"]]
        if tile is not Tile.STREAM:
            valid = [entry for entry in valid if entry["key_block"] < ceil_div(self.tokens, BLOCK)]
            if valid:
                self.decoder = self._load_from(tile) + BLOCK_WORDS * len(valid) + self.timing.tile_extra
        else:
            self.decoder = self._load_from(tile)
            self._read(packet.position + packet.header, packet.blocks)
        if packet.fields["drain"]:
            self.decoder = max(self.decoder, self.parameters_free)
            self._read(packet.position + packet.header + packet.blocks, COLUMN_PARAMETER_WORDS)
        else:
            self.decoder += self.timing.no_parameters
        if valid:
            self._start(packet)

    def _load_from(self, tile: Tile) -> int:
        """First cycle in which stationary blocks of the next slot may be loaded."""
        barrier = self.begin if self.first and tile is Tile.KEY else 0
        free = self.slot_start + self.timing.load_gap + self._exp()
        return max(self.decoder, free, barrier)

    def _exp(self) -> int:
        """Scores take longer to the clusters. What counts is the step of the running slot."""
        return self.timing.exp if self.running.get("source") == Source.S else 0

    def _start(self, packet: Packet) -> None:
        causes = {"load": self.decoder + self.timing.ready,
                  "barrier": self.begin if self.first else 0,
                  "column": self._columns_ready(packet.fields["need_columns"]),
                  "select": self._selected() if packet.fields["drain"] else 0}
        cause = max(causes, key=causes.__getitem__)
        start = max(self.slot_end, causes[cause])
        step = self.steps[-1]
        step.stalls[cause] += start - self.slot_end
        step.slots += 1
        self.drained += packet.fields["drain"]
        drops = self.fields["drop"] != Drop.NONE
        self.slot_start, self.first = start, False
        self.running = self.fields
        if packet.fields["drain"]:
            context = self.fields["post"] == Post.CONTEXT
            self.parameters_free = start + self.timing.param_gap + self._exp() + (self.timing.divide if context else 0)
        self.slot_end = start + max(self.config.slot_rows(self.tokens, drops=drops), self.timing.min_slot)

    @property
    def rows(self) -> int:
        """Rows that a norm pass takes per column."""
        return self.config.slot_rows(self.tokens, drops=False)

    def _columns_ready(self, need: int) -> int:
        if self.fields["image"] and need:
            assert self.reader is not None
            return self.reader.image_arrival(ceil_div(need, 2) * self.image_tokens)
        if self.fields["norm"]:
            return self.begin + self.timing.rsqrt + self.timing.norm_fill + max(need - 1, 0) * self.rows
        return 0

    def _selected(self) -> int:
        mode = Drop(self.fields["drop"])
        if mode is Drop.NONE:
            return 0
        return self.begin + self.timing.select(self.tokens, self.fields["heads"], mode)
