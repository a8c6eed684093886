"""Cycles and resources of points: the figures of the models, whatever asks for them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from boards.catalog import load_board
from flows.compile import compile_program, config_for, estimate
from flows.contracts.artifact import load_artifact
from flows.resources.model import resources_of
from flows.search.space import bytes_per_cycle
from flows.sweep.judge import Case, JudgeTask, judge
from flows.sweep.network import NetworkSpec


def look(artifact_file: Path, board: str | None, exact: bool = True, limits: dict[str, float] | None = None,
         **hardware: Any) -> dict[str, Any]:
    case = Case(tuple(sorted(hardware.items())), load_board(board) if board else None)
    (found,) = judge(JudgeTask(NetworkSpec("small", artifact=artifact_file), (case,),
                               tuple((limits or {}).items()), exact))
    return found


def test_without_a_board(artifact_file: Path) -> None:
    found = look(artifact_file, None, clusters=2)
    artifact = load_artifact(artifact_file)
    config = config_for(artifact, clusters=2)
    assert found["hardware"] == config.to_dict() and found["config_hash"] == f"{config.config_hash():08x}"
    assert found["cycles"] == estimate(compile_program(artifact, config).stream, config, latency=100).total
    assert found["milliseconds"] == found["cycles"] / 200_000
    assert found["resources"] == pytest.approx(resources_of(config).to_dict())
    assert (found["fits"], found["share"], found["why"]) == (True, None, "")
    assert 0 < found["utilization"] < 1


def test_on_a_board(artifact_file: Path) -> None:
    board = load_board("kv260")
    found = look(artifact_file, "kv260", clusters=2)
    hardware = found["hardware"]
    assert (hardware["multiplier"], hardware["bus_bits"], hardware["clock_mhz"]) == ("dsp48e2", 128, board.clock_mhz)
    artifact = load_artifact(artifact_file)
    config = config_for(artifact, clusters=2).replace(bus_bits=128)
    expected = estimate(compile_program(artifact, config).stream, config, bytes_per_cycle=bytes_per_cycle(board),
                        latency=100)
    assert found["cycles"] == expected.total
    assert found["fits"] and found["share"] == max(
        found["resources"][kind] / getattr(board.resources, kind) for kind in found["resources"])


def test_what_does_not_fit_says_why(artifact_file: Path) -> None:
    found = look(artifact_file, "arty-a7-100t", clusters=4, groups=2)
    assert not found["fits"] and found["why"].startswith("needs ") and found["share"] > 1
    assert found["hardware"]["multiplier"] in ("dsp48e1", "plain") and found["cycles"] > 0
    tight = look(artifact_file, "kv260", clusters=2, limits={"lut": .1})
    assert not tight["fits"] and "limit 10%" in tight["why"]


def test_no_configuration(artifact_file: Path) -> None:
    found = look(artifact_file, None, clusters=2, banks=2, stream_bits=512)
    assert found == {"left_out": "hardware.banks must be at least 4 with stream_bits 512, not 2"}
    assert "raise hardware.max_width to at least 64" in look(artifact_file, None, max_width=32)["left_out"]


def test_a_bound_is_below_the_cycles(artifact_file: Path) -> None:
    for board in (None, "kv260"):
        bound, cycles = (look(artifact_file, board, exact, clusters=4)["cycles"] for exact in (False, True))
        assert 0 < bound <= cycles


def test_dies_get_their_register_stages(artifact_file: Path) -> None:
    found = look(artifact_file, "u250", clusters=4, groups=4)
    assert found["fits"] and found["hardware"]["crossings"] >= 1
    fixed = look(artifact_file, "u250", clusters=4, groups=4, crossings=0)
    assert fixed["hardware"]["crossings"] == 0
