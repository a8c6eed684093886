"""cocotb bench of the memory model, driven by cocotbext-axi's master (the reference for AXI rules)."""

from __future__ import annotations

import itertools
import os
import random
from pathlib import Path
from typing import Any

import cocotb
from cocotb.triggers import RisingEdge, with_timeout
from cocotb.utils import get_sim_time
from cocotbext.axi import AxiBus, AxiMaster, AxiResp

from sim.bench import CLOCK_NS, start, wait_cycles

SIZE = 1 << 16


def contents() -> bytes:
    """What the memory holds at the start."""
    return random.Random(7).randbytes(SIZE)


async def reset(dut) -> None:
    """Reset, nothing connected."""
    inputs = {f"s_axi_{name}": 0 for name in ("awvalid", "wvalid", "bready", "arvalid", "rready")}
    await start(dut, clock="aclk", reset="aresetn", active=0, inputs=inputs)


async def ready(dut) -> Any:
    """Reset and connect a master (its type is opaque: the package has no annotations)."""
    await reset(dut)
    master = AxiMaster(AxiBus.from_prefix(dut, "s_axi"), dut.aclk, dut.aresetn, reset_active_level=False)
    await wait_cycles(dut, 2, clock="aclk")
    return master


def cycles_since(start_ns: float) -> int:
    """Clock cycles since a simulation time."""
    return round((get_sim_time("ns") - start_ns) / CLOCK_NS)


@cocotb.test()
async def random_traffic(dut):
    """Reads and writes of any length and alignment agree with a model, and the end state is dumped."""
    master, rng, model = await ready(dut), random.Random(1), bytearray(contents())
    if os.environ.get("PAUSES"):
        for channel in (master.read_if.r_channel, master.write_if.b_channel, master.write_if.w_channel):
            channel.set_pause_generator(itertools.cycle([rng.random() < 0.4 for _ in range(97)]))
    for _ in range(40):
        address, length = rng.randrange(SIZE - 5000), rng.choice([1, 3, 32, 64, 1000, 5000])
        if rng.random() < 0.5:
            data = rng.randbytes(length)
            await with_timeout(master.write(address, data), 100_000, "ns")
            model[address:address + length] = data
        else:
            read = await with_timeout(master.read(address, length), 100_000, "ns")
            assert bytes(read.data) == model[address:address + length], f"read of {length} bytes at {address:#x}"
    Path(os.environ["MODEL_FILE"]).write_bytes(bytes(model))


@cocotb.test()
async def parallel_reads(dut):
    """Several reads in flight with different ids: every one gets its own data."""
    master, data = await ready(dut), contents()
    wanted = [(address, 3000) for address in range(0, 48 * 1024, 6000)]
    reads = [cocotb.start_soon(master.read(address, length)) for address, length in wanted]
    for task, (address, length) in zip(reads, wanted, strict=True):
        read = await with_timeout(task, 200_000, "ns")
        assert bytes(read.data) == data[address:address + length]


@cocotb.test()
async def latency(dut):
    """First data comes LATENCY cycles after the address was taken."""
    await reset(dut)
    dut.s_axi_araddr.value, dut.s_axi_arlen.value, dut.s_axi_arburst.value = 0, 0, 1
    dut.s_axi_arsize.value, dut.s_axi_arvalid.value, dut.s_axi_rready.value = 4, 1, 1
    taken = None
    for cycle in range(1000):
        await RisingEdge(dut.aclk)
        if taken is None and int(dut.s_axi_arready.value):
            taken = cycle
            dut.s_axi_arvalid.value = 0
        if int(dut.s_axi_rvalid.value):
            assert taken is not None
            assert cycle - taken == int(os.environ["LATENCY"])
            return
    raise AssertionError("no answer")


@cocotb.test()
async def throughput(dut):
    """A long read runs at the given bytes per cycle (latency of the few bursts in flight hidden)."""
    master = await ready(dut)
    length, begin = 32 * 1024, get_sim_time("ns")
    await with_timeout(master.read(0, length), 1_000_000, "ns")
    cycles, rate = cycles_since(begin), float(os.environ["RATE"])
    assert 0.9 < length / cycles / rate <= 1.0, f"{length / cycles:.2f} bytes a cycle, expected {rate}"


@cocotb.test()
async def error(dut):
    """The poisoned address answers SLVERR for reads and writes, its neighbours do not; the outside DECERR."""
    master, bad = await ready(dut), int(os.environ["ERROR_AT"])
    assert (await master.read(bad, 1)).resp == AxiResp.SLVERR
    assert (await master.write(bad, b"x")).resp == AxiResp.SLVERR
    assert (await master.read(bad + 64, 64)).resp == AxiResp.OKAY
    assert (await master.write(bad - 64, bytes(64))).resp == AxiResp.OKAY
    assert (await master.read(SIZE, 4)).resp == AxiResp.DECERR


@cocotb.test()
async def dead(dut):
    """Requests are taken, and nothing ever comes back."""
    master = await ready(dut)
    read, write = cocotb.start_soon(master.read(0, 32)), cocotb.start_soon(master.write(0, bytes(32)))
    await wait_cycles(dut, 2000, clock="aclk")
    assert not read.done() and not write.done()


@cocotb.test()
async def crossing(dut):
    """A burst over a 4 KiB boundary: the simulation must end here."""
    await reset(dut)
    dut.s_axi_araddr.value, dut.s_axi_arlen.value, dut.s_axi_arburst.value = 4096 - 32, 7, 1
    dut.s_axi_arsize.value, dut.s_axi_arvalid.value = 4, 1
    await wait_cycles(dut, 20, clock="aclk")


@cocotb.test()
async def withdrawn(dut):
    """A request that is withdrawn before it is taken: the simulation must end here."""
    await reset(dut)
    dut.s_axi_araddr.value, dut.s_axi_arlen.value, dut.s_axi_arburst.value = 0, 0, 1
    dut.s_axi_arsize.value = 4
    for _ in range(200):
        dut.s_axi_arvalid.value = 1 - int(dut.s_axi_arvalid.value)
        await RisingEdge(dut.aclk)
