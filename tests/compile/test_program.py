"""Programs, executed by an interpreter that knows only the format, give what the golden model gives."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import pytest

from flows.compile import compile_program, config_for, image_words
from flows.compile.program import Program
from flows.contracts.artifact import SparseVit, TokenDrop
from flows.contracts.program import Dest
from sim.golden.network import run
from tests.compile.interpreter import Interpreter, RuleBrokenError
from tests.factory import random_artifact, random_patches, silence


def columns(memory: np.ndarray, first: int, count: int, tokens: int) -> np.ndarray:
    """``(tokens, count * 16)`` from consecutive columns."""
    return memory[first:first + count, :tokens].transpose(1, 0, 2).reshape(tokens, -1)


def step_tensors(artifact: SparseVit, program: Program, name: str, result: dict) -> dict[str, np.ndarray]:
    """Checkpoints that a step completes, by golden's names."""
    cols, before, after = artifact.width // 16, result["before"], result["after"]
    block, _, kind = name.partition(".")
    if name == "head":
        return {"norm": columns(result["x"], 0, cols, 1), "logits": result["logits"].reshape(-1)}
    if kind == "qkv":
        return {f"{block}.norm1": columns(result["x"], 0, cols, before),
                f"{block}.query": columns(result["a"], 0, cols, before),
                f"{block}.key": columns(result["kv"], 0, cols, before),
                f"{block}.value": columns(result["kv"], cols, cols, before)}
    if kind == "proj":
        return {f"{block}.context": columns(result["a"], cols, cols, before),
                f"{block}.proj": columns(result["r"], 0, cols, after)}
    if kind == "fc1":
        hidden = len(result["drained"])
        return {f"{block}.norm2": columns(result["x"], 0, cols, before),
                f"{block}.hidden": columns(result["a"], 0, hidden, before)}
    if name == "embed" or kind == "fc2":
        return {f"{block}.mlp" if kind else name: columns(result["r"], 0, cols, before)}
    return {}


def scores(artifact: SparseVit, program: Program, names: list[str], results: dict[int, dict], block: str) -> np.ndarray:
    """Score tensor of a block, gathered from the steps of its head groups."""
    heads, size, stride = artifact.heads, program.config.score_heads, program.config.score_stride
    steps = {int(name.rpartition("score.")[2] or 0) if name.count(".") > 1 else 0: index
             for index, name in enumerate(names) if name.startswith(f"{block}.score")}
    tokens = results[names.index(f"{block}.proj")]["before"]
    parts = [columns(results[steps[head // size]]["s"], (head % size) * stride, stride, tokens)[:, :tokens]
             if head // size in steps else np.zeros((tokens, tokens)) for head in range(heads)]
    return np.stack(parts)


def without(name: str, tensor: np.ndarray, unused: Sequence[int]) -> np.ndarray:
    """What of a checkpoint the program has to compute: all but columns, or heads, that change nothing."""
    if not unused:
        return tensor
    if name.endswith(".score"):
        return np.delete(tensor, unused, axis=0)
    return np.delete(tensor, [column * 16 + lane for column in unused for lane in range(16)], axis=1)


def execute(artifact: SparseVit, program: Program, seed: int = 0) -> Interpreter:
    """Run a program and compare every checkpoint of the golden model with it; none may be missing."""
    patches = random_patches(artifact, seed)
    machine = Interpreter(program.stream, image_words(program, patches), program.config)
    results = machine.run()
    names = [entry["name"] for entry in program.manifest["steps"]]
    assert len(names) == len(results)
    found: dict[str, np.ndarray] = {}
    for index, name in enumerate(names):
        found |= step_tensors(artifact, program, name, results[index])
    for block in range(len(artifact.blocks)):
        found[f"block{block}.score"] = scores(artifact, program, names, results, f"block{block}")
    golden = run(artifact, patches, record=True)
    assert set(found) == set(golden.checkpoints)
    for name, expected in golden.checkpoints.items():
        actual = found[name] if name != "logits" else found[name][:expected.size]
        if name == "block0.proj" or name.endswith("hidden"):
            assert expected.std() > 0
        unused = golden.unused.get(name, ())
        np.testing.assert_array_equal(without(name, actual, unused), without(name, expected, unused), err_msg=name)
    check_destinations(artifact, results)
    return machine


def check_destinations(artifact: SparseVit, results: dict[int, dict]) -> None:
    """Each step drains each of its columns once (the interpreter refuses twice)."""
    cols = artifact.width // 16
    counted = [len(result["drained"]) for result in results.values()]
    assert counted[0] == cols and counted[-1] == artifact.head.mask.shape[0]
    assert {column for dest, column in results[0]["drained"] if dest == Dest.R} == set(range(cols))


CASES = {
    "plain": ({}, {}),
    "one cluster": ({"tokens": 20}, {"clusters": 1}),
    "two clusters": ({"depth": 1, "tokens": 33}, {"clusters": 2, "banks": 4}),
    "three clusters": ({"depth": 1, "tokens": 33}, {"clusters": 3}),
    "eight clusters": ({"width": 128, "heads": 4, "depth": 1, "hidden": 256, "tokens": 50}, {"clusters": 8}),
    "sixteen clusters": ({"width": 192, "heads": 3, "depth": 1, "hidden": 384, "tokens": 40}, {"clusters": 16}),
    "columns on two clusters": ({"width": 96, "heads": 3, "depth": 2, "hidden": 192, "tokens": 50,
                                 "drop": {0: TokenDrop("topk", 20)}}, {"clusters": 8}),
    "and a threshold": ({"width": 96, "heads": 3, "depth": 2, "hidden": 192, "tokens": 50,
                         "drop": {0: TokenDrop("threshold", threshold=2500)}}, {"clusters": 8}),
    "few banks": ({"depth": 1, "tokens": 18}, {"clusters": 4, "banks": 2}),
    "two tokens": ({"tokens": 2, "depth": 1}, {}),
    "one patch column": ({"width": 16, "heads": 1, "hidden": 16, "tokens": 5, "classes": 3}, {}),
    "large config": ({"depth": 1, "tokens": 21},
                     {"max_tokens": 64, "max_width": 160, "max_hidden": 512, "max_classes": 77, "max_patch": 192}),
    "head groups": ({"width": 96, "heads": 3, "tokens": 37, "drop": {0: TokenDrop("topk", 11)}}, {"score_heads": 2}),
    "all pruned": ({"keep_blocks": 0.0, "depth": 1}, {}),
    "empty columns": ({"empty_columns": (0, 3, ("fc1", 5)), "empty_heads": (1,)}, {}),
    "dense": ({"keep_blocks": 1.0, "width": 96, "heads": 2, "hidden": 192}, {}),
    "classes": ({"classes": 33, "depth": 1}, {}),
    "top-k": ({"tokens": 40, "depth": 4, "drop": {0: TokenDrop("topk", 27), 1: TokenDrop("topk", 26),
                                                  2: TokenDrop("topk", 3), 3: TokenDrop("topk", 0)}}, {}),
    "top-k keeps all": ({"tokens": 20, "drop": {0: TokenDrop("topk", 19), 1: TokenDrop("topk", 300)}}, {}),
    "threshold": ({"tokens": 45, "depth": 4, "drop": {0: TokenDrop("threshold", threshold=2500),
                                                      1: TokenDrop("topk", 12),
                                                      2: TokenDrop("threshold", threshold=0)}}, {}),
    "threshold drops all": ({"tokens": 50, "drop": {0: TokenDrop("threshold", threshold=(1 << 21) - 1)}}, {}),
}


@pytest.mark.parametrize("name", CASES)
def test_program_equals_golden(name: str) -> None:
    """Every checkpoint, every rule of the format."""
    network, hardware = CASES[name]
    artifact = random_artifact(seed=len(name), **network)
    clusters = hardware.get("clusters", 4)
    options = {key: value for key, value in hardware.items() if key != "clusters"}
    program = compile_program(artifact, config_for(artifact, clusters=clusters, **options))
    machine = execute(artifact, program)
    if program.manifest["static"]:
        assert machine.slots == program.manifest["totals"]["slots"] and machine.skipped == 0
    assert machine.merged == sum(int((placed.merge >= 0).sum()) for placed in program.placements)
    assert machine.merged > 10 or name not in ("columns on two clusters", "and a threshold")


SILENT: dict[str, tuple[dict, dict, dict]] = {
    "one head": ({"tokens": 37}, {"pairs": (0, 1), "values": (0, 1)}, {}),
    "channels": ({"tokens": 37, "drop": {0: TokenDrop("topk", 20)}}, {"pairs": (1, 3), "values": (1, 2)}, {}),
    "a group of heads": ({"width": 96, "heads": 3, "tokens": 20}, {"pairs": (4, 5), "values": (4, 5)},
                         {"score_heads": 2}),
    "a head where tokens drop": ({"tokens": 37, "drop": {0: TokenDrop("topk", 20)}},
                                 {"pairs": (2, 3), "values": (2, 3)}, {}),
    "all pairs": ({"tokens": 20}, {"pairs": (0, 1, 2, 3)}, {}),
    "all values, threshold": ({"tokens": 37, "drop": {0: TokenDrop("threshold", threshold=3000)}},
                              {"values": (0, 1, 2, 3)}, {}),
    "everything": ({"tokens": 20}, {"pairs": (0, 1, 2, 3), "values": (0, 1, 2, 3)}, {}),
}


@pytest.mark.parametrize("name", SILENT)
def test_attention_that_changes_nothing_is_left_out(name: str) -> None:
    """The rest equals the golden model, which computes all of it, with fewer blocks."""
    network, parts, hardware = SILENT[name]
    whole = random_artifact(seed=7, keep_blocks=1.0, **network)
    artifact = silence(whole, **parts)
    config = config_for(artifact, **hardware)
    program = compile_program(artifact, config)
    execute(artifact, program)
    before, after = (sum(entry["blocks"] for entry in compiled.manifest["steps"] if "score" in entry["name"]
                         or "context" in entry["name"]) for compiled in (compile_program(whole, config), program))
    assert after < before
    assert any(run(artifact, random_patches(artifact)).unused.values())


def test_network_without_blocks() -> None:
    """Embedding and head alone."""
    artifact = dataclasses.replace(random_artifact(depth=1), blocks=())
    program = compile_program(artifact, config_for(artifact))
    assert [entry["name"] for entry in program.manifest["steps"]] == ["embed", "head"]
    execute(artifact, program)


def test_threshold_skips_slots() -> None:
    """Fewer tokens than scheduled for: slots of absent key blocks take no time, results stay right."""
    artifact = random_artifact(tokens=70, depth=2, drop={0: TokenDrop("threshold", threshold=(1 << 21) - 1)})
    program = compile_program(artifact, config_for(artifact, clusters=2))
    machine = execute(artifact, program)
    assert machine.skipped > 10
    assert not program.manifest["static"]
    assert [entry["static"] for entry in program.manifest["steps"] if entry["name"].startswith("block1")] == [False] * 6


def test_tokens_are_those_of_golden() -> None:
    """The manifest's token counts of a top-k network are exact."""
    artifact = random_artifact(tokens=40, depth=3, drop={0: TokenDrop("topk", 20), 2: TokenDrop("topk", 5)})
    program = compile_program(artifact, config_for(artifact))
    by_name = {entry["name"]: entry["tokens"] for entry in program.manifest["steps"]}
    assert [by_name[f"block{block}.fc1"] for block in range(3)] == run(artifact, random_patches(artifact)).tokens
    assert by_name["block0.proj"] == 40 and by_name["head"] == 1


def test_interpreter_notices_a_flipped_bit() -> None:
    """Every bit of a sample of the stream matters: weights, parameters, tables, headers."""
    artifact = random_artifact(depth=1, tokens=9)
    program = compile_program(artifact, config_for(artifact))
    rng = np.random.default_rng(3)
    noticed = total = 0
    used = int(np.flatnonzero(program.stream)[-1])
    for place in rng.choice(np.flatnonzero(program.stream[:used]), 60, replace=False):
        stream = program.stream.copy()
        stream[place] ^= 1 << 6
        total += 1
        try:
            execute(artifact, dataclasses.replace(program, stream=stream))
        except (AssertionError, KeyError, ValueError, IndexError, ZeroDivisionError):
            noticed += 1
    assert noticed >= 0.9 * total


def test_interpreter_refuses_rule_breaks() -> None:
    """A stream for other hardware, and one with trailing garbage, are refused."""
    artifact = random_artifact(depth=1, tokens=9)
    program = compile_program(artifact, config_for(artifact))
    image = image_words(program, random_patches(artifact))
    with pytest.raises(RuleBrokenError, match="other configuration"):
        Interpreter(program.stream, image, program.config.replace(fifo_words=256)).run()
    stream = program.stream.copy()
    stream[-1] = 1
    with pytest.raises(RuleBrokenError, match="something follows"):
        Interpreter(stream, image, program.config).run()


def test_compilation_is_deterministic_and_pure() -> None:
    """Equal inputs give equal bytes, also after another compilation in between."""
    artifact = random_artifact(depth=1, keep_blocks=0.5)
    first = compile_program(artifact, config_for(artifact))
    compile_program(random_artifact(depth=1, seed=5), config_for(artifact))
    again = compile_program(random_artifact(depth=1, keep_blocks=0.5), config_for(artifact))
    assert first.stream.tobytes() == again.stream.tobytes()
    assert first.manifest == again.manifest


def test_useful_macs_by_hand() -> None:
    """Counted once more from the definition."""
    artifact = random_artifact(tokens=20, depth=1, keep_blocks=1.0, classes=21)
    totals = {entry["name"]: entry["useful_macs"] for entry in
              compile_program(artifact, config_for(artifact)).manifest["steps"]}
    n, d, f, p = 20, 64, 128, 48
    assert totals == {"embed": (n - 1) * p * d, "block0.qkv": 3 * n * d * d, "block0.score": n * n * d,
                      "block0.context": n * n * d, "block0.proj": n * d * d, "block0.fc1": n * d * f,
                      "block0.fc2": n * d * f, "head": 21 * d}
