"""cocotb side of :mod:`sim.accelerator`: registers in, interrupt out, and nothing per cycle.

Runs inside the simulator. The environment variable ``SIEVIT_JOB`` names a folder with ``job.json``; the registers of
each frame go to ``registers.json``, and the state of the run now and then to ``progress.json``.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import cocotb
from cocotb.triggers import First, RisingEdge, Timer
from cocotb.utils import get_sim_time
from cocotbext.axi import AxiLiteBus, AxiLiteMaster

from flows.contracts.registers import ID_VALUE, REGISTERS, VERSION_VALUE, offset
from sim.bench import CLOCK_NS, start

PROGRESS_CYCLES = 20_000
"""How often Python wakes up during a frame."""
SIDE_EFFECTS = ("CTRL", "GIER", "IER", "ISR")
"""Registers that are handled one by one, not read back as a block."""


class Control:
    """The accelerator's registers by name."""

    def __init__(self, dut: Any) -> None:
        bus = AxiLiteBus.from_prefix(dut, "s_axi_control")
        self._master = AxiLiteMaster(bus, dut.aclk, dut.aresetn, reset_active_level=False)

    async def write(self, name: str, value: int) -> None:
        """Write a register."""
        await self._master.write_dword(offset(name), value)

    async def read(self, name: str, index: int = 0) -> int:
        """Read a register."""
        return await self._master.read_dword(offset(name, index))

    async def read_all(self) -> dict[str, Any]:
        """Every register without side effects; those with several entries as a list."""
        values: dict[str, Any] = {}
        for register in REGISTERS:
            if register.name in SIDE_EFFECTS:
                continue
            entries = [await self.read(register.name, index) for index in range(register.count)]
            values[register.name] = entries if register.count > 1 else entries[0]
        return values


def replace(path: Path, content: Any) -> None:
    """Write JSON so that a reader sees the old or the new file, never a part."""
    part = path.with_suffix(".part")
    part.write_text(json.dumps(content))
    part.replace(path)


async def check_identity(control: Control, config_hash: int) -> None:
    """The checks that a driver makes before it uses the hardware."""
    for name, expected in (("ID", ID_VALUE), ("VERSION", VERSION_VALUE), ("CONFIG_HASH", config_hash)):
        value = await control.read(name)
        assert value == expected, f"register {name} is {value:#010x}, expected {expected:#010x}"


def frame_registers(frame: dict[str, Any]) -> dict[str, int]:
    """Registers that say what a frame runs on, and their values."""
    values = {"PROGRAM_WORDS": frame["words"]}
    values |= {name.upper(): frame[name] for name in ("images", "image_stride", "output_stride")}
    for name in ("program", "image", "output"):
        values |= {f"{name.upper()}_LO": frame[name] & 0xFFFF_FFFF, f"{name.upper()}_HI": frame[name] >> 32}
    return values


async def run_frame(dut: Any, control: Control, job: dict[str, Any], index: int, folder: Path) -> dict[str, Any]:
    """Start one frame, wait for the interrupt, and read the registers."""
    frame = job["frames"][index]
    for name, value in frame_registers(frame).items():
        await control.write(name, value)
    await control.write("WATCHDOG", job["watchdog"])
    await control.write("GIER", 1)
    await control.write("IER", 3)
    begin = get_sim_time("ns")
    await control.write("CTRL", 1)
    while not int(dut.interrupt.value):
        cycle = round((get_sim_time("ns") - begin) / CLOCK_NS)
        assert cycle < job["max_cycles"], \
            f"no interrupt after {cycle} cycles, step {await control.read('STEP')}, error {await control.read('ERROR')}"
        await First(RisingEdge(dut.interrupt), Timer(PROGRESS_CYCLES * CLOCK_NS, "ns"))
        replace(folder / "progress.json", {"frame": index, "step": await control.read("STEP"), "cycle": cycle})
    cause = await control.read("ISR")
    await control.write("ISR", cause)
    state = await control.read("CTRL")
    assert state & 0b0110 == 0b0110, f"after the interrupt CTRL is {state:#x}: done and idle expected"
    assert not int(dut.interrupt.value), "the interrupt stays up after its cause was cleared"
    return await control.read_all()


@cocotb.test()
async def run_frames(dut: Any) -> None:
    """Run all frames of the job without a reset between them."""
    folder = Path(os.environ["SIEVIT_JOB"])
    job = json.loads((folder / "job.json").read_text())
    dut.aresetn.value = 0
    control = Control(dut)
    await start(dut, clock="aclk", reset="aresetn", active=0, cycles=8)
    # Cycle 1, as the testbench counts, begins now.
    replace(folder / "clock.json", {"first_ps": round(get_sim_time("ps")), "period_ps": 1000 * CLOCK_NS})
    await check_identity(control, job["config_hash"])
    results = []
    for index in range(len(job["frames"])):
        results.append(await run_frame(dut, control, job, index, folder))
        # Written after every frame, so that the registers of a frame that ends in an error can be read.
        replace(folder / "registers.json", results)
