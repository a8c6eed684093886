"""The C++ test bench: it finds differences, and networks run clean under the sanitizers and with ``ap_int``."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flows.contracts.artifact import TokenDrop
from flows.contracts.errors import MismatchError, SimulationError
from flows.contracts.hardware import HardwareConfig
from flows.hls_folder import run_testbench
from flows.hls_vectors import write_job
from hls_models.build import QUICK, SANITIZED, build_testbench
from tests.accelerator.hardware import EIGHT, FOUR_GROUPS, TWO, TWO_GROUPS
from tests.accelerator.networks import ALL_COLUMNS, threshold
from tests.factory import random_artifact
from tests.hls.networks import Case, make_case

AP_FLAGS = ("-O1", "-DSIEVIT_AP_INT", "-w")
AP_VARIABLE = "SIEVIT_AP_TYPES"


def cases(config: HardwareConfig, images: Sequence[int] = (0,)) -> list[Case]:
    """Token drops of both kinds, pruned blocks, empty columns and heads."""
    sizes: dict[str, Any] = {"width": 64, "heads": 2, "hidden": 64, "classes": 19}
    networks = [
        random_artifact(**sizes, depth=2, tokens=33, keep_blocks=0.5, seed=1,
                        drop={0: TokenDrop("topk", keep=20), 1: TokenDrop("topk", keep=1)}),
        random_artifact(**sizes, depth=2, tokens=50, keep_blocks=0.7, seed=2, drop={0: threshold(0.9, 50, 2)}),
        random_artifact(**sizes, depth=1, tokens=17, seed=3, empty_columns=ALL_COLUMNS),
        random_artifact(**sizes, depth=1, tokens=21, seed=4, empty_columns=(1, ("fc1", 2)), empty_heads=(1,),
                        drop={0: TokenDrop("topk", keep=0)}),
    ]
    return [make_case(network, config, images) for network in networks]


def write(folder: Path, given: Sequence[Case]) -> Path:
    """A job folder."""
    write_job(folder, [case.vector for case in given])
    return folder


@pytest.mark.parametrize(("name", "config", "flags"), [
    ("one group, as users run it", TWO, (*SANITIZED, "-march=native")),
    ("two groups", TWO_GROUPS, SANITIZED),
    ("four groups, widths checked", FOUR_GROUPS, (*SANITIZED, "-DSIEVIT_CHECKED")),
    ("divided columns", EIGHT, SANITIZED),
])
def test_clean_under_sanitizers(tmp_path: Path, name: str, config: HardwareConfig, flags: tuple[str, ...]) -> None:
    """Whole networks, several images: all words right, no bad access, no undefined operation."""
    verdict = run_testbench(write(tmp_path / name, cases(config, (0, 1))), config, flags)
    assert verdict.startswith("PASS: 4 frames, 8 images, ")
    assert verdict.endswith(" words compared, 0 wrong")


def ap_types() -> Path | None:
    """Folder of the vendor's ``ap_int.h``, which is in the package hls4ml, too."""
    if folder := os.environ.get(AP_VARIABLE):
        return Path(folder)
    package = importlib.util.find_spec("hls4ml")
    if package is None or package.origin is None:
        return None
    return Path(package.origin).parent / "templates" / "vivado" / "ap_types"


@pytest.mark.skipif(ap_types() is None, reason=f"needs {AP_VARIABLE}=folder with ap_int.h, or the package hls4ml")
def test_same_with_ap_int(tmp_path: Path) -> None:
    """The sources as Vitis HLS compiles them: all integers are ``ap_int``."""
    folder = ap_types()
    assert folder is not None
    write(tmp_path, cases(TWO_GROUPS))
    program = build_testbench(TWO_GROUPS, AP_FLAGS, includes=[folder])
    done = subprocess.run([program, tmp_path], capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("PASS: 4 frames, 4 images, ")


@pytest.fixture(name="job")
def fixture_job(tmp_path: Path) -> Path:
    """A job folder with one network and two images."""
    return write(tmp_path, [make_case(random_artifact(width=32, heads=1, depth=1, hidden=32, tokens=9, classes=5,
                                                      seed=5), TWO, (0, 1))])


def test_the_test_bench_finds_a_wrong_word(job: Path) -> None:
    """Any expected byte that is another one is a difference, and is named."""
    assert run_testbench(job, TWO, QUICK).startswith("PASS: 1 frames, 2 images")
    records = bytearray((job / "records.bin").read_bytes())
    for at in (32, len(records) // 2 // 64 * 64 + 40, len(records) - 32):
        other = bytearray(records)
        other[at] ^= 1
        (job / "records.bin").write_bytes(other)
        with pytest.raises(MismatchError, match=r"first difference at unit (X|A|KV|S|R|L), step \d+, column \d+"):
            run_testbench(job, TWO, QUICK)


def test_the_test_bench_misses_nothing(job: Path) -> None:
    """A word that is not written, or one too many."""
    content = json.loads((job / "job.json").read_text())
    records = (job / "records.bin").read_bytes()
    content["frames"][0]["records"][1] -= 1
    (job / "job.json").write_text(json.dumps(content))
    (job / "records.bin").write_bytes(records[:-64])
    with pytest.raises(MismatchError, match=r"image 1: \d+ words were written, \d+ expected"):
        run_testbench(job, TWO, QUICK)


def test_unusable_folders(job: Path) -> None:
    """One line that says what is wrong."""
    (job / "records.bin").unlink()
    with pytest.raises(SimulationError, match=r"cannot read .*records\.bin"):
        run_testbench(job, TWO, QUICK)


@pytest.mark.slow
def test_damaged_programs(tmp_path: Path) -> None:
    """Whatever a program says, nothing outside the memories is touched."""
    case = cases(TWO)[0]
    folder = write(tmp_path, [case])
    program = build_testbench(TWO, ("-O1", "-g", "-fsanitize=address"))
    memory = (folder / "memory.bin").read_bytes()
    start = json.loads((folder / "job.json").read_text())["frames"][0]["program"]
    rng = np.random.default_rng(6)
    stream = case.vector.program.stream
    ends = []
    for _ in range(150):
        damaged = bytearray(memory)
        word = int(rng.integers(0, stream.size // 32))
        for _ in range(rng.integers(1, 4)):
            damaged[start + word * 32 + int(rng.integers(0, 32))] = int(rng.integers(0, 256))
        (folder / "memory.bin").write_bytes(damaged)
        done = subprocess.run([program, folder], capture_output=True, text=True, check=False, timeout=60,
                              env={**os.environ, "ASAN_OPTIONS": "exitcode=99"})
        ends.append(done.returncode)
        assert done.returncode in (0, 1, 2), done.stderr
    assert {1, 2} <= set(ends)
