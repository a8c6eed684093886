"""Cycle model: how long the hardware takes for a program, slot by slot, from its stream alone.

Three things run side by side: the memory delivers words into the prefetch FIFO, the decoder takes them one a cycle and
stays one slot and a header ahead, and the array works through slots. A slot starts when its predecessor's last token
has been issued, it is loaded, and what it depends on (barrier, norm or image columns, token selection) is there. The
constants are in :class:`flows.contracts.timing.Timing`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from flows.compile.decode import Packet, packets
from flows.compile.memory_model import Reader
from flows.compile.steps import tokens_after
from flows.contracts.hardware import BLOCK, HardwareConfig, ceil_div
from flows.contracts.program import Drop, Kind, Post, Target, Tile, column_parameter_words
from flows.contracts.timing import Timing, crosses


@dataclass
class StepCycles:
    """Cycles of one step, from the end of the one before, and the part spent waiting between slots, by cause.

    ``streamed`` are cycles in which a slot streams rows, ``short`` those by which slots are longer than their rows.
    """

    index: int
    tokens: int
    slots: int = 0
    cycles: int = 0
    streamed: int = 0
    short: int = 0
    stalls: dict[str, int] = field(default_factory=lambda: dict.fromkeys(("load", "barrier", "column", "select"), 0))


@dataclass(frozen=True)
class Estimate:
    """Result of the cycle model: all cycles from start to done, and those of each step.

    ``fill`` is the part of the stalls before the first slot, by cause.
    """

    total: int
    steps: tuple[StepCycles, ...]
    fill: Mapping[str, int]

    @property
    def stalls(self) -> dict[str, int]:
        """Waiting cycles by cause, all steps together."""
        return {cause: sum(step.stalls[cause] for step in self.steps) for cause in self.steps[0].stalls}


def estimate(stream: np.ndarray, config: HardwareConfig, *, bytes_per_cycle: float = 0, latency: int = 100,
             alive: Mapping[int, int] | None = None, timing: Timing | None = None) -> Estimate:
    """Cycles of a program.

    Parameters
    ----------
    stream : uint8, the program's stream
    config : the hardware it is for
    bytes_per_cycle : what the memory delivers; the bus width caps it, and stands for 0
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
    rate = min(bytes_per_cycle or math.inf, config.bus_bits / 8)
    model = _Model(stream, config, rate, latency, alive or {}, timing or Timing.of(config))
    for packet in packets(stream, config):
        model.take(packet)
    return model.finish()


class _Model:
    def __init__(self, stream: np.ndarray, config: HardwareConfig, rate: float, latency: int, alive: Mapping[int, int],
                 timing: Timing) -> None:
        self.config, self.timing, self.alive, self.latency = config, timing, alive, latency
        self.words_per_cycle = min(1.0, rate / config.stream_bytes)
        self.stream_words = stream.size // config.stream_bytes
        self.decoder = 0          # the decoder is free from here on
        self.table_free = 0       # the next word of a table can be taken
        self.slot_start = -1      # of the slot that started last
        self.slot_end = 0
        self.parameters: list[int] = []  # when the column parameters of each drain have become active
        self.fields: dict[str, int] = {}
        self.tokens = 0
        self.begin = 0            # barrier of the current step
        self.drained_from = 0     # slots of the current step may drain
        self.first = True         # no slot of the step has started yet
        self.last_drain = 0
        self.steps: list[StepCycles] = []
        self.drained = 0
        self.fill: dict[str, int] = {}
        self.reader: Reader | None = None

    def take(self, packet: Packet) -> None:
        """Let the decoder take one packet."""
        if packet.kind is Kind.HELLO:
            self._hello(packet)
        elif packet.kind is Kind.STEP:
            self._step(packet)
        elif packet.kind is Kind.WRITE:
            self._read(packet.position, packet.header)
            self._write(packet)
        elif packet.kind is Kind.SLOT:
            self._slot(packet)

    def finish(self) -> Estimate:
        """Add the last barrier and the write of the output."""
        self._close_step()
        bursts = ceil_div(self.drained, self.timing.output_burst_words)
        output = self.drained * self.timing.output_word + bursts * max(self.latency + self.timing.output_burst, 4)
        finish = self.timing.finish + self.config.round_trip
        return Estimate(self.slot_end + finish + output, tuple(self.steps), self.fill)

    def _read(self, position: int, words: int, cost: int = 1) -> None:
        assert self.reader is not None
        self.decoder = self.reader.take(position, words, self.decoder, cost)

    def _write(self, packet: Packet) -> None:
        """Payload of a table: every word waits until the one before has been written."""
        target, first = Target(packet.fields["target"]), packet.position + packet.header
        if target in (Target.EXP, Target.GELU):
            for position in range(first, first + packet.fields["words"]):
                self.decoder = max(self.decoder, self.table_free)
                self._read(position, 1)
                self.table_free = self.decoder - 1 + self.timing.table_word(self.config)
        else:
            self._read(first, packet.fields["words"], self.timing.write_word(target, self.config))

    def _hello(self, packet: Packet) -> None:
        image = packet.fields["image_tokens"] * packet.fields["image_words"]
        self.reader = Reader(self.stream_words, image, self.words_per_cycle, self.latency, self.config,
                             self.timing)
        self.image_tokens = packet.fields["image_tokens"]
        self._read(packet.position, packet.header)
        self.reader.request_image(self.decoder + self.timing.image_request)

    def _close_step(self) -> None:
        if self.steps:
            done = sum(step.cycles for step in self.steps[:-1])
            self.steps[-1].cycles = self.slot_end - done
            post = Post(self.fields["post"])
            self.last_drain = self.timing.drain[post]
            if post is Post.RESIDUAL and self.config.groups > 1:
                self.last_drain += self.timing.move
            if crosses(post, self.config):
                self.last_drain += self.config.round_trip

    def _step(self, packet: Packet) -> None:
        self.decoder = max(self.decoder, self.slot_start + 1)
        self._read(packet.position, packet.header)
        self._close_step()
        # A step may be over before its norm pass, when no block reads the last columns.
        normed = 0
        if self.steps and self.fields["norm"]:
            normed = self.begin + self._norm_fill + self.fields["norm_columns"] * self.column_cycles
        dropped = bool(self.steps) and self.fields["drop"] != Drop.NONE
        if dropped:
            most = tokens_after(Drop(self.fields["drop"]), self.fields["keep"], self.tokens)
            self.tokens = self.alive.get(self.fields["index"], most)
        self.fields = packet.fields
        self.tokens = packet.fields["tokens"] or self.tokens
        whole = dropped or packet.fields["tokens"] or packet.fields["tile"] == Tile.KEY
        self.begin = max(self._barrier(bool(whole)), normed)
        self.first, self.drained = True, 0
        self.steps.append(StepCycles(packet.fields["index"], self.tokens))

    def _barrier(self, whole: bool) -> int:
        """Rows are read in the order they were written in, so a step has to be behind the first of them only, unless it
        needs the ``whole`` column."""
        timing = self.timing
        stored = (self.slot_end if whole else self.slot_start) + self.last_drain
        self.drained_from = 0 if whole else self.slot_end + self.last_drain + timing.drain_turn
        if self.fields["norm"]:
            return max(stored + timing.rsqrt, self.slot_end + timing.norm_read)
        return max(stored, self.slot_end + timing.turn)

    def _slot(self, packet: Packet) -> None:
        """The header is taken ahead; blocks and parameters once the slot before has started."""
        tile = Tile(self.fields["tile"])
        self._read(packet.position, packet.header)
        # Keys do not exist before the step has begun.
        barrier = self.begin - 1 if self.first and tile is Tile.KEY else 0
        self.decoder = max(self.decoder, self.slot_start + self.timing.slot_free, barrier) + self.timing.slot_decode
        valid = [entry for entry in packet.clusters if entry["valid"]]
        if tile is not Tile.STREAM:
            valid = [entry for entry in valid if entry["key_block"] < ceil_div(self.tokens, BLOCK)]
            self.decoder += self.config.block_words * len(valid) + self.timing.tile_extra
            if valid and tile is Tile.KEY:
                self.decoder += self.timing.key_extra
        else:
            self._read(packet.position + packet.header, packet.blocks)
        if packet.fields["drain"]:
            self._parameters(packet)
        if valid:
            self._start(packet)

    def _parameters(self, packet: Packet) -> None:
        """They wait for a place in the queue."""
        if len(self.parameters) >= self.timing.parameter_sets:
            self.decoder = max(self.decoder, self.parameters[-self.timing.parameter_sets])
        self._read(packet.position + packet.header + packet.blocks, column_parameter_words(self.config))

    def _start(self, packet: Packet) -> None:
        # In the order in which the hardware waits, and counts, when there are several causes.
        causes = {"barrier": max(self.begin if self.first else 0, self.drained_from if packet.fields["drain"] else 0),
                  "load": self.decoder,
                  "column": self._columns_ready(packet.fields["need_columns"]),
                  "select": self._selected() if packet.fields["drain"] else 0}
        step, start = self.steps[-1], self.slot_end
        for cause, ready in causes.items():
            step.stalls[cause] += max(0, ready - start)
            start = max(start, ready)
        if self.slot_start < 0:
            self.fill = dict(step.stalls)
        step.slots += 1
        self.drained += packet.fields["drain"]
        drops = self.fields["drop"] != Drop.NONE
        self.slot_start, self.first = start, False
        if packet.fields["drain"]:
            context = self.timing.exp + self.timing.divide if self.fields["post"] == Post.CONTEXT else 0
            self.parameters.append(start + self.timing.param_gap + self.config.round_trip + context)
        streamed = self.config.streaming_cycles(self.tokens, drops=drops)
        self.slot_end = start + max(streamed, self.timing.min_slot)
        step.streamed += streamed
        step.short += self.slot_end - start - streamed

    @property
    def _norm_fill(self) -> int:
        """From the start of the norm pass until its first column can be streamed; it is heard of a round trip later."""
        return self.timing.norm_fill + self.config.round_trip

    @property
    def column_cycles(self) -> int:
        """Cycles that a norm pass takes per column."""
        return self.config.streaming_cycles(self.tokens, drops=False)

    def _columns_ready(self, need: int) -> int:
        if self.fields["image"] and need:
            assert self.reader is not None
            return self.reader.image_arrival(ceil_div(need, self.config.rows_per_word) * self.image_tokens)
        if self.fields["norm"]:
            return self.begin + self._norm_fill + max(need - 1, 0) * self.column_cycles
        return 0

    def _selected(self) -> int:
        mode = Drop(self.fields["drop"])
        if mode is Drop.NONE:
            return 0
        return self.begin + self.timing.select(self.tokens, self.fields["heads"], mode, self.config.row_cycles)
