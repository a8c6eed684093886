"""A register file and a memory in NumPy that behave as the hardware does: for tests, and for trying the driver out.

The network itself is a function from patch codes to logits. Errors, time-outs, interrupts and flags that reading
clears are those of the hardware; the cycle counts are made up.
"""

from __future__ import annotations

from typing import Any, Callable

import numpy as np

from .errors import TransportError
from .parameters import Parameters
from .results import output_bytes
from .transport import ArrayBuffer, TransportBase

FIRST_ADDRESS = 0x8_0010_0000
CYCLES_PER_IMAGE = 1000
_STORED = ("PROGRAM_LO", "PROGRAM_HI", "IMAGE_LO", "IMAGE_HI", "OUTPUT_LO", "OUTPUT_HI", "PROGRAM_WORDS", "WATCHDOG",
           "IMAGES", "IMAGE_STRIDE", "OUTPUT_STRIDE")
_PAGES = ("PROGRAM_LO", "IMAGE_LO", "OUTPUT_LO", "IMAGE_STRIDE", "OUTPUT_STRIDE")


class MockTransport(TransportBase):
    """The accelerator of ``params``, without hardware.

    Parameters
    ----------
    params : path or content of params.json
    network : from int8 codes ``(tokens, patch inputs)`` to logits, or to logits and the tokens kept at each drop
    memory_bytes : size of the memory
    interrupt : whether there is an interrupt
    run_seconds : how long an image takes

    Attributes
    ----------
    fail_with : name of an error with which the next run ends
    hang : the next run does not end by itself, but its watchdog can end it when ``stuck`` is false
    stuck : not even the watchdog ends it; only a reset does
    can_reset : whether :meth:`reset` works
    resets : how often it was used
    """

    def __init__(self, params: Any, network: Callable, *, memory_bytes: int = 1 << 24, interrupt: bool = True,
                 run_seconds: float = 1e-5) -> None:
        self._params = Parameters.load(params)
        self._network = network
        self.memory = np.zeros(memory_bytes, np.uint8)
        self.has_interrupt = interrupt
        self._run_seconds = run_seconds
        self.fail_with: str | None = None
        self.hang = self.stuck = self.can_reset = False
        self.resets = 0
        self._time = 0.0
        self._used: list = []
        registers = self._params.registers
        self._names = {registers.offset(name, index): (name, index) for name in registers.names
                       for index in range(registers.count(name))}
        self._codes = {name: code for code, (name, _) in self._params.errors.items()}
        self._power_up()

    def _power_up(self) -> None:
        self._values = dict.fromkeys(self._params.registers.names, 0)
        for name in ("ID", "VERSION", "CONFIG_HASH"):
            self._values[name] = self._params.hardware[name.lower()]
        self._kept: list = []
        self._done = self._ready = False
        self._ends: float | None = None

    def now(self) -> float:
        """Seconds of the mock's own clock, which accesses and waiting move on."""
        return self._time

    def sleep(self, seconds: float) -> None:
        """Let the mock's time pass."""
        self._time += seconds
        self._settle()

    def read32(self, offset: int) -> int:
        """See :class:`Transport`."""
        self.sleep(1e-7)
        name, index = self._names.get(offset & ~3, (None, 0))
        if name is None:
            return 0
        if name == "CTRL":
            return self._read_control()
        if name == "STATUS":
            running = self._ends is not None
            return running | running << 1 | bool(self._values["ERROR"]) << 2
        if name == "TOKENS_KEPT":
            return self._kept[index] if index < len(self._kept) else 0
        return self._values[name]

    def _read_control(self) -> int:
        mask = self._params.registers.mask
        value = 0 if self._ends is not None else mask("CTRL", "ap_idle")
        value |= (mask("CTRL", "ap_done") if self._done else 0) | (mask("CTRL", "ap_ready") if self._ready else 0)
        self._done = self._ready = False
        return value

    def write32(self, offset: int, value: int) -> None:
        """See :class:`Transport`."""
        self.sleep(1e-7)
        name = self._names.get(offset & ~3, (None, 0))[0]
        if name == "CTRL" and value & 1:
            self._start()
        elif name == "ISR":
            self._values["ISR"] ^= value & 3
        elif name in ("GIER", "IER"):
            self._values[name] = value & (1 if name == "GIER" else 3)
        elif name in _STORED:
            keep = ~(self._params.hardware["page_bytes"] - 1) if name in _PAGES else ~0
            self._values[name] = value & keep & 0xFFFF_FFFF
        self._settle()

    def allocate(self, nbytes: int) -> ArrayBuffer:
        """Pages of the memory that no other buffer uses; see :class:`Transport`."""
        page = self._params.hardware["page_bytes"]
        at = 0
        for other in self._used:
            if other.address - FIRST_ADDRESS - at >= nbytes:
                break
            at = other.address - FIRST_ADDRESS + -(-other.nbytes // page) * page
        if at + nbytes > self.memory.size:
            raise TransportError(f"the mock's memory of {self.memory.size} bytes is full")
        buffer = _MockBuffer(self, self.memory[at:at + nbytes], FIRST_ADDRESS + at)
        self._used = sorted([*self._used, buffer], key=lambda item: item.address)
        return buffer

    def free(self, buffer: ArrayBuffer) -> None:
        """Forget a buffer."""
        self._used = [item for item in self._used if item is not buffer]

    @property
    def buffers(self) -> int:
        """Buffers that are allocated."""
        return len(self._used)

    @property
    def interrupt(self) -> bool:
        """The interrupt pin."""
        return bool(self._values["GIER"] and self._values["ISR"] & self._values["IER"])

    def wait_interrupt(self, timeout: float) -> bool:
        """See :class:`Transport`."""
        step = min(timeout, self._run_seconds)
        end = self._time + timeout
        while not self.interrupt and self._time < end:
            self.sleep(step)
        return self.interrupt

    def reset(self) -> bool:
        """See :class:`Transport`."""
        if self.can_reset:
            self.resets += 1
            self.hang = self.stuck = False
            self._used = []
            self.memory[:] = 0
            self._power_up()
        return self.can_reset

    def _start(self) -> None:
        images = max(self._values["IMAGES"], 1)
        self._values.update({"ERROR": 0, "IMAGES_DONE": 0, "SLOTS": 0, "CYCLES_LO": 0, "CYCLES_HI": 0})
        self._kept = []
        self._ends = self._time + self._run_seconds * images

    def _settle(self) -> None:
        """Let what is due happen."""
        if self._ends is None:
            return
        if self.hang or self.stuck:
            if not self.stuck and self._values["WATCHDOG"] == 1:
                self.hang = False
                self._end("WATCHDOG")
        elif self._time >= self._ends:
            name, self.fail_with = self.fail_with, None
            self._end(name or self._execute())

    def _end(self, error: str) -> None:
        code = self._codes[error]
        self._values["ERROR"] = code
        self._ends, self._done, self._ready = None, True, True
        self._values["ISR"] |= 1 | (2 if code else 0)

    def _bytes(self, address: int, nbytes: int) -> np.ndarray | None:
        at = address - FIRST_ADDRESS
        return self.memory[at:at + nbytes] if at >= 0 and at + nbytes <= self.memory.size else None

    def _address(self, name: str) -> int:
        return self._values[f"{name}_HI"] << 32 | self._values[f"{name}_LO"]

    def _execute(self) -> str:
        """Do what a run does. Returns the name of its error."""
        hardware = self._params.hardware
        head = self._bytes(self._address("PROGRAM"), hardware["stream_bytes"])
        if head is None:
            return "AXI_READ"
        word = int.from_bytes(head.tobytes(), "little")
        hello = {name: word >> low & ((1 << width) - 1) for name, (low, width) in self._params.hello.items()}
        for field, value, error in (("magic", hardware["magic"], "BAD_MAGIC"),
                                    ("version", hardware["program_version"], "BAD_VERSION"),
                                    ("config_hash", hardware["config_hash"], "CONFIG_MISMATCH")):
            if hello[field] != value:
                return error
        for index in range(max(self._values["IMAGES"], 1)):
            error = self._one_image(index, hello)
            if error != "NONE":
                return error
        return "NONE"

    def _one_image(self, index: int, hello: dict) -> str:
        word = self._params.hardware["stream_bytes"]
        tokens, parts = hello["image_tokens"], hello["image_words"]
        image = self._bytes(self._address("IMAGE") + index * self._values["IMAGE_STRIDE"], tokens * parts * word)
        if image is None:
            return "AXI_READ"
        codes = image.view(np.int8).reshape(parts, tokens, word).transpose(1, 0, 2).reshape(tokens, -1)
        result = self._network(codes[:, :self._params.network.patch_inputs])
        logits, kept = result if isinstance(result, tuple) else (result, [])
        logits = np.asarray(logits, "<i2")
        output = self._bytes(self._address("OUTPUT") + index * self._values["OUTPUT_STRIDE"], output_bytes(logits.size))
        if output is None:
            return "AXI_WRITE"
        output[:] = 0
        output[:2 * logits.size] = logits.view(np.uint8)
        self._kept = [int(count) for count in kept]
        self._values["IMAGES_DONE"] += 1
        self._values["SLOTS"] += tokens
        self._values["CYCLES_LO"] += CYCLES_PER_IMAGE
        return "NONE"


class _MockBuffer(ArrayBuffer):
    """A buffer that can be freed."""

    def __init__(self, owner: MockTransport, array: np.ndarray, address: int) -> None:
        super().__init__(array, address)
        self._owner = owner

    def free(self) -> None:
        """See :class:`Buffer`."""
        self._owner.free(self)
