"""The comparison of probe records with the golden model: it must find every kind of difference."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from flows.contracts.artifact import TokenDrop
from flows.contracts.errors import MismatchError
from flows.contracts.hardware import HardwareConfig
from sim.compare import check_starts, compare, compare_logits, step_cycles
from sim.golden.network import run
from sim.probes import RECORD, START_UNIT, UNITS
from tests.factory import random_artifact, random_patches

HEADS, WIDTH, TOKENS, CLASSES = 3, 96, 21, 20
CONFIG = HardwareConfig(clusters=2, banks=2, max_tokens=48, max_width=96, max_hidden=128, max_patch=48, score_heads=2,
                        max_classes=32)
BLOCK_STEPS = ("qkv", "score.0", "context.0", "score.1", "context.1", "proj", "fc1", "fc2")
STEPS = ["embed", *(f"block{index}.{step}" for index in range(2) for step in BLOCK_STEPS), "head"]

Row = tuple[str, str, int, int, np.ndarray]


@pytest.fixture(name="golden", scope="module")
def fixture_golden() -> dict[str, np.ndarray]:
    """Checkpoints of a network with a token drop, three heads in two groups, and padded classes and keys."""
    artifact = random_artifact(width=WIDTH, heads=HEADS, depth=2, hidden=128, tokens=TOKENS, classes=CLASSES,
                               drop={0: TokenDrop("topk", keep=9)}, seed=3)
    return run(artifact, random_patches(artifact, 3), record=True).checkpoints


@pytest.fixture(name="records")
def fixture_records(golden: dict[str, np.ndarray]) -> np.ndarray:
    """Records as correct hardware would leave them."""
    rows = list(hardware_rows(golden))
    records = np.zeros(len(rows), RECORD)
    for index, (unit, step, column, token, lanes) in enumerate(rows):
        raw = np.ascontiguousarray(lanes).tobytes()
        records[index] = (UNITS[unit], STEPS.index(step), column, token, 100 + index, b"",
                          np.frombuffer(raw.ljust(32, b"\0"), np.uint8))
    return records


def words(unit: str, step: str, array: np.ndarray, first: int = 0) -> Iterator[Row]:
    """Words of a ``(tokens, channels)`` array whose channels are a multiple of 16."""
    for column in range(array.shape[1] // 16):
        for token in range(array.shape[0]):
            yield unit, step, first + column, token, array[token, 16 * column:16 * column + 16]


def hardware_rows(golden: dict[str, np.ndarray]) -> Iterator[Row]:
    """Every word that the units write, written down from the program format and not from the code under test."""
    yield from words("R", "embed", golden["embed"])
    for block in ("block0", "block1"):
        yield from words("X", f"{block}.qkv", golden[f"{block}.norm1"])
        yield from words("A", f"{block}.qkv", golden[f"{block}.query"])
        yield from words("KV", f"{block}.qkv", golden[f"{block}.key"])
        yield from words("KV", f"{block}.qkv", golden[f"{block}.value"], WIDTH // 16)
        for head in range(HEADS):
            group, local = divmod(head, 2)
            score = golden[f"{block}.score"][head]
            keys = -(-score.shape[1] // 16) * 16
            padded = np.full((score.shape[0], keys), -128, np.int8)
            padded[:, :score.shape[1]] = score
            # Three token blocks are rounded up to whole banks: four columns a head.
            yield from words("S", f"{block}.score.{group}", padded, 4 * local)
            channels = golden[f"{block}.context"][:, 32 * head:32 * head + 32]
            yield from words("A", f"{block}.context.{group}", channels, WIDTH // 16 + 2 * head)
        yield from words("R", f"{block}.proj", golden[f"{block}.proj"])
        yield from words("X", f"{block}.fc1", golden[f"{block}.norm2"])
        yield from words("A", f"{block}.fc1", golden[f"{block}.hidden"])
        yield from words("R", f"{block}.fc2", golden[f"{block}.mlp"])
    yield from words("X", "head", golden["norm"])
    logits = np.zeros((1, 32), np.int16)
    logits[0, :CLASSES] = golden["logits"]
    yield from words("L", "head", logits)


def place(records: np.ndarray, unit: str, step: str, column: int, token: int) -> int:
    """Index of one record."""
    found = np.flatnonzero((records["unit"] == UNITS[unit]) & (records["step"] == STEPS.index(step))
                           & (records["column"] == column) & (records["token"] == token))
    assert len(found) == 1
    return int(found[0])


def test_equal(golden: dict[str, np.ndarray], records: np.ndarray) -> None:
    """Correct records pass, in any order of columns, and everything is counted."""
    shuffled = records[np.random.default_rng(0).permutation(len(records))]
    result = compare(golden, shuffled, STEPS, CONFIG)
    assert set(result.checkpoints) == set(golden)
    assert result.records == len(records)
    assert result.integers == 16 * len(records)
    assert result.constant == ()


def test_token_drop_is_in_the_data(golden: dict[str, np.ndarray]) -> None:
    """The network under test does drop tokens."""
    assert golden["block0.context"].shape[0] == TOKENS
    assert golden["block0.proj"].shape[0] == 11


@pytest.mark.parametrize(("unit", "step", "column", "token", "byte", "pattern"), [
    ("X", "block1.qkv", 2, 7, 5, r"unit X \(layer norm output\), step block1.qkv, block1.norm1, token 7, channel 37: "),
    ("A", "block0.fc1", 1, 0, 15, r"block0.hidden, token 0, channel 31: "),
    ("KV", "block0.qkv", 6 + 1, 20, 0, r"block0.value, token 20, channel 16: "),
    ("S", "block0.score.1", 1, 4, 2, r"block0.score, head 2, token 4, key 18: "),
    ("S", "block0.score.0", 4 + 1, 4, 15, r"block0.score, head 1, token 4, key 31 \(padding\): .* golden -128"),
    ("A", "block1.context.1", 6 + 5, 3, 1, r"block1.context, token 3, channel 81: "),
    ("R", "block0.proj", 0, 10, 31, r"block0.proj, token 10, channel 15: "),
    ("L", "head", 1, 0, 2, r"logits, token 0, class 17: "),
    ("L", "head", 1, 0, 30, r"logits, token 0, class 31 \(padding\): hardware \d+, golden 0"),
])
def test_one_wrong_bit(golden: dict[str, np.ndarray], records: np.ndarray, unit: str, step: str, column: int,
                       token: int, byte: int, pattern: str) -> None:
    """One flipped bit is found and named, whatever the unit."""
    at = place(records, unit, step, column, token)
    records["data"][at, byte] ^= 4
    with pytest.raises(MismatchError, match=pattern) as caught:
        compare(golden, records, STEPS, CONFIG)
    assert f"(cycle {100 + at})" in str(caught.value)


def test_both_integers_are_named(golden: dict[str, np.ndarray], records: np.ndarray) -> None:
    """The message carries the values themselves."""
    at = place(records, "R", "embed", 1, 2)
    value = int(golden["embed"][2, 16])
    records["data"][at, 0] ^= 1
    with pytest.raises(MismatchError, match=f"hardware {value ^ 1}, golden {value} "):
        compare(golden, records, STEPS, CONFIG)


def test_first_in_time(golden: dict[str, np.ndarray], records: np.ndarray) -> None:
    """Of several wrong integers the message names the earliest, first by step, then by cycle."""
    for unit, step, column in (("R", "block1.fc2", 0), ("KV", "block0.qkv", 3), ("A", "block0.qkv", 4)):
        records["data"][place(records, unit, step, column, 1), 0] ^= 1
    records["cycle"][place(records, "KV", "block0.qkv", 3, 1)] = 5
    with pytest.raises(MismatchError, match=r"unit KV .*block0.key, token 1, channel 48"):
        compare(golden, records, STEPS, CONFIG)


def test_missing(golden: dict[str, np.ndarray], records: np.ndarray) -> None:
    """A word that never came."""
    at = place(records, "KV", "block1.qkv", 8, 9)
    with pytest.raises(MismatchError, match=r"unit KV .*block1.value: 1 of 132 words are missing, first column 8, "
                                            r"token 9"):
        compare(golden, np.delete(records, at), STEPS, CONFIG)


def test_unit_silent(golden: dict[str, np.ndarray], records: np.ndarray) -> None:
    """A unit that reports nothing at all does not pass."""
    silent = records[records["unit"] != UNITS["S"]]
    with pytest.raises(MismatchError, match=r"unit S .*words are missing"):
        compare(golden, silent, STEPS, CONFIG)


def test_twice(golden: dict[str, np.ndarray], records: np.ndarray) -> None:
    """A word that came twice, although it is right."""
    at = place(records, "A", "block0.context.0", 7, 4)
    with pytest.raises(MismatchError, match="column 7, token 4 was written twice"):
        compare(golden, np.append(records, records[at]), STEPS, CONFIG)


@pytest.mark.parametrize(("unit", "step", "column", "token"), [
    ("R", "block0.proj", 0, 11),        # a token that was dropped
    ("S", "block1.score.1", 4, 0),      # a head that does not exist
    ("A", "block0.context.0", 10, 0),   # a column of the next group
    ("L", "block0.fc1", 0, 0),          # a unit that has nothing to do in the step
])
def test_superfluous(golden: dict[str, np.ndarray], records: np.ndarray, unit: str, step: str, column: int,
                     token: int) -> None:
    """A word nobody expects."""
    extra = records[:1].copy()
    extra["unit"], extra["step"], extra["column"], extra["token"] = UNITS[unit], STEPS.index(step), column, token
    with pytest.raises(MismatchError, match=f"unit {unit} .*unexpected record of column {column}, token {token}"):
        compare(golden, np.append(records, extra), STEPS, CONFIG)


def test_what_the_hardware_leaves_out(golden: dict[str, np.ndarray], records: np.ndarray) -> None:
    """Unused columns and heads must be absent, and only they."""
    unused = {"block1.key": (2,), "block1.context": (4, 5), "block1.score": (2,)}
    step = {name: records["step"] == STEPS.index(name) for name in ("block1.qkv", "block1.context.1", "block1.score.1")}
    gone = (step["block1.qkv"] & (records["unit"] == UNITS["KV"]) & (records["column"] == 2)) | \
        step["block1.context.1"] | step["block1.score.1"]
    steps = [name for name in STEPS if name not in ("block1.context.1", "block1.score.1")]
    left = records[~gone].copy()
    left["step"] = [steps.index(STEPS[index]) for index in left["step"]]
    result = compare(golden, left, steps, CONFIG, unused)
    assert result.records == len(left) and set(result.checkpoints) == set(golden)
    with pytest.raises(MismatchError, match="unit KV .*block1.key: .*words are missing, first column 2"):
        compare(golden, left, steps, CONFIG, {**unused, "block1.key": ()})
    with pytest.raises(MismatchError, match="unit KV .*unexpected record of column 2"):
        compare(golden, records, STEPS, CONFIG, {"block1.key": (2,)})
    at = np.flatnonzero((left["step"] == steps.index("block1.qkv")) & (left["unit"] == UNITS["KV"])
                        & (left["column"] == 3))[0]
    left["data"][at, 0] ^= 1
    with pytest.raises(MismatchError, match=r"block1.key, token \d+, channel 48"):
        compare(golden, left, steps, CONFIG, unused)
    everything = {name: range(6) for name in ("block2.query",)}
    with pytest.raises(MismatchError, match="checkpoint block2.proj was never compared"):
        compare({**golden, "block2.query": golden["block1.query"], "block2.proj": golden["embed"]}, records, STEPS,
                CONFIG, everything)


def test_step_out_of_range(golden: dict[str, np.ndarray], records: np.ndarray) -> None:
    """A record of a step or unit that does not exist."""
    records["step"][-1] = len(STEPS)
    with pytest.raises(MismatchError, match="a record has step"):
        compare(golden, records, STEPS, CONFIG)


def test_empty(golden: dict[str, np.ndarray], records: np.ndarray) -> None:
    """No records at all is a difference."""
    with pytest.raises(MismatchError, match="words are missing"):
        compare(golden, records[:0], STEPS, CONFIG)


def test_checkpoint_left_over(golden: dict[str, np.ndarray], records: np.ndarray) -> None:
    """A checkpoint without a step is not silently skipped, nor is a step without a checkpoint."""
    with pytest.raises(MismatchError, match="checkpoint block2.proj was never compared"):
        compare({**golden, "block2.proj": golden["embed"]}, records, STEPS, CONFIG)
    without = {name: array for name, array in golden.items() if name != "block1.key"}
    with pytest.raises(MismatchError, match=r"no checkpoint 'block1.key'"):
        compare(without, records, STEPS, CONFIG)
    with pytest.raises(MismatchError, match="unknown step 'block0.what'"):
        compare(golden, records, [*STEPS, "block0.what"], CONFIG)


def test_constant_data_is_flagged(golden: dict[str, np.ndarray], records: np.ndarray) -> None:
    """Equality of constants proves little and is reported."""
    step = STEPS.index("block1.qkv")
    chosen = (records["step"] == step) & (records["unit"] == UNITS["A"])
    records["data"][chosen] = 0
    zero = {**golden, "block1.query": np.zeros_like(golden["block1.query"])}
    assert compare(zero, records, STEPS, CONFIG).constant == ("block1.query",)


def test_logits() -> None:
    """The output buffer: values and count."""
    golden = np.array([3, -4, 5], np.int16)
    compare_logits(golden, golden.copy())
    with pytest.raises(MismatchError, match=r"class 1: hardware 4, golden -4 \(1 of 3 differ\)"):
        compare_logits(golden, np.array([3, 4, 5], np.int16))
    with pytest.raises(MismatchError, match="hardware wrote 2, golden model has 3"):
        compare_logits(golden, golden[:2])


def test_step_starts() -> None:
    """Starts of steps are no outputs; they must be complete and in order, and they divide the cycles."""
    starts = np.zeros(3, RECORD)
    starts["unit"], starts["step"], starts["cycle"] = START_UNIT, range(3), (10, 25, 45)
    check_starts(starts, ["a", "b", "c"])
    assert step_cycles(starts, 100) == [15, 20, 65]
    for wrong in (starts[:2], starts[::-1], np.append(starts, starts[2:])):
        with pytest.raises(MismatchError, match="started"):
            check_starts(wrong, ["a", "b", "c"])
