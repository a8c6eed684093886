"""cocotb bench of the control registers."""

from __future__ import annotations

import random
from typing import Any

import cocotb
from cocotb.triggers import RisingEdge
from cocotbext.axi import AxiLiteBus, AxiLiteMaster, AxiResp

from flows.contracts.hardware import HardwareConfig
from flows.contracts.registers import DEFAULT_WATCHDOG, REGISTERS, Access, Error, offset
from sim.bench import start, wait_cycles

ADDRESSES = {"program": "PROGRAM", "image": "IMAGE", "output": "OUTPUT"}
COUNTERS = ("images_done", "slots", "stall_memory", "stall_load", "stall_barrier", "stall_column", "stall_select")
START, DONE, IDLE, READY = 1, 2, 4, 8


class Bench:
    """AXI4-Lite master, the core's side by hand, and the cycles of start pulses, done pulses and register writes."""

    def __init__(self, dut: Any) -> None:
        self.dut = dut
        self.edge = RisingEdge(dut.clk)
        self.master = AxiLiteMaster(AxiLiteBus.from_prefix(dut, "bus_"), dut.clk, dut.rst)
        self.starts: list[int] = []
        self.dones: list[int] = []
        self.writes: list[int] = []
        self.cycle = 0

    async def begin(self) -> None:
        names = ("done", "error_code", "busy", *COUNTERS, "step", "tokens", "kept__enable", "kept__index",
                 "kept__tokens")
        await start(self.dut, inputs=dict.fromkeys(names, 0))
        cocotb.start_soon(self._watch())

    async def _watch(self) -> None:
        while True:
            await self.edge
            self.cycle += 1
            if int(self.dut.start.value):
                self.starts.append(self.cycle)
            if int(self.dut.bus__awvalid.value) and int(self.dut.bus__awready.value):
                self.writes.append(self.cycle)
            if int(self.dut.done.value):
                self.dones.append(self.cycle)

    def stall(self, probability: float, seed: int) -> None:
        """Random pauses on all five channels."""
        source = random.Random(seed)
        write: Any = self.master.write_if
        read: Any = self.master.read_if
        for channel in (write.aw_channel, write.w_channel, write.b_channel, read.ar_channel, read.r_channel):
            channel.set_pause_generator(source.random() < probability for _ in iter(int, 1))

    async def read(self, name: str, index: int = 0) -> int:
        return await self.read_at(offset(name, index))

    async def read_at(self, address: int) -> int:
        answer: Any = await self.master.read(address, 4)
        assert answer.resp == AxiResp.OKAY
        return int.from_bytes(answer.data, "little")

    async def write(self, name: str, value: int) -> None:
        await self.write_at(offset(name), value.to_bytes(4, "little"))

    async def write_at(self, address: int, data: bytes) -> None:
        answer: Any = await self.master.write(address, data)
        assert answer.resp == AxiResp.OKAY

    async def pulse_done(self, code: int = 0) -> None:
        self.dut.done.value, self.dut.error_code.value = 1, code
        await self.edge
        self.dut.done.value, self.dut.error_code.value = 0, 0xF
        await wait_cycles(self.dut, 3)

    async def run(self, code: int = 0) -> None:
        """A whole run."""
        await self.write("CTRL", START)
        await wait_cycles(self.dut, 5)
        await self.pulse_done(code)


async def opened(dut: Any) -> Bench:
    bench = Bench(dut)
    await bench.begin()
    return bench


@cocotb.test()
async def identity_and_reset_values(dut: Any) -> None:
    bench = await opened(dut)
    assert await bench.read("ID") == int.from_bytes(b"SIVT", "little")
    assert await bench.read("VERSION") == 2 << 16 | 3
    assert await bench.read("CONFIG_HASH") == HardwareConfig().config_hash()
    for register in REGISTERS:
        if register.name not in ("ID", "VERSION", "CONFIG_HASH"):
            for index in range(register.count):
                expected = IDLE if register.name == "CTRL" else 0
                assert await bench.read(register.name, index) == expected, register.name
    assert int(dut.watchdog.value) == DEFAULT_WATCHDOG
    assert not int(dut.interrupt.value) and not bench.starts


async def stored_registers(bench: Bench) -> None:
    """Random writes to every stored register, also in other order; each keeps its own value and reaches its port."""
    source = random.Random(1)
    stored = [register.name for register in REGISTERS if register.access is Access.RW and not register.fields]
    assert len(stored) == 11
    for _ in range(4):
        values = {name: source.getrandbits(32) | 1 for name in stored}
        for name in source.sample(stored, len(stored)):
            await bench.write(name, values[name])
        for name, value in values.items():
            kept = value & ~0xFFF if name.endswith(("_LO", "_STRIDE")) else value
            assert await bench.read(name) == kept, name
        for port, name in ADDRESSES.items():
            expected = values[f"{name}_HI"] << 32 | values[f"{name}_LO"] & ~0xFFF
            assert int(getattr(bench.dut, f"{port}_address").value) == expected
        for name in ("PROGRAM_WORDS", "IMAGES", "IMAGE_STRIDE", "OUTPUT_STRIDE"):
            assert int(getattr(bench.dut, name.lower()).value) == await bench.read(name)
        assert int(bench.dut.watchdog.value) == values["WATCHDOG"]
    for count, images in ((0, 1), (1, 1), (2, 2), (1 << 31, 1 << 31)):
        await bench.write("IMAGES", count)
        assert int(bench.dut.images.value) == images
    await bench.write("WATCHDOG", 0)
    assert int(bench.dut.watchdog.value) == DEFAULT_WATCHDOG


@cocotb.test()
async def stored_registers_without_stalls(dut: Any) -> None:
    await stored_registers(await opened(dut))


@cocotb.test()
async def stored_registers_with_random_stalls(dut: Any) -> None:
    bench = await opened(dut)
    bench.stall(0.5, 2)
    await stored_registers(bench)


@cocotb.test()
async def byte_strobes(dut: Any) -> None:
    bench = await opened(dut)
    at = offset("PROGRAM_WORDS")
    expected = bytearray(b"\x11\x22\x33\x44")
    await bench.write_at(at, bytes(expected))
    for first, data in ((0, b"\xA0"), (1, b"\xA1"), (2, b"\xA2"), (3, b"\xA3"), (0, b"\xB0\xB1"), (2, b"\xC2\xC3"),
                        (1, b"\xD1\xD2\xD3")):
        await bench.write_at(at + first, data)
        expected[first:first + len(data)] = data
        assert await bench.read_at(at) == int.from_bytes(expected, "little")
    # Control bits in byte 0 take no effect from a write to other bytes.
    await bench.write_at(offset("CTRL") + 1, b"\x01\x01\x01")
    await bench.write_at(offset("GIER") + 1, b"\x01")
    await bench.run()
    await bench.write_at(offset("ISR") + 1, b"\x01")
    assert len(bench.starts) == 1 and await bench.read("GIER") == 0 and await bench.read("ISR") == 1


@cocotb.test()
async def unknown_addresses(dut: Any) -> None:
    """Read 0, ignore writes, answer OKAY; writing read-only registers changes nothing either."""
    bench = await opened(dut)
    known = {register.offset + 4 * index for register in REGISTERS for index in range(register.count)}
    unknown = [at for at in range(0, 4096, 4) if at not in known]
    for at in [*unknown[::7], 0x18, 0x24, 0x30, 0x3C, 0x7C, 0xFC, 0x180, 0xFFC]:
        assert at in unknown
        await bench.write_at(at, b"\xFF\xFF\xFF\xFF")
        assert await bench.read_at(at) == 0, hex(at)
    for register in REGISTERS:
        if register.access is Access.RO:
            before = await bench.read(register.name)
            await bench.write(register.name, 0xFFFF_FFFF)
            assert await bench.read(register.name) == before, register.name
    assert await bench.read("CTRL") == IDLE and not bench.starts and not int(dut.interrupt.value)
    for name in ("GIER", "IER", "ISR", "PROGRAM_HI", "OUTPUT_HI", "WATCHDOG", "IMAGES"):
        assert await bench.read(name) == 0, name


@cocotb.test()
async def start_done_idle(dut: Any) -> None:
    """ap_start clears itself, start is one pulse, done and ready are cleared by reading."""
    bench = await opened(dut)
    for _ in range(3):
        before = len(bench.starts)
        await bench.write("CTRL", START)
        await wait_cycles(dut, 3)
        assert len(bench.starts) == before + 1
        assert await bench.read("CTRL") == 0
        assert await bench.read("STATUS") == 1
        await wait_cycles(dut, 40)
        assert len(bench.starts) == before + 1
        await bench.pulse_done()
        assert await bench.read("STATUS") == 0
        assert await bench.read("CTRL") == DONE | IDLE | READY
        assert await bench.read("CTRL") == IDLE
        assert await bench.read("ERROR") == Error.NONE
    await bench.write("CTRL", 0xFE)
    await wait_cycles(dut, 10)
    assert len(bench.starts) == 3, "only bit 0 starts"
    await bench.pulse_done()
    assert await bench.read("CTRL") == IDLE, "done without a run"
    assert await bench.read("ISR") == 1, "toggled by nothing but the three runs"


@cocotb.test()
async def start_waits(dut: Any) -> None:
    """For the end of a run, and for a busy core; ap_start reads 1 and ap_idle 0 meanwhile."""
    bench = await opened(dut)
    dut.busy.value = 1
    await bench.write("CTRL", START)
    await wait_cycles(dut, 20)
    assert not bench.starts
    assert await bench.read("CTRL") == START and await bench.read("STATUS") == 2
    dut.busy.value = 0
    await wait_cycles(dut, 3)
    assert len(bench.starts) == 1
    await bench.write("CTRL", START)
    await wait_cycles(dut, 20)
    assert len(bench.starts) == 1 and await bench.read("CTRL") == START
    await bench.pulse_done()
    assert len(bench.starts) == 2 and await bench.read("CTRL") == DONE | READY
    await bench.pulse_done()
    assert len(bench.starts) == 2 and await bench.read("CTRL") == DONE | IDLE | READY


@cocotb.test()
async def done_while_reading(dut: Any) -> None:
    """A done pulse in any cycle around a read of CTRL is seen by exactly one read."""
    bench = await opened(dut)
    for delay in range(12):
        await bench.write("CTRL", START)
        reading = cocotb.start_soon(bench.read("CTRL"))
        await wait_cycles(dut, delay)
        await bench.pulse_done()
        seen = bool(await reading & DONE) + bool(await bench.read("CTRL") & DONE)
        assert seen == 1, f"done {delay} cycles after the read was seen {seen} times"


@cocotb.test()
async def interrupts(dut: Any) -> None:
    """Output = GIER and any enabled cause; causes toggle on writing 1, whether enabled or not."""
    bench = await opened(dut)
    for code in (Error.NONE, Error.AXI_READ):
        for global_ in (0, 1):
            for enabled in range(4):
                await bench.write("GIER", global_)
                await bench.write("IER", enabled)
                assert not int(dut.interrupt.value)
                await bench.run(code)
                causes = 1 if code == Error.NONE else 3
                assert await bench.read("ISR") == causes
                assert int(dut.interrupt.value) == (global_ and bool(causes & enabled)), (code, global_, enabled)
                await bench.write("ISR", causes)
                await wait_cycles(dut, 2)
                assert await bench.read("ISR") == 0 and not int(dut.interrupt.value)
    await bench.write("ISR", 2)  # toggling sets a cause too
    await bench.write("IER", 2)
    await bench.write("GIER", 1)
    await wait_cycles(dut, 2)
    assert int(dut.interrupt.value) and await bench.read("ISR") == 2
    await bench.write("GIER", 0)
    await wait_cycles(dut, 2)
    assert not int(dut.interrupt.value)
    await bench.write("GIER", 0xFFFF_FFFE)
    await bench.write("IER", 0xFFFF_FFFF)
    await wait_cycles(dut, 2)
    assert await bench.read("GIER") == 0 and await bench.read("IER") == 3 and not int(dut.interrupt.value)


@cocotb.test()
async def causes_are_not_lost(dut: Any) -> None:
    """A cause that occurs in any cycle around the write that acknowledges the last one is recorded."""
    bench = await opened(dut)
    differences = set()
    for delay in range(10):
        await bench.run()
        await bench.write("CTRL", START)
        writing = cocotb.start_soon(bench.write("ISR", 1))
        await wait_cycles(dut, delay)
        await bench.pulse_done()
        await writing
        # Before the write the second cause merges with the first; in its cycle or later it must stand.
        difference = bench.dones[-1] - bench.writes[-1]
        differences.add(difference)
        value = await bench.read("ISR")
        assert value == (difference >= 0), f"cause {difference} cycles after the write: {value}"
        await bench.write("ISR", value)
    assert {-1, 0, 1} <= differences, differences


@cocotb.test()
async def errors(dut: Any) -> None:
    bench = await opened(dut)
    for code in Error:
        await bench.run(code)
        assert await bench.read("ERROR") == code
        assert await bench.read("STATUS") == (4 if code else 0)
    await bench.write("CTRL", START)
    await wait_cycles(dut, 5)
    assert await bench.read("ERROR") == Error.NONE, "a new run clears the code"


@cocotb.test()
async def cycle_counter(dut: Any) -> None:
    """From start to done, both included; again for the next run; still between."""
    bench = await opened(dut)
    for length in (1, 10, 300, 2):
        await bench.write("CTRL", START)
        await wait_cycles(dut, length)
        await bench.pulse_done()
        expected = bench.dones[-1] - bench.starts[-1] + 1
        await wait_cycles(dut, length)
        assert await bench.read("CYCLES_LO") == expected
        assert await bench.read("CYCLES_HI") == 0


@cocotb.test()
async def counters_and_state(dut: Any) -> None:
    """Each counter has its own address and all of its bits."""
    bench = await opened(dut)
    source = random.Random(3)
    for _ in range(6):
        values = {name: source.getrandbits(32) for name in COUNTERS}
        values |= {"step": source.getrandbits(16), "tokens": source.getrandbits(9)}
        for name, value in values.items():
            getattr(dut, name).value = value
        for name in source.sample(list(values), len(values)):
            assert await bench.read(name.upper()) == values[name], name


@cocotb.test()
async def tokens_kept(dut: Any) -> None:
    """Entries of the run; those not written since start read 0."""
    bench = await opened(dut)
    source = random.Random(4)
    for count in (32, 3, 0, 17):
        await bench.write("CTRL", START)
        await wait_cycles(dut, 5)
        expected = [0] * 32
        for index in source.sample(range(32), count):
            expected[index] = source.randrange(1, 512)
            dut.kept__enable.value, dut.kept__index.value, dut.kept__tokens.value = 1, index, expected[index]
            await bench.edge
            dut.kept__enable.value, dut.kept__tokens.value = 0, 0x155
        await bench.pulse_done()
        assert [await bench.read("TOKENS_KEPT", index) for index in range(32)] == expected
