"""cocotb side of :mod:`tests.accelerator.harness`: like ``sim.cocotb_accelerator``, but a frame may end in an error.

Every frame must end with the interrupt, whatever its program does; its registers, the interrupt's cause, and the time
in which it ran go to ``frames.json``.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import cocotb
from cocotb.triggers import First, RisingEdge, Timer
from cocotb.utils import get_sim_time

from sim.bench import CLOCK_NS, start
from sim.cocotb_accelerator import Control, check_identity, frame_registers, replace

DONE, ERROR = 1, 2
"""Bits of ISR."""


def now() -> int:
    """Clock cycles since the simulation began."""
    return round(get_sim_time("ns") / CLOCK_NS)


def registers_of(frame: dict[str, Any]) -> dict[str, int]:
    """What a frame needs in the registers. Those that hold it already are not written: a start can follow at once."""
    return frame_registers(frame) | {"WATCHDOG": frame["watchdog"]}


async def finish(dut: Any, control: Control, limit: int, *, hurry: bool) -> dict[str, Any]:
    """Wait for the interrupt, clear it, and read everything; the frame has to leave the hardware idle.

    With ``hurry`` only the error code is read, so that the next frame starts while things may still be under way.
    """
    if not int(dut.interrupt.value):
        await First(RisingEdge(dut.interrupt), Timer(limit * CLOCK_NS, "ns"))
    assert int(dut.interrupt.value), f"no interrupt after {limit} cycles, step {await control.read('STEP')}"
    cause = await control.read("ISR")
    await control.write("ISR", cause)
    if hurry:
        return {"ERROR": await control.read("ERROR")}
    state = await control.read("CTRL")
    assert state & 0b0110 == 0b0110, f"after the interrupt CTRL is {state:#x}: done and idle expected"
    assert not int(dut.interrupt.value), "the interrupt stays up after its cause was cleared"
    values = await control.read_all()
    failed = bool(values["ERROR"])
    assert cause == (DONE | ERROR if failed else DONE), f"ISR is {cause:#x} after error code {values['ERROR']}"
    assert values["STATUS"] == (4 if failed else 0), f"STATUS is {values['STATUS']:#x} after code {values['ERROR']}"
    return values


@cocotb.test()
async def run_frames(dut: Any) -> None:
    """Run all frames of the job, one after the other, with one reset at the beginning."""
    folder = Path(os.environ["SIEVIT_JOB"])
    job = json.loads((folder / "job.json").read_text())
    dut.aresetn.value = 0
    control = Control(dut)
    await start(dut, clock="aclk", reset="aresetn", active=0, cycles=8)
    await check_identity(control, job["config_hash"])
    await control.write("GIER", 1)
    await control.write("IER", DONE | ERROR)
    results, written = [], {}
    for frame in job["frames"]:
        for name, value in registers_of(frame).items():
            if written.get(name) != value:
                await control.write(name, value)
        written = registers_of(frame)
        begin = now()
        await control.write("CTRL", 1)
        values = await finish(dut, control, job["max_cycles"], hurry=frame["hurry"])
        results.append({"begin": begin, "registers": values})
        replace(folder / "frames.json", results)
