"""Cycles of a network on a configuration: a bound that costs nothing, and the cycle model's figure, kept by content."""

from __future__ import annotations

import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from flows.cache import cached, source_hash
from flows.compile import check_fit, compile_program, estimate
from flows.compile.decode import packets
from flows.compile.lower_bound import step_cycles_bound
from flows.compile.steps import network_steps
from flows.contracts.artifact import SparseVit
from flows.contracts.files import replacing
from flows.contracts.hardware import HardwareConfig, ceil_div
from flows.contracts.program import Tile, column_parameter_words
from flows.contracts.timing import Timing

LATENCY = 100
"""Cycles from a read request to its first word, as in the simulated memory."""

CIRCUIT_ONLY = {"multiplier": "plain", "bus_bits": 128, "fifo_words": 512, "image_fifo_words": 256,
                "lut_fifo_words": 0, "resident_words": 0, "uram_words": 0, "clock_mhz": 200.0}
"""Fields that leave the program as it is (but for the hash in its first word): configurations that differ only in them
are compiled once."""


@dataclass(frozen=True)
class _StepSize:
    """What the bound needs of a step; ``blocks`` are read from the program unless they are tiles."""

    columns: int
    blocks: int
    longest: int
    tokens: int
    drops: bool
    tiles: bool


class CycleModel:
    """Cycles of one network. Bounds hold for configurations that differ in nothing but what a search varies.

    Parameters
    ----------
    artifact : the network
    bytes_per_cycle : what the memory delivers
    latency : cycles from a read request to its first word

    Attributes
    ----------
    compiled : programs that had to be compiled
    """

    def __init__(self, artifact: SparseVit, bytes_per_cycle: float, latency: int = LATENCY) -> None:
        self.artifact, self.rate, self.latency = artifact, bytes_per_cycle, latency
        self.compiled = 0
        self._content = ""
        self._sizes: dict[tuple[int, int], Sequence[_StepSize]] = {}
        self._streams: dict[HardwareConfig, np.ndarray] = {}
        self._bounds: dict[tuple[int, ...], tuple[int, float]] = {}

    def bound(self, config: HardwareConfig) -> int:
        """Fewest cycles of any program: work of the array, slots to drain columns, or words from memory."""
        return self._both(config)[0]

    def memory_cycles(self, config: HardwareConfig) -> float:
        """Cycles that the memory needs for program and image at least."""
        return self._both(config)[1]

    def _both(self, config: HardwareConfig) -> tuple[int, float]:
        key = (config.clusters, config.groups, config.stream_bits, config.bus_bits, config.fifo_words,
               config.score_heads, config.crossings, config.row_cycles)
        if key not in self._bounds:
            self._bounds[key] = self._bound(config)
        return self._bounds[key]

    def cycles(self, config: HardwareConfig) -> int:
        """The cycle model's figure for one image, compiled if it has not been before."""
        key = {**self._key(config), "fields": {name: getattr(config, name) for name in CIRCUIT_ONLY
                                               if name not in ("multiplier", "lut_fifo_words", "uram_words",
                                                                "clock_mhz")},
               "rate": self.rate, "latency": self.latency}
        path = cached("cycles", key, ".json")
        try:
            return int(json.loads(path.read_text()))
        except (OSError, ValueError):
            pass
        total = estimate(self._stream(config), config, bytes_per_cycle=self.rate, latency=self.latency).total
        with replacing(path) as part:
            part.write_text(json.dumps(total))
        return total

    def _key(self, config: HardwareConfig) -> dict[str, object]:
        return {"artifact": self._hash, "config": config.replace(**CIRCUIT_ONLY).to_dict(),
                "sources": source_hash("flows/compile", "flows/contracts")}

    @property
    def _hash(self) -> str:
        self._content = self._content or self.artifact.content_hash()
        return self._content

    def _stream(self, config: HardwareConfig) -> np.ndarray:
        """The program with zeros for weights: its length and headers decide the cycles, and a file of it is small."""
        plain = config.replace(**CIRCUIT_ONLY)
        if plain not in self._streams:
            path = cached("headers", self._key(config), ".z")
            try:
                stream = np.frombuffer(zlib.decompress(path.read_bytes()), np.uint8)
            except (OSError, zlib.error):
                stream = _headers(compile_program(self.artifact, plain).stream, plain)
                self.compiled += 1
                with replacing(path) as part:
                    part.write_bytes(zlib.compress(stream.tobytes(), 1))
            self._streams[plain] = stream
        return self._streams[plain]

    def _bound(self, config: HardwareConfig) -> tuple[int, float]:
        """Step by step: its slots or the words it reads, whichever takes longer. While a step does not need the memory,
        the FIFO fills for the next one. Nothing that takes longer in truth can end earlier, as what a later start gives
        the memory, the memory saves at most."""
        rate = min(self.rate, config.bus_bits / 8) / config.stream_bytes
        image = self.artifact.tokens * self.artifact.embed.weight.shape[1] / config.stream_bytes
        done, ahead, total = 0.0, 0.0, image
        for index, size in enumerate(self._network(config)):
            streaming = config.streaming_cycles(size.tokens, drops=size.drops)
            slots = max(ceil_div(size.blocks, config.clusters), ceil_div(size.columns, config.drains),
                        ceil_div(size.longest, min(2, config.clusters)))
            streamed = 0 if size.tiles else size.blocks
            words = streamed * config.block_words + size.columns * column_parameter_words(config)
            cycles = step_cycles_bound(slots, max(streaming, Timing.min_slot), streamed, size.columns, config)
            read = words + (image if index == 0 else 0)
            duration = max(cycles, (read - ahead) / rate)
            done, total = done + duration, total + words
            ahead = min(config.fifo_words, ahead + duration * rate - read)
        return int(done), total / rate

    def _network(self, config: HardwareConfig) -> Sequence[_StepSize]:
        key = (config.stream_bits, config.score_heads)
        if key not in self._sizes:
            check_fit(self.artifact, config)
            self._sizes[key] = [_StepSize(
                columns=len(step.columns), blocks=step.blocks, longest=max(len(c.sources) for c in step.columns),
                tokens=step.tokens, drops=step.drops, tiles=step.fields.get("tile", Tile.STREAM) != Tile.STREAM)
                for step in network_steps(self.artifact, config)]
        return self._sizes[key]


def _headers(stream: np.ndarray, config: HardwareConfig) -> np.ndarray:
    """The stream with all payloads zero."""
    kept, size = np.zeros_like(stream), config.stream_bytes
    for packet in packets(stream, config):
        place = slice(packet.position * size, (packet.position + packet.header) * size)
        kept[place] = stream[place]
    return kept
