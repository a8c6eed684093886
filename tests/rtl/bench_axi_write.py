"""cocotb bench of the AXI write master; the bus width is that of the build."""

from __future__ import annotations

from typing import Any

import cocotb
from cocotb.triggers import RisingEdge
from cocotbext.axi import AxiRamWrite, AxiWriteBus

from rtl.axi_write import BURST_WORDS
from sim.bench import Gaps, check_equal, send_stream, start, wait_cycles
from tests.rtl.axi_models import PAGE_BYTES, WriteMemory, random_words

AT = 0x0000_7F5A_0010_0000
LENGTHS = (1, 2, 3, 15, 17, 63, 64, 65, 127, 129, 200)


async def begin(dut: Any) -> None:
    names = ("start", "clear", "i__valid", "i__payload", "bus__awready", "bus__wready", "bus__bvalid")
    await start(dut, inputs=dict.fromkeys(names, 0))


async def request(dut: Any, address: int, words: int) -> None:
    """Pulse start; the address and length are garbage outside that cycle."""
    dut.start.value, dut.address.value, dut.words.value = 1, address, words
    await RisingEdge(dut.clk)
    dut.start.value, dut.address.value, dut.words.value = 0, 0xBAD << 12, 77


async def clear(dut: Any) -> None:
    """Pulse clear."""
    dut.clear.value = 1
    await RisingEdge(dut.clk)
    dut.clear.value = 0


async def wait_done(dut: Any, timeout: int = 5000) -> None:
    await RisingEdge(dut.clk)
    for _ in range(timeout):
        if not int(dut.busy.value):
            return
        await RisingEdge(dut.clk)
    raise AssertionError(f"still busy after {timeout} cycles")


def bursts_of(dut: Any, address: int, words: int) -> list[tuple[int, int]]:
    """The bursts a transfer must be cut into."""
    sizes = [min(BURST_WORDS, words - first) for first in range(0, words, BURST_WORDS)]
    bits = len(dut.bus__wdata)
    return [(address + 32 * BURST_WORDS * index, -(-256 * size // bits)) for index, size in enumerate(sizes)]


async def write(dut: Any, memory: WriteMemory, words: list[int], gaps: Gaps | None) -> None:
    """One transfer: bytes, bursts and responses, and nothing beside them."""
    memory.content.clear()
    memory.bursts.clear()
    memory.responses = 0
    # One word more than asked for is on offer: it must not be taken.
    source = cocotb.start_soon(send_stream(dut, "i", [*words, 0xDEAD], gaps=gaps))
    await request(dut, AT, len(words))
    await wait_done(dut)
    assert memory.responses == len(memory.bursts), "done before all responses"
    await wait_cycles(dut, 30)
    assert not source.done(), "took more words than asked for"
    source.cancel()
    dut.i__valid.value = 0
    check_equal(memory.words(AT, len(words)), words, constant_ok=len(words) == 1)
    assert len(memory.content) == 32 * len(words), "bytes written outside the buffer"
    assert memory.bursts == bursts_of(dut, AT, len(words))
    assert not int(dut.error.value)


@cocotb.test()
async def lengths_without_stalls(dut: Any) -> None:
    await begin(dut)
    memory = WriteMemory(dut, "bus")
    for words in LENGTHS:
        await write(dut, memory, random_words(words, words), None)


@cocotb.test()
async def lengths_with_random_stalls(dut: Any) -> None:
    await begin(dut)
    memory = WriteMemory(dut, "bus", stall=0.5, seed=1)
    for words in LENGTHS:
        await write(dut, memory, random_words(words, words), Gaps(0.4, seed=words))


@cocotb.test()
async def slow_source(dut: Any) -> None:
    await begin(dut)
    memory = WriteMemory(dut, "bus")
    await write(dut, memory, random_words(37, 2), Gaps(0.9, longest=9, seed=3))


@cocotb.test()
async def takes_nothing_without_start(dut: Any) -> None:
    await begin(dut)
    memory = WriteMemory(dut, "bus")
    source = cocotb.start_soon(send_stream(dut, "i", [1]))
    await wait_cycles(dut, 20)
    await request(dut, AT, 0)
    for _ in range(20):
        await RisingEdge(dut.clk)
        assert not int(dut.busy.value)
    assert not source.done() and not memory.bursts


@cocotb.test()
async def start_while_busy_is_ignored(dut: Any) -> None:
    await begin(dut)
    memory = WriteMemory(dut, "bus")
    words = random_words(20, 4)
    await request(dut, AT, 20)
    await wait_cycles(dut, 3)
    await request(dut, AT + 4 * PAGE_BYTES, 3)
    await send_stream(dut, "i", words)
    await wait_done(dut)
    await wait_cycles(dut, 30)
    assert memory.words(AT, 20) == words
    assert memory.bursts == bursts_of(dut, AT, 20)


@cocotb.test()
async def low_address_bits_are_zero(dut: Any) -> None:
    await begin(dut)
    memory = WriteMemory(dut, "bus")
    await request(dut, AT + PAGE_BYTES - 1, 2)
    await send_stream(dut, "i", [7, 8])
    await wait_done(dut)
    assert memory.words(AT, 2) == [7, 8]


@cocotb.test()
async def error_response(dut: Any) -> None:
    """An error in a middle burst: the rest is written, the error stays until clear."""
    await begin(dut)
    memory = WriteMemory(dut, "bus", stall=0.2, error_at=(AT + (BURST_WORDS + 4) * 32,))
    await write(dut, memory, random_words(BURST_WORDS, 5), None)
    words = random_words(3 * BURST_WORDS, 6)
    memory.bursts.clear()
    source = cocotb.start_soon(send_stream(dut, "i", words))
    await request(dut, AT, 3 * BURST_WORDS)
    await wait_done(dut)
    await source
    assert memory.bursts == bursts_of(dut, AT, 3 * BURST_WORDS)
    assert int(dut.error.value)
    await wait_cycles(dut, 50)
    assert int(dut.error.value), "error must stay until clear"
    await clear(dut)
    await wait_cycles(dut, 2)
    assert not int(dut.error.value)
    await write(dut, memory, random_words(9, 7), None)


@cocotb.test()
async def clear_during_a_transfer(dut: Any) -> None:
    """Whenever clear comes, the bus protocol is kept, busy ends, no byte is wrong, and the next transfer is whole."""
    await begin(dut)
    memory = WriteMemory(dut, "bus", stall=0.5, seed=8, error_at=(AT + 5 * 32,))
    words = random_words(40, 9)
    completed_early = 0
    for delay in range(60):
        memory.content.clear()
        memory.bursts.clear()
        source = cocotb.start_soon(send_stream(dut, "i", words[:delay % 13]))  # too few: the burst waits for data
        await request(dut, AT, 40)
        await wait_cycles(dut, delay)
        await clear(dut)
        await wait_done(dut)
        await wait_cycles(dut, 3)
        source.cancel()
        dut.i__valid.value = 0
        assert not int(dut.error.value), "error of a cleared transfer"
        assert memory.bursts == bursts_of(dut, AT, 40)[:len(memory.bursts)]
        for place, byte in memory.content.items():
            index = (place - AT) // 32
            assert byte == words[index] >> (place - AT) % 32 * 8 & 0xFF, f"wrong byte at {place - AT}"
        completed_early += len(memory.bursts) == 0
        await request(dut, AT + PAGE_BYTES, 3)
        await send_stream(dut, "i", words[:3])
        await wait_done(dut)
        assert memory.words(AT + PAGE_BYTES, 3) == words[:3]
    assert 0 < completed_early < 20, "clear before and after the first address must both occur"


@cocotb.test()
async def start_while_a_cleared_transfer_ends(dut: Any) -> None:
    """The new transfer follows the rest of the old burst, and takes nothing but its own words, whenever it starts."""
    await begin(dut)
    memory = WriteMemory(dut, "bus", stall=0.6, seed=13)
    words = random_words(21, 14)
    while_busy = 0
    delays = [*range(1, 70), *range(130, 150), *range(300, 310)]
    for delay in delays:
        memory.content.clear()
        memory.bursts.clear()
        await request(dut, AT, 40)
        await wait_cycles(dut, 4)
        await clear(dut)
        await wait_cycles(dut, delay)
        while_busy += int(dut.busy.value)
        source = cocotb.start_soon(send_stream(dut, "i", words))
        await request(dut, AT + PAGE_BYTES, 21)
        await wait_done(dut)
        await wait_cycles(dut, 3)
        assert source.done()
        check_equal(memory.words(AT + PAGE_BYTES, 21), words)
        assert len(memory.content) == 21 * 32
        assert memory.bursts == bursts_of(dut, AT, 40)[:1] + bursts_of(dut, AT + PAGE_BYTES, 21)
    assert 5 < while_busy < len(delays), "starts must come before and after the end of the old burst"


@cocotb.test()
async def dead_memory(dut: Any) -> None:
    """No answer: busy stays, clear does not withdraw the address, and the burst is completed when it can be."""
    await begin(dut)
    memory = WriteMemory(dut, "bus")
    memory.dead = True
    await wait_cycles(dut, 2)
    await request(dut, AT, 4)
    await wait_cycles(dut, 200)
    assert int(dut.busy.value)
    await clear(dut)
    await wait_cycles(dut, 50)
    assert int(dut.busy.value)
    memory.dead = False
    await wait_done(dut)
    assert memory.bursts == bursts_of(dut, AT, 4) and not memory.content
    await write(dut, memory, random_words(4, 10), None)


@cocotb.test()
async def latency(dut: Any) -> None:
    """The cycles that the docstring promises."""
    await begin(dut)
    WriteMemory(dut, "bus")
    await wait_cycles(dut, 2)
    await request(dut, AT, 2)
    await RisingEdge(dut.clk)
    assert int(dut.busy.value) and not int(dut.bus__awvalid.value)
    await RisingEdge(dut.clk)
    assert int(dut.bus__awvalid.value)
    await wait_cycles(dut, 5)
    assert not int(dut.bus__wvalid.value)
    await send_stream(dut, "i", [1])
    if len(dut.bus__wdata) == 512:  # a beat needs the second word
        await wait_cycles(dut, 5)
        assert not int(dut.bus__wvalid.value)
        await send_stream(dut, "i", [2])
    elif len(dut.bus__wdata) == 128:  # the word is given up with its second beat
        assert int(dut.bus__wvalid.value)
    await RisingEdge(dut.clk)
    assert int(dut.bus__wvalid.value)


@cocotb.test()
async def against_cocotbext_ram(dut: Any) -> None:
    """An AXI memory written by somebody else, with pauses on all channels."""
    await begin(dut)
    ram = AxiRamWrite(AxiWriteBus.from_prefix(dut, "bus_"), dut.clk, dut.rst, size=1 << 20)
    gaps = Gaps(0.3, seed=11)
    for channel in (ram.aw_channel, ram.w_channel, ram.b_channel):
        channel.set_pause_generator(bool(gaps.length()) for _ in iter(int, 1))
    words = random_words(63, 12)
    ram.write(0x3000, bytes(64 * 32))
    source = cocotb.start_soon(send_stream(dut, "i", words))
    await request(dut, 0x3000, 63)
    await wait_done(dut)
    await source
    assert ram.read(0x3000, 64 * 32) == b"".join(word.to_bytes(32, "little") for word in words) + bytes(32)
    assert not int(dut.error.value)
