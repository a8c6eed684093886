"""The accelerator as a user sees it: load a program, give it pictures, read classes."""

from __future__ import annotations

from typing import Any

import numpy as np

from .errors import BusyError, ConfigMismatchError, DriverError, HardwareError, PictureError, RunTimeoutError
from .parameters import Network, Parameters
from .pictures import load_picture, pack_codes, to_codes
from .program import Program, read_program
from .results import Batch, Result, output_bytes
from .transport import Buffer, Transport

POLL_SECONDS = 0.0002
"""How often CTRL is read by default while a run is under way and no interrupt is used."""
REST_SECONDS = 1.0
"""How long an aborted run may take to come to rest."""
COUNTERS = ("SLOTS", "STALL_MEMORY", "STALL_LOAD", "STALL_BARRIER", "STALL_COLUMN", "STALL_SELECT")
STATE = ("ERROR", "STATUS", "STEP", "TOKENS", "IMAGES_DONE")


class Accelerator:
    """One accelerator on one board. Also a context manager, which closes it.

    Parameters
    ----------
    params : path of ``params.json``, or its content
    transport : the way to the hardware, see :class:`~.transport.Transport`
    timeout : seconds that a run may take
    watchdog : clock cycles without progress before the hardware itself gives up; 0 for its default
    interrupt : wait for the interrupt instead of polling; by default when the transport has one
    poll : seconds between two polls

    Raises
    ------
    ParametersError
        When the description cannot be used.
    ConfigMismatchError
        When the bitstream is no accelerator, or not the one described.
    """

    def __init__(self, params: Any, transport: Transport, *, timeout: float = 10.0, watchdog: int = 0,
                 interrupt: bool | None = None, poll: float = POLL_SECONDS) -> None:
        self.params = Parameters.load(params)
        self.transport = transport
        self.timeout = timeout
        self.watchdog = watchdog
        self._poll = poll
        self._interrupt = transport.has_interrupt if interrupt is None else interrupt
        self._program: Program | None = None
        self._stream: Buffer | None = None
        self._images: Buffer | None = None
        self._outputs: Buffer | None = None
        self.check_identity()

    def __enter__(self) -> Accelerator:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def network(self) -> Network:
        """What the loaded program computes.

        Raises
        ------
        DriverError
            When no program is loaded.
        """
        return self._loaded().network

    def read(self, name: str, index: int = 0) -> int:
        """Read a register by name; KeyError when there is none."""
        return self.transport.read32(self.params.registers.offset(name, index))

    def write(self, name: str, value: int) -> None:
        """Write a register by name; KeyError when there is none."""
        self.transport.write32(self.params.registers.offset(name), value)

    def check_identity(self) -> None:
        """Compare ID, VERSION and CONFIG_HASH with the description.

        Raises
        ------
        ConfigMismatchError
            At the first that differs.
        """
        hints = {"ID": "there is no accelerator at this address, or no bitstream is loaded",
                 "VERSION": "use the driver and params.json that were generated with the bitstream",
                 "CONFIG_HASH": "params.json describes another hardware configuration; use the one that was generated "
                                "with the bitstream"}
        for name, hint in hints.items():
            expected, found = self.params.hardware[name.lower()], self.read(name)
            if found != expected:
                raise ConfigMismatchError(f"register {name} is {found:#010x}, expected {expected:#010x}: {hint}",
                                          expected, found)

    def load_program(self, file: Any = None, *, check: bool = True) -> Network:
        """Verify a program and write it to memory.

        Parameters
        ----------
        file : a program of ``sievit compile``, or the params.json that describes a program.bin; by default the
            program that params.json of this accelerator describes
        check : ``False`` does not compare configurations, so that the hardware has to

        Returns
        -------
        Network
            What it computes.

        Raises
        ------
        ProgramError, ConfigMismatchError
            When the program cannot be used; the one that was loaded before stays.
        """
        program = read_program(file, self.params, check=check)
        self._free()
        self._program = program
        self._upload()
        return program.network

    def infer(self, image: Any, *, resize: bool = True, timeout: float | None = None) -> Result:
        """Run one image.

        Parameters
        ----------
        image : uint8 ``(height, width, 3)``, a Pillow image, or int8 patch codes ``(tokens, patch inputs)``
        resize : ``False`` only crops the centre of a picture
        timeout : seconds, instead of the accelerator's

        Raises
        ------
        PictureError
            When the image is not what the network takes.
        HardwareError
            When the run ends with an error; the next run may follow at once.
        RunTimeoutError
            When it does not end; :meth:`recover` has to follow.
        BusyError, DriverError
            When the accelerator is still busy, or has no program.
        """
        logits, state = self._run([image], resize, timeout)
        return Result(logits[0], **state)

    def infer_batch(self, images: Any, *, resize: bool = True, timeout: float | None = None) -> Batch:
        """Run several images in one run of the hardware. Parameters and errors as :meth:`infer`.

        Raises
        ------
        PictureError
            Also when there is no image.
        """
        images = list(images)
        if not images:
            raise PictureError("a batch has at least one image")
        logits, state = self._run(images, resize, timeout)
        return Batch(logits, **state)

    def classify(self, path: Any, **options: Any) -> Result:
        """Run a picture file (needs Pillow). Options and errors as :meth:`infer`."""
        return self.infer(load_picture(path), **options)

    def registers(self) -> dict:
        """Registers of state and counters by name, ``CYCLES`` (64 bits) and the list ``TOKENS_KEPT`` among them."""
        values: dict[str, Any] = {name: self.read(name) for name in STATE + COUNTERS}
        low = self.read("CYCLES_LO")  # holds the high half for the next read
        values["CYCLES"] = self.read("CYCLES_HI") << 32 | low
        values["TOKENS_KEPT"] = self._tokens_kept()
        return values

    def recover(self, timeout: float = REST_SECONDS) -> None:
        """Bring the accelerator to rest after an error or a time-out, and make sure that it can be used.

        A run that is still under way is ended by its watchdog, set to one cycle; if that does not help, the transport
        resets the accelerator, when it can, and the program is written again.

        Raises
        ------
        DriverError
            When nothing helps.
        ConfigMismatchError
            When another accelerator is there afterwards.
        """
        if not self._idle() and not self._abort(timeout):
            if not self.transport.reset():
                raise DriverError("the accelerator does not come to rest; load the bitstream again")
            self._stream = self._images = self._outputs = None
            if self._program is not None:
                self._upload()
        self.check_identity()
        self._clear_interrupts()
        self.read("CTRL")  # clears the done flag

    def close(self) -> None:
        """Free the buffers and close the transport."""
        self._free()
        self._program = None
        self.transport.close()

    def _loaded(self) -> Program:
        if self._program is None:
            raise DriverError("no program is loaded; call load_program() first")
        return self._program

    def _free(self) -> None:
        for buffer in (self._stream, self._images, self._outputs):
            if buffer is not None:
                buffer.free()
        self._stream = self._images = self._outputs = None

    def _upload(self) -> None:
        stream = self._loaded().stream
        self._stream = self._allocate(stream.size)
        self._stream.write(stream)
        self._stream.sync_to_device()

    def _allocate(self, nbytes: int) -> Buffer:
        page = self.params.hardware["page_bytes"]
        buffer = self.transport.allocate(-(-nbytes // page) * page)
        if buffer.address % page:
            raise DriverError(f"a buffer begins at {buffer.address:#x}, which is no multiple of {page}; the transport "
                              "must align what it allocates")
        return buffer

    def _run(self, images: list, resize: bool, timeout: float | None) -> tuple:
        """Logits ``(images, classes)`` and what else a result holds."""
        program = self._loaded()
        network = program.network
        if not self._idle():
            raise BusyError("the accelerator is still busy; call recover()")
        packed = [pack_codes(to_codes(image, network, resize=resize), self.params.hardware["stream_bytes"])
                  for image in images]
        strides = self._place(packed, output_bytes(network.classes))
        self._set_up(len(images), *strides)
        self._start_and_wait(self.timeout if timeout is None else timeout)
        state = self.registers()
        if state["ERROR"]:
            name, text = self.params.error(state["ERROR"])
            raise HardwareError(state["ERROR"], name, text, state)
        outputs = _present(self._outputs)
        outputs.sync_from_device()
        rows = [outputs.read(2 * network.classes, index * strides[1]).view("<i2") for index in range(len(images))]
        return np.stack(rows), {
            "class_names": network.class_names, "cycles": state["CYCLES"],
            "tokens_kept": tuple(count for count in state["TOKENS_KEPT"] if count),
            "counters": {name: state[name] for name in COUNTERS}, "clock_mhz": self.params.hardware["clock_mhz"]}

    def _place(self, packed: list, result_bytes: int) -> tuple:
        """Images to memory, each on a page of its own. Returns the strides of images and outputs."""
        page = self.params.hardware["page_bytes"]
        strides = tuple(-(-size // page) * page for size in (packed[0].size, result_bytes))
        self._images = self._grown(self._images, strides[0] * len(packed))
        self._outputs = self._grown(self._outputs, strides[1] * len(packed))
        for index, image in enumerate(packed):
            self._images.write(image, index * strides[0])
        self._images.sync_to_device()
        return strides

    def _grown(self, buffer: Buffer | None, nbytes: int) -> Buffer:
        if buffer is not None:
            if buffer.nbytes >= nbytes:
                return buffer
            buffer.free()
        return self._allocate(nbytes)

    def _set_up(self, images: int, image_stride: int, output_stride: int) -> None:
        stream = _present(self._stream)
        for name, address in (("PROGRAM", stream.address), ("IMAGE", _present(self._images).address),
                              ("OUTPUT", _present(self._outputs).address)):
            self.write(f"{name}_LO", address & 0xFFFF_FFFF)
            self.write(f"{name}_HI", address >> 32)
        for name, value in (("PROGRAM_WORDS", self._loaded().stream.size // self.params.hardware["stream_bytes"]),
                            ("WATCHDOG", self.watchdog), ("IMAGES", images), ("IMAGE_STRIDE", image_stride),
                            ("OUTPUT_STRIDE", output_stride), ("GIER", int(self._interrupt)),
                            ("IER", self.params.registers.mask("IER", "done") if self._interrupt else 0)):
            self.write(name, value)
        self._clear_interrupts()

    def _start_and_wait(self, timeout: float) -> None:
        self.write("CTRL", self.params.registers.mask("CTRL", "ap_start"))
        done = self.params.registers.mask("CTRL", "ap_done")
        deadline = self.transport.now() + timeout
        while True:
            left = deadline - self.transport.now()
            if self._interrupt and left > 0:
                self.transport.wait_interrupt(left)
            # Read in either case: an interrupt may be lost, and a run may end just when time is up.
            if self.read("CTRL") & done:
                break
            if left <= 0:
                raise RunTimeoutError(timeout, self.registers())
            if not self._interrupt:
                self.transport.sleep(self._poll)
        self._clear_interrupts()

    def _clear_interrupts(self) -> None:
        causes = self.read("ISR")
        if causes:
            self.write("ISR", causes)  # toggled: what is written again would be set

    def _idle(self) -> bool:
        return bool(self.read("CTRL") & self.params.registers.mask("CTRL", "ap_idle"))

    def _abort(self, timeout: float) -> bool:
        """End the run that is under way. Returns whether it has come to rest."""
        self.write("WATCHDOG", 1)
        deadline = self.transport.now() + timeout
        while not self._idle():
            if self.transport.now() >= deadline:
                return False
            self.transport.sleep(self._poll)
        self.write("WATCHDOG", self.watchdog)
        return True

    def _tokens_kept(self) -> list:
        """Entries up to the first that is 0: no drop leaves no token, and later ones were not reached."""
        kept = []
        for index in range(self.params.registers.count("TOKENS_KEPT")):
            kept.append(self.read("TOKENS_KEPT", index))
            if not kept[-1]:
                break
        return kept


def _present(buffer: Buffer | None) -> Buffer:
    assert buffer is not None, "allocated before every run"
    return buffer
