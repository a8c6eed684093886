"""Program files: round trip, and every kind of damage is refused with a reason."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import safetensors
import safetensors.numpy

from flows.compile import Program, compile_program, config_for, load_program, save_program
from flows.contracts.artifact import save_artifact
from flows.contracts.errors import ArtifactError
from tests.factory import random_artifact


@pytest.fixture(scope="module")
def program() -> Program:
    """A small program."""
    artifact = random_artifact(depth=1)
    return compile_program(artifact, config_for(artifact))


def test_round_trip(program: Program, tmp_path: Path) -> None:
    """Nothing is lost, nothing else is left in the folder, and writing again gives the same file."""
    path = tmp_path / "deep" / "net.sievit"
    save_program(program, path)
    loaded = load_program(path, program.config)
    assert loaded.stream.tobytes() == program.stream.tobytes()
    assert loaded.config == program.config and loaded.manifest == program.manifest
    for left, right in zip(loaded.placements, program.placements, strict=True):
        for part in ("job", "source", "drain"):
            np.testing.assert_array_equal(getattr(left, part), getattr(right, part))
    first = path.read_bytes()
    save_program(loaded, path)
    assert path.read_bytes() == first and [file.name for file in path.parent.iterdir()] == ["net.sievit"]


def test_other_hardware(program: Program, tmp_path: Path) -> None:
    """The message names the field; the clock alone is no difference."""
    path = tmp_path / "p"
    save_program(program, path)
    with pytest.raises(ArtifactError, match=r"clusters 4 instead of 2\); compile it again"):
        load_program(path, program.config.replace(clusters=2))
    load_program(path, program.config.replace(clock_mhz=100.0))


def test_missing(tmp_path: Path) -> None:
    """No file."""
    with pytest.raises(ArtifactError, match="no program at .*sievit compile"):
        load_program(tmp_path / "nothing")


def test_not_a_program(tmp_path: Path) -> None:
    """Text, and an artifact."""
    (tmp_path / "text").write_text("hello")
    with pytest.raises(ArtifactError, match="no sievit program or is truncated"):
        load_program(tmp_path / "text")
    save_artifact(random_artifact(depth=1), tmp_path / "artifact")
    with pytest.raises(ArtifactError, match="safetensors file but no sievit program"):
        load_program(tmp_path / "artifact")


def test_truncated(program: Program, tmp_path: Path) -> None:
    """Any length short of the whole."""
    path = tmp_path / "p"
    save_program(program, path)
    data = path.read_bytes()
    for size in (0, 5, 200, len(data) // 2, len(data) - 1):
        path.write_bytes(data[:size])
        with pytest.raises(ArtifactError, match="truncated"):
            load_program(path)


def test_flipped_bits(program: Program, tmp_path: Path) -> None:
    """One bit anywhere, contents or description."""
    path = tmp_path / "p"
    save_program(program, path)
    data = path.read_bytes()
    for place in np.random.default_rng(0).integers(8, len(data), 40):
        damaged = bytearray(data)
        damaged[place] ^= 4
        path.write_bytes(bytes(damaged))
        with pytest.raises(ArtifactError):
            load_program(path)


def test_other_version(program: Program, tmp_path: Path) -> None:
    """A file of the future."""
    path = tmp_path / "p"
    save_program(program, path)
    with safetensors.safe_open(str(path), "np") as file:
        metadata = {key: text.replace('"format": 1', '"format": 99') for key, text in file.metadata().items()}
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    safetensors.numpy.save_file(tensors, str(path), metadata=metadata)
    with pytest.raises(ArtifactError, match="program format 99, this sievit reads 1"):
        load_program(path)


def test_stream_for_other_hardware_than_it_says(program: Program, tmp_path: Path) -> None:
    """The hash inside the stream counts, not only the description."""
    path = tmp_path / "p"
    save_program(dataclasses.replace(program, config=program.config.replace(fifo_words=128)), path)
    with pytest.raises(ArtifactError, match="was compiled for hardware .*, but says"):
        load_program(path)
