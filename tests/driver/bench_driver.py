"""cocotb: the driver as it is delivered on the generated hardware. ``SIEVIT_DRIVER`` names the folder of the cases."""

from __future__ import annotations

import contextlib
import json
import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cocotb
import numpy as np
from cocotb.task import bridge

from boards.driver import (
    Accelerator,
    BusyError,
    ConfigMismatchError,
    HardwareError,
    Parameters,
    RunTimeoutError,
)
from sim.bench import CLOCK_NS, start
from sim.driver_transport import SimTransport
from tests.driver.register_script import observe

FOLDER = Path(os.environ["SIEVIT_DRIVER"])
MAIN, SECOND, OTHER, DAMAGED = (FOLDER / name / "params.json" for name in ("main", "second", "other", "damaged"))
CODES = np.load(FOLDER / "codes.npy")
LOGITS = np.load(FOLDER / "logits.npy")
KEPT = json.loads((FOLDER / "kept.json").read_text())
CYCLE = CLOCK_NS * 1e-9
LONG = 100_000 * CYCLE


async def set_up(dut: Any) -> SimTransport:
    """Clock, memory, and the end of reset."""
    dut.aresetn.value = 0
    transport = SimTransport(dut)
    await start(dut, clock="aclk", reset="aresetn", active=0, cycles=4)
    return transport


def check(driver: Accelerator, image: int) -> None:
    """One inference gives the golden model's integers."""
    result = driver.infer(CODES[image])
    np.testing.assert_array_equal(result.logits, LOGITS[image])
    assert list(result.tokens_kept) == KEPT[image]
    assert result.index == int(np.argmax(LOGITS[image])) and result.name == f"class {result.index}"
    assert 1000 < result.cycles < 100_000 and result.counters["SLOTS"] > 20


def pauses(seed: int, share: float) -> Iterator[bool]:
    """Random cycles of rest."""
    rng = random.Random(seed)
    while True:
        yield rng.random() < share


def expect(error: type[Exception], run: Callable[[], object]) -> Any:
    """The exception that ``run`` raises."""
    try:
        run()
    except error as raised:
        return raised
    raise AssertionError(f"{error.__name__} expected")


@contextlib.contextmanager
def silent(transport: SimTransport) -> Iterator[None]:
    """The memory does not answer."""
    transport.memory.answer(False)
    yield
    transport.memory.answer(True)


@cocotb.test()
@cocotb.parametrize(share=[0.0, 0.3], interrupt=[True, False])
async def images_and_batches(dut: Any, share: float, interrupt: bool) -> None:
    """Two images back to back, another program, a batch, and one image again."""
    transport = await set_up(dut)
    if share:
        transport.memory.stall(pauses(seed, share) for seed in range(5))

    def user() -> None:
        with Accelerator(MAIN, transport, timeout=LONG, interrupt=interrupt, poll=50 * CYCLE) as driver:
            assert driver.load_program().model == "random"
            check(driver, 0)
            check(driver, 1)
            if share:
                return
            batch = driver.infer_batch(CODES)
            np.testing.assert_array_equal(batch.logits, LOGITS)
            assert driver.registers()["IMAGES_DONE"] == len(batch) == len(CODES)
            assert list(batch.tokens_kept) == KEPT[-1] and batch.indices == LOGITS.argmax(1).tolist()
            driver.load_program(SECOND)
            assert driver.infer(CODES[0]).logits.size == 33
            driver.load_program(FOLDER / "main.sievit")
            check(driver, 1)

    await bridge(user)()


@cocotb.test()
async def errors(dut: Any) -> None:
    """A damaged program and memory that answers with errors: each has its code, and a good run follows each."""
    transport = await set_up(dut)

    def user() -> None:
        driver = Accelerator(MAIN, transport, timeout=LONG)
        driver.load_program(DAMAGED)
        error = expect(HardwareError, lambda: driver.infer(CODES[0]))
        assert (error.code, error.name) == (4, "BAD_PACKET") and "compile it again" in str(error)
        driver.load_program()
        check(driver, 0)
        buffers = {"AXI_READ": driver._images, "AXI_WRITE": driver._outputs}
        for name, buffer in buffers.items():
            assert buffer is not None
            transport.memory.bad = (buffer.address, buffer.address + buffer.nbytes)
            error = expect(HardwareError, lambda: driver.infer(CODES[1]))
            assert error.name == name and error.registers["ERROR"] == error.code
            transport.memory.bad = (0, 0)
            driver.recover()
            check(driver, 1)

    await bridge(user)()


@cocotb.test()
async def time_outs(dut: Any) -> None:
    """Memory that stops answering ends in the hardware's watchdog or in the driver's time-out, whichever is shorter."""
    transport = await set_up(dut)

    def user() -> None:
        driver = Accelerator(MAIN, transport, timeout=LONG, watchdog=300)
        driver.load_program()
        with silent(transport):
            error = expect(HardwareError, lambda: driver.infer(CODES[0]))
            assert error.name == "WATCHDOG" and 300 <= error.registers["CYCLES"] < 1000
        check(driver, 0)  # without recover(): the error has ended the run
        driver.watchdog = 0
        with silent(transport):
            late = expect(RunTimeoutError, lambda: driver.infer(CODES[1], timeout=2000 * CYCLE))
            assert 2000 <= late.registers["CYCLES"] < 4000 and late.registers["STATUS"] & 1
            expect(BusyError, lambda: driver.infer(CODES[1]))
            driver.recover()
            assert not driver.read("STATUS") & 1 and driver.read("WATCHDOG") == 0
        check(driver, 1)
        # Time is up in the middle of a run that goes well: it may be waited for, too.
        expect(RunTimeoutError, lambda: driver.infer(CODES[0], timeout=500 * CYCLE))
        transport.sleep(LONG / 4)
        check(driver, 1)
        expect(RunTimeoutError, lambda: driver.infer(CODES[0], timeout=500 * CYCLE))
        driver.recover()
        check(driver, 1)

    await bridge(user)()


@cocotb.test()
async def configurations(dut: Any) -> None:
    """A description or a program of other hardware is refused by the driver, and a program by the hardware, too."""
    transport = await set_up(dut)

    def user() -> None:
        error = expect(ConfigMismatchError, lambda: Accelerator(OTHER, transport))
        assert "CONFIG_HASH" in str(error) and error.found == Parameters.load(MAIN).hardware["config_hash"]
        driver = Accelerator(MAIN, transport, timeout=LONG)
        driver.load_program()
        expect(ConfigMismatchError, lambda: driver.load_program(OTHER))
        check(driver, 0)  # the program from before
        driver.load_program(OTHER, check=False)
        assert expect(HardwareError, lambda: driver.infer(CODES[0])).name == "CONFIG_MISMATCH"
        driver.recover()
        driver.load_program()
        check(driver, 1)

    await bridge(user)()


@cocotb.test()
async def register_file(dut: Any) -> None:
    """What the mock has to behave like; the other side compares."""
    transport = await set_up(dut)

    def user() -> None:
        seen = observe(transport, Parameters.load(MAIN), CODES[0])
        (FOLDER / "observed.json").write_text(json.dumps(seen))

    await bridge(user)()
