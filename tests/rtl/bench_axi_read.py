"""cocotb bench of the AXI read master; widths and FIFO depths are those of the build."""

from __future__ import annotations

import os
from itertools import pairwise
from typing import Any

import cocotb
from cocotb.triggers import RisingEdge
from cocotbext.axi import AxiRamRead, AxiReadBus

from flows.contracts.hardware import BURST_BYTES
from rtl.axi_read import burst_words
from sim.bench import Gaps, Monitor, check_equal, start, wait_cycles
from tests.rtl.axi_models import PAGE_BYTES, ReadMemory, random_words

PROGRAM, IMAGE = "program", "image"
PROGRAM_AT = 0x0000_7F5A_0010_0000
IMAGE_AT = 0x0000_7F5A_0400_3000
FIFO_WORDS = int(os.environ.get("FIFO_WORDS", "512"))
IMAGE_WORDS = int(os.environ.get("IMAGE_WORDS", "64"))
WORD_BITS = int(os.environ.get("STREAM_BITS", "256"))
WORD_BYTES = WORD_BITS // 8
BURST_WORDS = burst_words(WORD_BITS)
PAGE_WORDS = PAGE_BYTES // WORD_BYTES
LENGTHS = (1, 2, 3, 5, 31, 32, 33, 63, 64, 65, 127, 128, 129, 257)
THROUGHPUT = 0.97


def some_words(count: int, seed: int) -> list[int]:
    return random_words(count, seed, WORD_BITS)


def memory_of(dut: Any, buffers: dict[int, list[int]], **options: Any) -> ReadMemory:
    return ReadMemory(dut, "bus", buffers, word_bits=WORD_BITS, **options)


async def begin(dut: Any) -> None:
    names = ("next_image", "hold_program", "stop", "clear", "program_request__start", "image_request__start",
             "program__ready", "image__ready", "bus__arready", "bus__rvalid")
    await start(dut, inputs=dict.fromkeys(names, 0))


async def request(dut: Any, client: str, address: int, words: int, repeat: int = 0, stride: int = 0x5A5000) -> None:
    """Pulse start; what belongs to it is garbage outside that cycle."""
    values = {"start": 1, "address": address, "words": words, "repeat": repeat, "stride": stride}
    garbage = {"start": 0, "address": 0xBAD << 12, "words": 77, "repeat": 9, "stride": 0x77000}
    signals = {name: getattr(dut, f"{client}_request__{name}") for name in values}
    for name, value in values.items():
        signals[name].value = value
    await RisingEdge(dut.clk)
    for name, value in garbage.items():
        signals[name].value = value


async def pulse(dut: Any, name: str) -> None:
    getattr(dut, name).value = 1
    await RisingEdge(dut.clk)
    getattr(dut, name).value = 0


async def wait_idle(dut: Any, timeout: int = 4000) -> None:
    await RisingEdge(dut.clk)
    for _ in range(timeout):
        await RisingEdge(dut.clk)
        if int(dut.idle.value):
            return
    raise AssertionError(f"not idle after {timeout} cycles")


def beats_of(dut: Any, words: int) -> int:
    """Beats that a transfer needs."""
    return -(-words * WORD_BITS // len(dut.bus__rdata))


def bursts_of(dut: Any, owner: int, address: int, words: int) -> list[tuple[int, int, int]]:
    """The bursts a transfer must be cut into."""
    sizes = [min(BURST_WORDS, words - first) for first in range(0, words, BURST_WORDS)]
    return [(owner, address + index * BURST_BYTES, beats_of(dut, size)) for index, size in enumerate(sizes)]


async def expect(dut: Any, monitor: Monitor, words: list[int], *, timeout: int = 20_000,
                 constant_ok: bool = False) -> None:
    """Wait for ``words`` on a monitor that has seen nothing else, and that nothing follows them."""
    await monitor.wait_for(len(words), timeout=timeout)
    await wait_cycles(dut, 20)
    check_equal(monitor.words, words, constant_ok=constant_ok or len(words) == 1)
    monitor.words.clear()
    monitor.cycles.clear()


async def transfers(dut: Any, memory: ReadMemory, gaps: Gaps | None) -> None:
    """Program transfers of many lengths one after the other, without reset."""
    await begin(dut)
    monitor = Monitor(dut, PROGRAM, gaps=gaps)
    other = Monitor(dut, IMAGE)
    for words in LENGTHS:
        memory.bursts.clear()
        memory.beats = 0
        await request(dut, PROGRAM, PROGRAM_AT, words)
        await expect(dut, monitor, memory.buffers[PROGRAM_AT][:words])
        assert memory.bursts == bursts_of(dut, 0, PROGRAM_AT, words)
        assert memory.beats == beats_of(dut, words)
        assert int(dut.idle.value) and not int(dut.error.value)
    assert not other.words


def program_memory(dut: Any, words: int = 300, **options: Any) -> ReadMemory:
    return memory_of(dut, {PROGRAM_AT: some_words(words, 1)}, **options)


@cocotb.test()
async def lengths_without_stalls(dut: Any) -> None:
    await transfers(dut, program_memory(dut), None)


@cocotb.test()
async def lengths_with_random_stalls(dut: Any) -> None:
    await transfers(dut, program_memory(dut, stall=0.4, seed=2), Gaps(0.4, seed=3))


@cocotb.test()
async def full_fifo(dut: Any) -> None:
    """A consumer that does not take anything: no burst without room, and nothing is lost."""
    await begin(dut)
    words = some_words(FIFO_WORDS + 3 * BURST_WORDS + 1, 4)
    memory = memory_of(dut, {PROGRAM_AT: words})
    await request(dut, PROGRAM, PROGRAM_AT, len(words))
    await request(dut, IMAGE, IMAGE_AT, 0)  # no image lets the program be as far ahead as the FIFO allows
    await wait_cycles(dut, 12 * FIFO_WORDS)
    assert len(memory.bursts) == FIFO_WORDS // BURST_WORDS
    assert not int(dut.idle.value)
    await expect(dut, Monitor(dut, PROGRAM), words)
    assert memory.bursts == bursts_of(dut, 0, PROGRAM_AT, len(words))


async def both_clients(dut: Any, memory: ReadMemory, gaps: Gaps | None) -> None:
    await begin(dut)
    program, image = Monitor(dut, PROGRAM, gaps=gaps), Monitor(dut, IMAGE, gaps=gaps)
    for words in ((700, 501), (1, 130), (333, 1)):
        memory.bursts.clear()
        await request(dut, IMAGE, IMAGE_AT, words[1])
        await request(dut, PROGRAM, PROGRAM_AT, words[0])
        await program.wait_for(words[0], timeout=30_000)
        await expect(dut, image, memory.buffers[IMAGE_AT][:words[1]])
        await expect(dut, program, memory.buffers[PROGRAM_AT][:words[0]])
        needed = bursts_of(dut, 0, PROGRAM_AT, words[0]) + bursts_of(dut, 1, IMAGE_AT, words[1])
        assert sorted(memory.bursts) == sorted(needed)
        assert int(dut.idle.value) and not int(dut.error.value)


def two_buffers(dut: Any, **options: Any) -> ReadMemory:
    return memory_of(dut, {PROGRAM_AT: some_words(2100, 5), IMAGE_AT: some_words(600, 6)}, **options)


@cocotb.test()
async def both_clients_without_stalls(dut: Any) -> None:
    await both_clients(dut, two_buffers(dut), None)


@cocotb.test()
async def both_clients_with_stalls_and_interleaving(dut: Any) -> None:
    await both_clients(dut, two_buffers(dut, stall=0.3, interleave=True, latency=30, seed=7), Gaps(0.3, seed=8))


@cocotb.test()
async def clients_take_turns(dut: Any) -> None:
    """With both wanting bursts all the time, neither gets two while the other waits."""
    await begin(dut)
    memory = two_buffers(dut, latency=1)
    memory.dead = True  # holds the first address back until both clients want a burst
    Monitor(dut, PROGRAM)
    Monitor(dut, IMAGE)
    await request(dut, PROGRAM, PROGRAM_AT, 4 * BURST_WORDS)
    await request(dut, IMAGE, IMAGE_AT, 4 * BURST_WORDS)
    await wait_cycles(dut, 10)
    memory.dead = False
    await wait_idle(dut)
    owners = [owner for owner, _, _ in memory.bursts]
    assert sorted(owners) == [0] * 4 + [1] * 4
    assert owners[:2] == [0, 1], owners
    if min(FIFO_WORDS, IMAGE_WORDS) >= 4 * BURST_WORDS:  # else room in the FIFO decides
        assert owners == [0, 1] * 4, owners


@cocotb.test()
async def words_flow_every_cycle_at_latency_100(dut: Any) -> None:
    """Program alone: from the first word to the last."""
    await begin(dut)
    memory = two_buffers(dut, latency=100)
    monitor = Monitor(dut, PROGRAM)
    await request(dut, PROGRAM, PROGRAM_AT, 2048)
    await monitor.wait_for(2048, timeout=12_000)
    rate = 2047 / (monitor.cycles[-1] - monitor.cycles[0])
    bound = min(1.0, len(dut.bus__rdata) / WORD_BITS)
    dut._log.info("program: %.4f words per cycle, FIFO %d", rate, FIFO_WORDS)
    if FIFO_WORDS >= 256:
        assert rate >= THROUGHPUT * bound, rate
    assert monitor.words == memory.buffers[PROGRAM_AT][:2048]
    image = Monitor(dut, IMAGE)
    await request(dut, IMAGE, IMAGE_AT, 512)
    await image.wait_for(512, timeout=12_000)
    rate = 511 / (image.cycles[-1] - image.cycles[0])
    dut._log.info("image: %.4f words per cycle, FIFO %d", rate, IMAGE_WORDS)
    if IMAGE_WORDS >= 256:
        assert rate >= THROUGHPUT * bound, rate


@cocotb.test()
async def idle_and_first_word_latency(dut: Any) -> None:
    """The cycles that the docstring promises."""
    await begin(dut)
    program_memory(dut, latency=20)
    await wait_cycles(dut, 3)
    assert int(dut.idle.value)
    await request(dut, PROGRAM, PROGRAM_AT, 2)
    waited, beats, first, last, cycle = 0, 0, 0, 0, 0
    for cycle in range(1, 60):
        await RisingEdge(dut.clk)
        assert int(dut.idle.value) == int(beats == beats_of(dut, 2) and cycle > last + 1)
        waited = waited or (cycle if int(dut.bus__arvalid.value) else 0)
        beats += int(dut.bus__rvalid.value)
        last = cycle if int(dut.bus__rvalid.value) else last
        first = first or (cycle if beats == max(1, WORD_BITS // len(dut.bus__rdata)) else 0)
        if int(dut.program__valid.value):
            break
    assert waited == 3, waited
    assert cycle - first == 3, (cycle, first)


@cocotb.test()
async def requests_without_effect(dut: Any) -> None:
    """No words; and a start during a transfer."""
    await begin(dut)
    memory = two_buffers(dut, latency=40)
    monitor = Monitor(dut, PROGRAM)
    await request(dut, PROGRAM, PROGRAM_AT, 0)
    await wait_cycles(dut, 30)
    assert not memory.bursts and int(dut.idle.value)
    await request(dut, PROGRAM, PROGRAM_AT, 200)
    await wait_cycles(dut, 12)
    await request(dut, PROGRAM, IMAGE_AT, 100)
    await expect(dut, monitor, memory.buffers[PROGRAM_AT][:200])
    assert memory.bursts == bursts_of(dut, 0, PROGRAM_AT, 200)


@cocotb.test()
async def low_address_bits_are_zero(dut: Any) -> None:
    await begin(dut)
    memory = program_memory(dut)
    monitor = Monitor(dut, PROGRAM)
    await request(dut, PROGRAM, PROGRAM_AT + PAGE_BYTES - 1, 70)
    await expect(dut, monitor, memory.buffers[PROGRAM_AT][:70])


PASSES = ((1, 1), (1, 5), (3, 4), (31, 3), (32, 3), (33, 3), (63, 2), (64, 3), (65, 3), (129, 2), (200, 4))
"""Words of a pass, and how many passes."""


async def passes(dut: Any, gaps: Gaps | None, **options: Any) -> None:
    """Transfers of several passes: the same words again, or those of one buffer after the other, by both clients."""
    await begin(dut)
    pages = {IMAGE_AT + 4 * PAGE_BYTES * index: some_words(200, 20 + index) for index in range(5)}
    memory = memory_of(dut, {PROGRAM_AT: some_words(200, 19)} | pages, **options)
    program, image = Monitor(dut, PROGRAM, gaps=gaps), Monitor(dut, IMAGE, gaps=gaps)
    for words, repeat in PASSES:
        memory.bursts.clear()
        await request(dut, PROGRAM, PROGRAM_AT, words, repeat, 0)
        # The low bits of a stride are not looked at.
        await request(dut, IMAGE, IMAGE_AT, words, repeat, 4 * PAGE_BYTES + 0xFFF)
        expected = [word for page in list(pages)[:repeat] for word in pages[page][:words]]
        await image.wait_for(len(expected), timeout=30_000)
        await expect(dut, program, memory.buffers[PROGRAM_AT][:words] * repeat, constant_ok=words == 1)
        await expect(dut, image, expected)
        asked = {owner: [burst for burst in memory.bursts if burst[0] == owner] for owner in (0, 1)}
        assert asked[0] == bursts_of(dut, 0, PROGRAM_AT, words) * repeat
        assert asked[1] == [burst for page in list(pages)[:repeat] for burst in bursts_of(dut, 1, page, words)]
        assert int(dut.idle.value) and not int(dut.error.value)


@cocotb.test()
async def passes_without_stalls(dut: Any) -> None:
    await passes(dut, None)


@cocotb.test()
async def passes_with_stalls_and_interleaving(dut: Any) -> None:
    await passes(dut, Gaps(0.3, seed=14), stall=0.3, interleave=True, latency=30, seed=15)


@cocotb.test()
async def no_words_many_times(dut: Any) -> None:
    """Passes of no words are none."""
    await begin(dut)
    memory = program_memory(dut)
    monitor = Monitor(dut, PROGRAM)
    await request(dut, PROGRAM, PROGRAM_AT, 0, 5, PAGE_BYTES)
    await wait_cycles(dut, 40)
    assert not memory.bursts and int(dut.idle.value)
    await request(dut, PROGRAM, PROGRAM_AT, 70)
    await expect(dut, monitor, memory.buffers[PROGRAM_AT][:70])


@cocotb.test()
async def passes_follow_without_a_gap(dut: Any) -> None:
    """Fetching the next pass begins while words of the pass before are still on their way."""
    await begin(dut)
    memory = two_buffers(dut, latency=100)
    monitor = Monitor(dut, PROGRAM)
    words, count = 2 * BURST_WORDS + 1, 12
    await request(dut, PROGRAM, PROGRAM_AT, words, count, 0)
    await monitor.wait_for(count * words, timeout=30_000)
    assert monitor.words == memory.buffers[PROGRAM_AT][:words] * count
    rate = (count * words - 1) / (monitor.cycles[-1] - monitor.cycles[0])
    dut._log.info("passes: %.4f words per cycle, FIFO %d", rate, FIFO_WORDS)
    if FIFO_WORDS >= 256:
        # The half-used beat at the end of a pass comes on top.
        useful = words * WORD_BITS / (beats_of(dut, words) * len(dut.bus__rdata))
        assert rate >= THROUGHPUT * min(1.0, useful * len(dut.bus__rdata) / WORD_BITS), rate


@cocotb.test()
async def passes_held_back(dut: Any) -> None:
    """Hold lets the first pass through only; the others come when it falls, or are given up by the next start."""
    await begin(dut)
    memory = two_buffers(dut, latency=20)
    monitor = Monitor(dut, PROGRAM)
    words = BURST_WORDS + 3
    for resumed in (True, False, True):
        memory.bursts.clear()
        dut.hold_program.value = 1
        await request(dut, PROGRAM, PROGRAM_AT, words, 4, 0)
        await expect(dut, monitor, memory.buffers[PROGRAM_AT][:words])
        await wait_cycles(dut, 300)
        assert memory.bursts == bursts_of(dut, 0, PROGRAM_AT, words) and int(dut.idle.value)
        if resumed:
            dut.hold_program.value = 0
            await expect(dut, monitor, memory.buffers[PROGRAM_AT][:words] * 3)
            assert memory.bursts == bursts_of(dut, 0, PROGRAM_AT, words) * 4 and int(dut.idle.value)
    dut.hold_program.value = 1
    await request(dut, PROGRAM, IMAGE_AT, 5, 2, 0)
    await expect(dut, monitor, memory.buffers[IMAGE_AT][:5])
    # The image is not held back.
    image = Monitor(dut, IMAGE)
    await request(dut, IMAGE, IMAGE_AT, 5, 3, 0)
    await expect(dut, image, memory.buffers[IMAGE_AT][:5] * 3)
    dut.hold_program.value = 0
    await expect(dut, monitor, memory.buffers[IMAGE_AT][:5])


@cocotb.test()
async def later_images_do_not_delay_the_program(dut: Any) -> None:
    """Their bursts come one at a time and after the program's, until the image is needed."""
    await begin(dut)
    latency, words = 60, 4 * BURST_WORDS
    memory = two_buffers(dut, latency=latency)
    image = Monitor(dut, IMAGE)
    await request(dut, IMAGE, IMAGE_AT, words, 4, 0)
    await image.wait_for(2 * words, timeout=20_000)
    gaps = [after - before for before, after in pairwise(memory.accepted_at)]
    assert all(gap > latency for gap in gaps[4:]), gaps
    assert words > IMAGE_WORDS or max(gaps[:3]) < latency
    program = Monitor(dut, PROGRAM)
    await request(dut, PROGRAM, PROGRAM_AT, 2 * FIFO_WORDS)
    await program.wait_for(2 * FIFO_WORDS, timeout=40_000)
    await image.wait_for(4 * words, timeout=20_000)
    check_equal(image.words, memory.buffers[IMAGE_AT][:words] * 4)
    await wait_idle(dut)
    # From the pulse on, as many as there is room for.
    memory.bursts.clear()
    memory.accepted_at.clear()
    await pulse(dut, "clear")
    image.words.clear()
    await request(dut, IMAGE, IMAGE_AT, words, 3, 0)
    for count in (1, 2):
        await image.wait_for(count * words, timeout=20_000)
        await pulse(dut, "next_image")
    await image.wait_for(3 * words, timeout=20_000)
    check_equal(image.words, memory.buffers[IMAGE_AT][:words] * 3)
    gaps = [after - before for before, after in pairwise(memory.accepted_at)]
    assert words > IMAGE_WORDS or min(gaps[4:]) < latency, gaps


@cocotb.test()
async def cleared_between_passes(dut: Any) -> None:
    """Passes that have not begun are forgotten, wherever the clear comes."""
    await begin(dut)
    memory = two_buffers(dut, latency=25)
    monitor = Monitor(dut, PROGRAM)
    for delay in (3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 30, 61, 90, 150, 221):
        await request(dut, PROGRAM, PROGRAM_AT, 33, 1000, PAGE_BYTES)
        await wait_cycles(dut, delay)
        await pulse(dut, "clear")
        await wait_cycles(dut, 1)
        monitor.words.clear()
        await request(dut, PROGRAM, IMAGE_AT, 35, 2, 0)
        await expect(dut, monitor, memory.buffers[IMAGE_AT][:35] * 2)
        assert int(dut.idle.value)


async def error_response(dut: Any, client: str, address: int) -> None:
    await begin(dut)
    memory = two_buffers(dut, error_at=(address + 130 * WORD_BYTES,), stall=0.2)
    monitor = Monitor(dut, client)
    await request(dut, client, address, 128)
    await expect(dut, monitor, memory.buffers[address][:128])
    assert not int(dut.error.value), "error without an error response"
    await request(dut, client, address, 200)
    await monitor.wait_for(200, timeout=4000)
    assert int(dut.error.value)
    await wait_idle(dut)
    assert int(dut.error.value), "error must stay until clear"
    await pulse(dut, "clear")
    await wait_cycles(dut, 2)
    assert not int(dut.error.value)
    monitor.words.clear()
    await request(dut, client, address, 65)
    await expect(dut, monitor, memory.buffers[address][:65])
    assert not int(dut.error.value)


@cocotb.test()
async def error_response_to_program(dut: Any) -> None:
    await error_response(dut, PROGRAM, PROGRAM_AT)


@cocotb.test()
async def error_response_to_image(dut: Any) -> None:
    await error_response(dut, IMAGE, IMAGE_AT)


@cocotb.test()
async def stop_and_resume(dut: Any) -> None:
    """While stopped no new burst, and idle when those under way are over; afterwards the rest comes."""
    await begin(dut)
    memory = two_buffers(dut, latency=60, stall=0.2, seed=9)
    monitor = Monitor(dut, PROGRAM, gaps=Gaps(0.2, seed=10))
    await request(dut, PROGRAM, PROGRAM_AT, 1000)
    await monitor.wait_for(90, timeout=2000)
    dut.stop.value = 1
    await wait_idle(dut)
    issued = len(memory.bursts)
    assert issued < len(bursts_of(dut, 0, PROGRAM_AT, 1000))
    await wait_cycles(dut, 1500)
    assert len(memory.bursts) == issued and int(dut.idle.value)
    dut.stop.value = 0
    await expect(dut, monitor, memory.buffers[PROGRAM_AT][:1000])


@cocotb.test()
async def stop_clear_restart(dut: Any) -> None:
    """Stopped in the middle of both transfers, cleared when idle, started again without reset: only new words."""
    await begin(dut)
    memory = two_buffers(dut, latency=20)
    monitors = {PROGRAM: Monitor(dut, PROGRAM), IMAGE: Monitor(dut, IMAGE, gaps=Gaps(0.6, seed=11))}
    for round_ in range(5):
        await request(dut, PROGRAM, PROGRAM_AT, 999)
        await request(dut, IMAGE, IMAGE_AT, 555)
        await wait_cycles(dut, 100 + 37 * round_)
        dut.stop.value = 1
        await wait_idle(dut)
        await pulse(dut, "clear")
        await wait_cycles(dut, 2)
        dut.stop.value = 0
        for monitor in monitors.values():
            monitor.words.clear()
        await wait_cycles(dut, 200)
        assert not monitors[PROGRAM].words and not monitors[IMAGE].words, "words after clear"
        await request(dut, PROGRAM, IMAGE_AT, 67 + round_)
        await request(dut, IMAGE, PROGRAM_AT, 131 + round_)
        await monitors[IMAGE].wait_for(131 + round_, timeout=5000)
        await expect(dut, monitors[PROGRAM], memory.buffers[IMAGE_AT][:67 + round_])
        await expect(dut, monitors[IMAGE], memory.buffers[PROGRAM_AT][:131 + round_])
        assert int(dut.idle.value)


@cocotb.test()
async def clear_with_bursts_under_way(dut: Any) -> None:
    """Late data of a forgotten transfer is thrown away, errors in it included; the next transfer is whole."""
    await begin(dut)
    memory = two_buffers(dut, latency=80, error_at=(PROGRAM_AT + 40 * 32,))
    program, image = Monitor(dut, PROGRAM), Monitor(dut, IMAGE)
    # Cleared before the address is out, before the first beat, in and after the burst with the error.
    for delay in (2, 3, 4, 30, 85, 87, 110, 200, 240):
        await request(dut, PROGRAM, PROGRAM_AT, 999)
        await request(dut, IMAGE, IMAGE_AT, 555)
        await wait_cycles(dut, delay)
        await pulse(dut, "clear")
        await wait_cycles(dut, 1)
        for monitor in (program, image):
            monitor.words.clear()
        await request(dut, PROGRAM, IMAGE_AT, 129)
        await request(dut, IMAGE, PROGRAM_AT + PAGE_BYTES, 3)
        await image.wait_for(3, timeout=5000)
        await expect(dut, program, memory.buffers[IMAGE_AT][:129])
        await expect(dut, image, memory.buffers[PROGRAM_AT][PAGE_WORDS:PAGE_WORDS + 3])
        assert int(dut.idle.value) and not int(dut.error.value), delay


@cocotb.test()
async def dead_memory(dut: Any) -> None:
    """No answer: not idle, not even after clear; and when the memory comes back, the next transfer is right."""
    await begin(dut)
    memory = two_buffers(dut, dead=True)
    monitor = Monitor(dut, PROGRAM)
    await request(dut, PROGRAM, PROGRAM_AT, 100)
    await wait_cycles(dut, 300)
    assert not int(dut.idle.value) and not monitor.words
    dut.stop.value = 1
    await wait_cycles(dut, 300)
    assert not int(dut.idle.value), "an address that is out cannot be taken back"
    await pulse(dut, "clear")
    await wait_cycles(dut, 20)
    assert not int(dut.idle.value)
    dut.stop.value = 0
    await request(dut, PROGRAM, IMAGE_AT, 100)
    memory.dead = False
    await expect(dut, monitor, memory.buffers[IMAGE_AT][:100])


@cocotb.test()
async def against_cocotbext_ram(dut: Any) -> None:
    """An AXI memory written by somebody else, with pauses on both channels."""
    await begin(dut)
    words = some_words(400, 12)
    ram = AxiRamRead(AxiReadBus.from_prefix(dut, "bus_"), dut.clk, dut.rst, size=1 << 20)
    ram.write(0x3000, b"".join(word.to_bytes(WORD_BYTES, "little") for word in words))
    gaps = Gaps(0.3, seed=13)
    ram.r_channel.set_pause_generator(bool(gaps.length()) for _ in iter(int, 1))
    ram.ar_channel.set_pause_generator(bool(gaps.length()) for _ in iter(int, 1))
    monitor = Monitor(dut, PROGRAM)
    await request(dut, PROGRAM, 0x3000, 399)
    await expect(dut, monitor, words[:399])
    assert not int(dut.error.value)
