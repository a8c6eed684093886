"""cocotb bench of the image loader: words of some columns into the activation memory."""

from __future__ import annotations

from typing import Any

import cocotb
import numpy as np

from rtl.image_loader import ImageLoader
from rtl.packets import hello_layout
from sim.bench import encode, start
from tests.rtl.script import Script, bench_config, check_cycles, valid_outputs

CONFIG = bench_config()
UNIT = ImageLoader(CONFIG)
WIDE = CONFIG.rows_per_word
WATCH = ("request__start", "request__address", "request__words", "request__repeat", "request__stride", "words__ready",
         "loading", "write__enable",
         "write__column", "write__token", "write__data", "available")
REQUEST, WRITE = 2, 1
"""Cycles from the hello to the request, and from a word to its write."""
TO_DATA = 5
"""Cycles from the request to the first word; memory takes far longer."""


def random_word(rng: np.random.Generator) -> int:
    return int.from_bytes(rng.bytes(CONFIG.stream_bytes), "little")


async def frame(dut: Any, rng: np.random.Generator, tokens: int, pairs: int, gaps: float, *,
                again: bool = False) -> None:
    """One image: a request unless ``again``, and every word at its place in its cycle."""
    address, count, stride = int(rng.integers(1 << 40)) << 12, int(rng.integers(1, 1 << 32)), int(rng.integers(1 << 32))
    script = Script(dut, idle={"hello__valid": 0, "words__valid": 0, "address": address, "images": count,
                               "stride": stride, "again": again},
                    noise=("hello__payload", "words__payload"), seed=int(rng.integers(1 << 30)))
    begin = 2
    fields = {"image_tokens": tokens, "image_words": pairs, "magic": 0x1234, "words": 77}
    script.at(begin, hello__valid=1, hello__payload=encode(hello_layout, fields))
    cycle = end = begin + REQUEST + TO_DATA
    writes, available = {}, {begin + 1: 0}
    for pair in range(pairs):
        for token in range(tokens):
            cycle += 1 + int(rng.integers(1, 5) * (rng.random() < gaps))
            word = random_word(rng)
            script.at(cycle, words__valid=1, words__payload=word)
            writes[cycle + WRITE] = (pair, token, word)
            end = cycle
        available[cycle + WRITE] = WIDE * (pair + 1)
    seen = await script.run(WATCH, settle=4)
    assert valid_outputs(seen, "request__start", "request__address", "request__words", "request__repeat",
                         "request__stride") == ({} if again else {begin + REQUEST: (address, tokens * pairs, count,
                                                                                    stride)})
    # Words are taken from the second cycle after the HELLO to the image's last one.
    assert [at for at, ready in enumerate(seen["words__ready"]) if ready] == list(range(begin + 2, end + 1))
    assert seen["loading"] == seen["words__ready"]
    check_cycles(valid_outputs(seen, "write__enable", "write__column", "write__token", "write__data"), writes)
    count = seen["available"][0]
    for at, got in enumerate(seen["available"]):
        count = available.get(at, count)
        assert got == count, f"cycle {at}: {got} columns, expected {count}"


async def stop(dut: Any) -> None:
    """Clear, after which no words are taken."""
    script = Script(dut, idle={"clear": 0, "hello__valid": 0, "words__valid": 1})
    script.at(2, clear=1)
    seen = await script.run(WATCH, settle=9)
    assert not any(seen["words__ready"][3:]) and not any(seen["write__enable"][4:])


@cocotb.test()
async def images(dut):
    """Images of different sizes without a reset between, words back to back and with gaps."""
    await start(dut, inputs={"clear": 0, "hello__valid": 0, "words__valid": 0})
    rng = np.random.default_rng(1)
    most, pairs = CONFIG.max_tokens, CONFIG.act_cols // WIDE
    for tokens, count, gaps in ((most, pairs, 0.0), (most - 3, pairs - 1, 0.3), (1, 2, 0.0), (5, 1, 0.5)):
        await frame(dut, rng, tokens, count, gaps)


@cocotb.test()
async def no_image(dut):
    """A program without an image asks for nothing; the next one is served."""
    await start(dut, inputs={"clear": 0, "hello__valid": 0, "words__valid": 0})
    rng = np.random.default_rng(2)
    for tokens, pairs in ((0, 0), (9, 0), (0, 3)):
        script = Script(dut, idle={"hello__valid": 0, "words__valid": 0}, noise=("hello__payload", "words__payload"))
        script.at(1, hello__valid=1, hello__payload=encode(hello_layout, {"image_tokens": tokens,
                                                                           "image_words": pairs}))
        seen = await script.run(WATCH, settle=8)
        assert not any(seen["request__start"]) and not any(seen["write__enable"])
    await frame(dut, rng, 6, 2, 0.0)


@cocotb.test()
async def image_cut_short(dut):
    """A run that was stopped in the middle of an image leaves nothing behind."""
    await start(dut, inputs={"clear": 0, "hello__valid": 0, "words__valid": 0})
    rng = np.random.default_rng(3)
    script = Script(dut, idle={"hello__valid": 0, "words__valid": 0}, noise=("hello__payload", "words__payload"))
    script.at(1, hello__valid=1, hello__payload=encode(hello_layout, {"image_tokens": 7, "image_words": 2}))
    for cycle in range(8, 18):
        script.at(cycle, words__valid=1)
    seen = await script.run(WATCH, settle=4)
    assert sum(seen["write__enable"]) == 10 and seen["available"][-1] == WIDE and seen["words__ready"][-1]
    await stop(dut)
    await frame(dut, rng, 7, 2, 0.2)


@cocotb.test()
async def next_image_waits(dut):
    """Words that come before their HELLO stay where they are; the HELLO of a later image requests nothing."""
    await start(dut, inputs={"clear": 0, "hello__valid": 0, "words__valid": 0})
    rng = np.random.default_rng(4)
    idle = {"hello__valid": 0, "words__valid": 1, "again": 1}
    await frame(dut, rng, 7, 2, 0.0)
    script = Script(dut, idle=idle, noise=("hello__payload", "words__payload"))
    begin = 40
    script.at(begin, hello__valid=1, hello__payload=encode(hello_layout, {"image_tokens": 5, "image_words": 3}))
    seen = await script.run(WATCH, settle=40)
    assert not any(seen["request__start"])
    taken = range(begin + 2, begin + 2 + 15)
    assert [at for at, ready in enumerate(seen["words__ready"]) if ready] == list(taken)
    assert list(valid_outputs(seen, "write__enable")) == [at + WRITE for at in taken]
    assert seen["available"][-1] == 3 * WIDE
    await frame(dut, rng, 6, 2, 0.3, again=True)
    await frame(dut, rng, 4, 2, 0.0)
