"""AXI4 memories for benches: several bursts under way, latency, stalls, interleaving, errors, protocol checks."""

from __future__ import annotations

import random
from collections import deque
from dataclasses import dataclass
from typing import Any

import cocotb
from cocotb.triggers import RisingEdge

from rtl.axi import BURST_INCR, Resp
from sim.bench import mask

WORD_BYTES = 32
PAGE_BYTES = 4096


def random_words(count: int, seed: int, bits: int = 8 * WORD_BYTES) -> list[int]:
    """``count`` random words."""
    source = random.Random(seed)
    return [source.getrandbits(bits) for _ in range(count)]


class _Channel:
    """The signals of one AXI channel; checks that a waiting transfer is neither changed nor withdrawn."""

    def __init__(self, dut: Any, prefix: str, channel: str, fields: tuple[str, ...]) -> None:
        self._valid = getattr(dut, f"{prefix}__{channel}valid")
        self._ready = getattr(dut, f"{prefix}__{channel}ready")
        self._fields = {name: getattr(dut, f"{prefix}__{channel}{name}") for name in fields}
        self._ready_now = 0
        self._waiting: dict[str, int] | None = None

    def accept(self) -> dict[str, int] | None:
        """The transfer that the last clock edge took, if any."""
        if not int(self._valid.value):
            assert self._waiting is None, "valid was withdrawn before ready"
            return None
        fields = {name: int(signal.value) for name, signal in self._fields.items()}
        assert self._waiting in (None, fields), f"changed while waiting: {self._waiting} to {fields}"
        self._waiting = None if self._ready_now else fields
        return fields if self._ready_now else None

    def set_ready(self, ready: bool) -> None:
        self._ready_now = int(ready)
        self._ready.value = self._ready_now


@dataclass
class _Burst:
    number: int
    owner: int
    address: int
    beats: int
    due: int


def _check_burst(fields: dict[str, int], beat_bytes: int) -> None:
    beats = fields["len"] + 1
    assert 1 << fields["size"] == beat_bytes, f"size {fields['size']}"
    assert fields["burst"] == BURST_INCR
    assert fields["addr"] % beat_bytes == 0, f"address {fields['addr']:#x} is not aligned"
    assert fields["addr"] // PAGE_BYTES == (fields["addr"] + beats * beat_bytes - 1) // PAGE_BYTES, "crosses 4 KiB"


class ReadMemory:
    """Answers AR/R. Bytes that are not in any buffer read as random garbage.

    Parameters
    ----------
    dut, prefix : the bus
    buffers : byte address -> words of ``word_bits``
    latency : cycles from an accepted address to its first beat
    stall : probability that arready, or rvalid, is low in a cycle
    interleave : beats of different IDs alternate at random
    error_at : beats that hold one of these byte addresses answer SLVERR
    dead : never answers while true (may be changed)

    Attributes
    ----------
    bursts : (id, address, beats) of every accepted address, in order
    accepted_at : clock cycle of each
    beats : beats delivered
    """

    def __init__(self, dut: Any, prefix: str, buffers: dict[int, list[int]], *, latency: int = 5, stall: float = 0.0,
                 interleave: bool = False, error_at: tuple[int, ...] = (), dead: bool = False, seed: int = 0,
                 word_bits: int = 8 * WORD_BYTES) -> None:
        self.buffers = buffers
        self._word_bytes = word_bits // 8
        self.bursts: list[tuple[int, int, int]] = []
        self.accepted_at: list[int] = []
        self.beats = 0
        self.dead = dead
        self.cycle = 0
        self._latency, self._stall, self._interleave, self._error_at = latency, stall, interleave, error_at
        self._random = random.Random(seed)
        self._edge = RisingEdge(dut.clk)
        self._address = _Channel(dut, prefix, "ar", ("id", "addr", "len", "size", "burst"))
        self._r = {name: getattr(dut, f"{prefix}__r{name}") for name in ("id", "data", "resp", "last", "valid",
                                                                        "ready")}
        self._beat_bytes = len(self._r["data"]) // 8
        self._queues: dict[int, deque[_Burst]] = {}
        self._task = cocotb.start_soon(self._run())

    def close(self) -> None:
        """Stop answering, so that another model can take the bus."""
        self._task.cancel()
        self._address.set_ready(False)
        self._r["valid"].value = 0

    async def _run(self) -> None:
        showing: _Burst | None = None
        current: int | None = None
        while True:
            await self._edge
            self.cycle += 1
            self._accept_address()
            if showing is not None and int(self._r["ready"].value):
                self._finish_beat(showing)
                current = showing.owner if showing.beats else None
                showing = None
            if showing is None:
                showing = self._next_burst(current)
                self._show(showing)
            self._address.set_ready(not self.dead and self._random.random() >= self._stall)

    def _accept_address(self) -> None:
        fields = self._address.accept()
        if fields is None:
            return
        _check_burst(fields, self._beat_bytes)
        burst = _Burst(len(self.bursts), fields["id"], fields["addr"], fields["len"] + 1, self.cycle + self._latency)
        self._queues.setdefault(burst.owner, deque()).append(burst)
        self.bursts.append((burst.owner, burst.address, burst.beats))
        self.accepted_at.append(self.cycle)

    def _next_burst(self, current: int | None) -> _Burst | None:
        """The burst whose beat is shown next: bursts of one ID in order, and, unless interleaving, one at a time."""
        heads = [queue[0] for queue in self._queues.values() if queue and queue[0].due <= self.cycle]
        if self.dead or not heads or self._random.random() < self._stall:
            return None
        if self._interleave:
            return self._random.choice(heads)
        if current is not None:
            return self._queues[current][0]
        return min(heads, key=lambda burst: burst.number)

    def _show(self, burst: _Burst | None) -> None:
        self._r["valid"].value = int(burst is not None)
        if burst is None:
            self._r["data"].value = self._random.getrandbits(8 * self._beat_bytes)
            return
        covered = range(burst.address, burst.address + self._beat_bytes)
        failed = any(address in covered for address in self._error_at)
        self._r["id"].value = burst.owner
        self._r["data"].value = self._load(burst.address)
        self._r["resp"].value = Resp.SLVERR if failed else Resp.OKAY
        self._r["last"].value = int(burst.beats == 1)

    def _finish_beat(self, burst: _Burst) -> None:
        self.beats += 1
        burst.address += self._beat_bytes
        burst.beats -= 1
        if burst.beats == 0:
            self._queues[burst.owner].popleft()

    def _load(self, address: int) -> int:
        value = 0
        for part in range(0, self._beat_bytes, 16):
            value |= self._half_word(address + part) << 8 * part
        return value

    def _half_word(self, address: int) -> int:
        for base, words in self.buffers.items():
            index = (address - base) // self._word_bytes
            if 0 <= index < len(words):
                return words[index] >> (address - base) % self._word_bytes * 8 & mask(128)
        return self._random.getrandbits(128)


class WriteMemory:
    """Answers AW/W/B.

    Parameters
    ----------
    dut, prefix : the bus
    stall : probability that awready or wready is low in a cycle, and that B is delayed by another cycle
    error_at : a burst that holds one of these byte addresses answers SLVERR

    Attributes
    ----------
    content : byte address -> byte, of every byte that was written with its strobe set
    bursts : (address, beats) of every burst, in order
    beats : beats taken
    responses : responses given
    dead : takes nothing while true
    """

    def __init__(self, dut: Any, prefix: str, *, stall: float = 0.0, error_at: tuple[int, ...] = (),
                 seed: int = 0) -> None:
        self.content: dict[int, int] = {}
        self.bursts: list[tuple[int, int]] = []
        self.beats = 0
        self.responses = 0
        self.dead = False
        self._stall, self._error_at = stall, error_at
        self._random = random.Random(seed)
        self._edge = RisingEdge(dut.clk)
        self._address = _Channel(dut, prefix, "aw", ("id", "addr", "len", "size", "burst"))
        self._data = _Channel(dut, prefix, "w", ("data", "strb", "last"))
        self._b = {name: getattr(dut, f"{prefix}__b{name}") for name in ("id", "resp", "valid", "ready")}
        self._beat_bytes = len(getattr(dut, f"{prefix}__wdata")) // 8
        self._waiting: deque[tuple[int, int]] = deque()
        self._burst_data: list[dict[str, int]] = []
        self._finished: deque[int] = deque()
        self._task = cocotb.start_soon(self._run())

    def close(self) -> None:
        """Stop answering, so that another model can take the bus."""
        self._task.cancel()
        self._b["valid"].value = 0

    def words(self, address: int, count: int) -> list[int]:
        """256-bit words from byte ``address`` on; KeyError where a byte was not written."""
        return [int.from_bytes(bytes(self.content[start + byte] for byte in range(WORD_BYTES)), "little")
                for start in range(address, address + count * WORD_BYTES, WORD_BYTES)]

    async def _run(self) -> None:
        responding = False
        while True:
            await self._edge
            fields = self._address.accept()
            if fields is not None:
                _check_burst(fields, self._beat_bytes)
                self._waiting.append((fields["addr"], fields["len"] + 1))
                self.bursts.append(self._waiting[-1])
            beat = self._data.accept()
            if beat is not None:
                self.beats += 1
                self._burst_data.append(beat)
            self._finish_burst()
            if responding and int(self._b["ready"].value):
                responding = False
                self.responses += 1
            if not responding and self._finished and not self._pause():
                self._b["resp"].value = self._finished.popleft()
                self._b["id"].value = 0
                responding = True
            self._b["valid"].value = int(responding)
            self._address.set_ready(not self._pause())
            self._data.set_ready(not self._pause())

    def _pause(self) -> bool:
        return self.dead or self._random.random() < self._stall

    def _finish_burst(self) -> None:
        """Store a burst when its address and all of its beats are here."""
        if not self._waiting or len(self._burst_data) < self._waiting[0][1]:
            return
        address, count = self._waiting.popleft()
        burst, self._burst_data = self._burst_data[:count], self._burst_data[count:]
        for index, beat in enumerate(burst):
            assert beat["last"] == (index == count - 1), f"last of beat {index} of {count}"
            for byte in range(self._beat_bytes):
                if beat["strb"] >> byte & 1:
                    place = address + index * self._beat_bytes + byte
                    self.content[place] = beat["data"] >> 8 * byte & 0xFF
        covered = range(address, address + count * self._beat_bytes)
        self._finished.append(Resp.SLVERR if any(place in covered for place in self._error_at) else Resp.OKAY)
