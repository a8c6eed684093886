"""Runs programs on the natively compiled C++ models: the fastest exact simulator of the accelerator."""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from flows.contracts.errors import SimulationError
from flows.contracts.hardware import PAGE_BYTES, WORD_BITS, HardwareConfig, ceil_div
from flows.contracts.registers import TOKENS_KEPT_ENTRIES, Error, error_text
from hls_models.build import FAST, build_library
from hls_models.registers import STATUS, STATUS_WORDS
from sim.probes import RECORD

LOGIT_WORD_BYTES = WORD_BITS // 8
UNWRITTEN = 0xA5
"""What output buffers hold before the run."""


class EngineError(SimulationError):
    """The model ended with an error code: :attr:`code` of :class:`flows.contracts.registers.Error`."""

    def __init__(self, code: int) -> None:
        super().__init__(f"the HLS model stopped with error {error_text(code)}")
        self.code = code


@dataclass(frozen=True, eq=False)
class EngineRun:
    """What a run gave.

    Attributes
    ----------
    output : uint8 ``(images, bytes)``, the output buffers
    records : probe records, structured array of :data:`sim.probes.RECORD`, of all images one behind the other; their
        ``cycle`` counts records. Empty unless recorded
    registers : those of the hardware's registers that the model has, by name; ``TOKENS_KEPT`` is a list
    """

    output: np.ndarray
    records: np.ndarray
    registers: dict[str, int | list[int]]

    def logits(self, classes: int) -> np.ndarray:
        """int16 ``(images, classes)``."""
        return self.output[:, :2 * classes].copy().view("<i2")

    @property
    def tokens_kept(self) -> list[int]:
        """Tokens alive after each token drop of the last image."""
        kept = self.registers["TOKENS_KEPT"]
        assert isinstance(kept, list)
        return [count for count in kept if count]


class Engine:
    """The models of one configuration. Its memories are the library's: they keep what the run before has left, as the
    hardware's do, and there is one set of them in a process.

    Parameters
    ----------
    config : the hardware
    flags : of the compiler

    Raises
    ------
    SimulationError
        When the models cannot be compiled.
    """

    def __init__(self, config: HardwareConfig, flags: Sequence[str] = FAST) -> None:
        self.config = config
        self._library = _load(build_library(config, flags))
        assert self._library.sievit_config_hash() == config.config_hash()
        assert self._library.sievit_status_words() == STATUS_WORDS
        assert self._library.sievit_record_bytes() == RECORD.itemsize

    def run(self, program: np.ndarray | bytes, images: Sequence[np.ndarray | bytes], *, record: bool = False
            ) -> EngineRun:
        """Run images through a program, one after the other.

        Parameters
        ----------
        program : the stream of a compiled program
        images : image buffers, all of one size
        record : keep every word that is written to a memory

        Raises
        ------
        EngineError
            When the program is damaged or for another configuration.
        SimulationError
            When the images differ in size, are not what the program takes, or there are none.
        """
        stream = _bytes(program)
        buffers = np.stack(self._images(stream, [_bytes(image) for image in images]))
        stride = buffers.shape[1]
        out_bytes = ceil_div(self.config.class_cols * LOGIT_WORD_BYTES, PAGE_BYTES) * PAGE_BYTES
        output = np.full((len(images), out_bytes), UNWRITTEN, np.uint8)
        status = np.zeros(STATUS_WORDS, np.uint32)
        code = self._library.sievit_run(
            stream.ctypes.data, stream.size // self.config.stream_bytes, buffers.ctypes.data, output.ctypes.data,
            len(images), stride, out_bytes, status.ctypes.data, int(record))
        if code != Error.NONE:
            raise EngineError(code)
        registers: dict[str, int | list[int]] = {name: int(status[place]) for name, place in STATUS.items()}
        registers["TOKENS_KEPT"] = status[:TOKENS_KEPT_ENTRIES].tolist()
        return EngineRun(output, self._records(), registers)

    def _images(self, stream: np.ndarray, images: list[np.ndarray]) -> list[np.ndarray]:
        """Image buffers that the model may read as far as the program says."""
        if stream.size < self.config.stream_bytes or stream.size % self.config.stream_bytes:
            raise SimulationError("the program is no whole number of stream words; compile it again")
        if not images:
            raise SimulationError("a run has at least one image")
        needed = image_bytes(stream, self.config)
        if wrong := [image.size for image in images if image.size != needed]:
            raise SimulationError(f"the program takes images of {needed} bytes, not {wrong[0]}")
        return images

    def _records(self) -> np.ndarray:
        count = self._library.sievit_record_count()
        if not count:
            return np.empty(0, RECORD)
        raw = (ctypes.c_uint8 * (count * RECORD.itemsize)).from_address(self._library.sievit_records())
        return np.frombuffer(raw, RECORD).copy()


def image_bytes(stream: np.ndarray, config: HardwareConfig) -> int:
    """Size of an image buffer, from the first packet of a program."""
    from flows.contracts.program import HELLO, unpack

    hello = unpack(HELLO, int.from_bytes(stream[:config.stream_bytes].tobytes(), "little"))
    return hello["image_tokens"] * hello["image_words"] * config.stream_bytes


@functools.cache
def engine_for(config: HardwareConfig) -> Engine:
    """The engine of a configuration; one per process and configuration."""
    return Engine(config)


def _bytes(data: np.ndarray | bytes) -> np.ndarray:
    if isinstance(data, bytes):
        return np.frombuffer(data, np.uint8)
    return np.ascontiguousarray(data).reshape(-1).view(np.uint8)


def _load(path: Path) -> ctypes.CDLL:
    library = ctypes.CDLL(str(path))
    pointer, word = ctypes.c_void_p, ctypes.c_uint32
    library.sievit_run.argtypes = [pointer, word, pointer, pointer, word, word, word, pointer, ctypes.c_int]
    library.sievit_config_hash.restype = word
    library.sievit_record_count.restype = ctypes.c_uint64
    library.sievit_records.restype = pointer
    return library
