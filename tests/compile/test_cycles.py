"""The cycle model reacts to what costs cycles."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from flows.compile import compile_program, config_for, estimate
from flows.compile.layout import header_bytes
from flows.compile.memory_model import Reader
from flows.contracts.artifact import TokenDrop
from flows.contracts.errors import ArtifactError
from flows.contracts.hardware import HardwareConfig
from flows.contracts.program import CLUSTER, END, HELLO, SLOT, STEP, Kind, Post, Source, column_parameter_words
from flows.contracts.timing import Timing
from tests.factory import random_artifact

DEIT: dict[str, Any] = {"width": 192, "heads": 3, "depth": 2, "hidden": 768, "tokens": 197,
                         "patch_inputs": 768, "classes": 100}


def test_large_step_is_slots_times_tokens() -> None:
    """Where everything hides, a step costs its slots plus a barrier."""
    artifact = random_artifact(**DEIT, keep_blocks=1.0)
    program = compile_program(artifact, config_for(artifact))
    for entry in program.manifest["steps"]:
        ideal = entry["slots"] * entry["tokens"]
        if entry["name"].startswith("block"):
            assert ideal <= entry["expected_cycles"] <= ideal + 100, entry["name"]
        assert entry["expected_cycles"] >= entry["lower_bound_cycles"]
    totals = program.manifest["totals"]
    steps = sum(entry["expected_cycles"] for entry in program.manifest["steps"])
    assert steps < totals["expected_cycles"] < steps + 205


def test_pruning_and_dropping_save_cycles() -> None:
    """Cycles follow kept blocks and tokens."""
    def cycles(**options: Any) -> int:
        artifact = random_artifact(**DEIT, **options)
        return compile_program(artifact, config_for(artifact)).manifest["totals"]["expected_cycles"]
    dense = cycles(keep_blocks=1.0)
    pruned = cycles(keep_blocks=0.5)
    dropped = cycles(keep_blocks=0.5, drop={0: TokenDrop("topk", 96)})
    assert pruned < 0.72 * dense and dropped < 0.85 * pruned


def test_memory_costs() -> None:
    """Latency costs once, low bandwidth everywhere."""
    artifact = random_artifact(**DEIT)
    program = compile_program(artifact, config_for(artifact))
    base = estimate(program.stream, program.config).total
    late = estimate(program.stream, program.config, latency=400).total
    slow = estimate(program.stream, program.config, bytes_per_cycle=4).total
    assert base + 300 <= late < 1.25 * base
    assert slow >= program.stream.size / 4
    narrow = program.config.replace(bus_bits=128)
    assert base <= estimate(program.stream, narrow).total


def test_fewer_tokens_than_scheduled() -> None:
    """A threshold drop is estimated with the tokens that were really left."""
    artifact = random_artifact(**DEIT, drop={0: TokenDrop("threshold", threshold=1000)})
    program = compile_program(artifact, config_for(artifact))
    index = next(entry["index"] for entry in program.manifest["steps"] if entry["name"] == "block0.proj")
    most, few = estimate(program.stream, program.config), estimate(program.stream, program.config, alive={index: 60})
    assert most.total == program.manifest["totals"]["expected_cycles"]
    assert few.total < 0.8 * most.total
    assert [step.tokens for step in few.steps][index:index + 2] == [197, 60]
    assert few.steps[index + 4].slots < most.steps[index + 4].slots  # scores of absent key blocks


def hand_made(slots: int, tokens: int, config: HardwareConfig) -> np.ndarray:
    """A program of one step whose every slot has a block on every cluster; the last one drains."""
    step = {"kind": Kind.STEP, "source": Source.A, "post": Post.INT8, "tokens": tokens}
    parts = [header_bytes(config, (STEP, step))]
    for slot in range(slots):
        last = int(slot == slots - 1)
        parts.append(header_bytes(config, (SLOT, {"kind": Kind.SLOT, "drain": last}),
                                  *[(CLUSTER, {"valid": 1})] * config.clusters))
        words = config.block_words * config.clusters + column_parameter_words(config) * last
        parts.append(np.zeros(words * config.stream_bytes, np.uint8))
    parts.append(header_bytes(config, (END, {"kind": Kind.END})))
    body = np.concatenate(parts)
    hello = header_bytes(config, (HELLO, {"kind": Kind.HELLO, "words": 1 + body.size // config.stream_bytes}))
    return np.concatenate([hello, body])


def test_hand_counted_program() -> None:
    """Three slots of 50 tokens, counted by hand from the constants."""
    config = config_for(random_artifact(tokens=50), clusters=2)
    timing = Timing(start=10, read_pipe=4, slot_decode=1, finish=71, output_word=4, output_burst=-3, min_slot=16)
    result = estimate(hand_made(3, 50, config), config, latency=100, timing=timing)
    # Hello is taken at 10 + 100 + 1 + 4; step, slot header, a mask cycle, 16 block words.
    first = 115 + 1 + 1 + 1 + 16
    assert result.steps[0].cycles == first + 3 * 50
    assert result.total == first + 3 * 50 + 71 + 4 + 97
    short = estimate(hand_made(3, 2, config), config, latency=100, timing=timing)
    # Slots so short wait for the decoder: header, a mask cycle, 16 words, and 3 of parameters for the last one.
    assert short.steps[0].cycles == first + (1 + 1 + 16) + (1 + 1 + 16 + 3) + 16


def test_truncated_stream_is_refused() -> None:
    """A stream that ends early, and one with an unknown packet."""
    artifact = random_artifact(depth=1)
    program = compile_program(artifact, config_for(artifact))
    with pytest.raises(ArtifactError, match="ends within a packet|no end packet"):
        estimate(program.stream[:200 * program.config.stream_bytes], program.config)
    stream = program.stream.copy()
    stream[program.config.stream_bytes] = 9
    with pytest.raises(ArtifactError, match="unknown packet 9 at word 1"):
        estimate(stream, program.config)


def test_reader_is_limited_by_fifo_and_latency() -> None:
    """Two bursts in flight: two per round trip. Enough of them: one word per cycle."""
    timing, shallow, deep = Timing(start=0, read_pipe=0), HardwareConfig(fifo_words=128), HardwareConfig(fifo_words=512)
    two = Reader(640, 0, 1.0, 300, shallow, timing)
    many = Reader(640, 0, 1.0, 100, deep, timing)
    assert two.take(0, 640, 0, 1) == 4 * (300 + 64) + 300 + 128
    assert many.take(0, 640, 0, 1) == 100 + 640
    half = Reader(640, 0, 0.5, 100, deep, timing)
    assert half.take(0, 640, 0, 1) == 100 + 1280


def test_reader_shares_the_bus() -> None:
    """Image and program together take as long as their sum."""
    reader = Reader(640, 640, 1.0, 100, HardwareConfig(image_fifo_words=512), Timing(start=0, read_pipe=0))
    reader.request_image(0)
    both = max(reader.take(0, 640, 0, 1), reader.image_arrival(640))
    assert 100 + 1280 <= both <= 100 + 1280 + 64


def test_program_lets_the_image_pass() -> None:
    """With a deep FIFO the program does not take the memory from an image that has only just begun to arrive."""
    timing, deep = Timing(start=0, read_pipe=0), HardwareConfig(fifo_words=4096)
    ahead = timing.ahead_bytes // deep.stream_bytes
    reader = Reader(8192, 1024, 1.0, 100, deep, timing)
    reader.request_image(100)
    assert reader.image_arrival(1024) <= 100 + ahead + 1024 + 100
    assert reader.take(0, 4096, 0, 1) <= 100 + 4096 + 1024 + 64
