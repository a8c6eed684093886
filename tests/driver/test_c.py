"""The C driver: every flavour compiles without a warning, and it runs on the Verilator model of the generated top."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest

from flows.contracts.preprocess import code_table, pixel_patches
from flows.contracts.registers import Error, error_text
from sim.accelerator import verilog_of
from tests.driver.native import WARNINGS, build_model
from tests.driver.tiny import OTHER, TINY, Case, make_case

MAIN = Path(__file__).with_name("verilator_main.cpp")
FLAVOURS = {
    "linux": ["gcc", "-std=c99"],
    "c11": ["gcc", "-std=c11", "-O2", "-Wconversion", "-Wstrict-prototypes"],
    "c++": ["g++", "-x", "c++", "-std=c++11"],
    "bare metal": ["gcc", "-std=c99", "-ffreestanding", "-DVIT_NO_MAIN", "-Os"],
    "functions for registers": ["gcc", "-std=c99", "-DVIT_MMIO_FUNCTIONS"],
}


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_compiles(case: Case, flavour: str, tmp_path: Path) -> None:
    for name in ("vit_accel.c", "example.c"):
        done = subprocess.run([*FLAVOURS[flavour], *WARNINGS, "-c", str(case.folder / "c" / name), "-o",
                               str(tmp_path / "out.o")], capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == 0 and not done.stderr, done.stderr


def test_bare_metal_needs_nothing(case: Case, tmp_path: Path) -> None:
    """Compiled for speed, it calls nothing but what a compiler itself may call."""
    objects = []
    for name in ("vit_accel", "example"):
        objects.append(str(tmp_path / f"{name}.o"))
        subprocess.run(["gcc", "-std=c99", "-ffreestanding", "-DVIT_NO_MAIN", "-O2", "-c",
                        str(case.folder / "c" / f"{name}.c"), "-o", objects[-1]], check=True, timeout=60)
    subprocess.run(["ld", "-r", *objects, "-o", str(tmp_path / "all.o")], check=True, timeout=60)
    listed = subprocess.run(["nm", "--undefined-only", str(tmp_path / "all.o")], capture_output=True, text=True,
                            check=True, timeout=60).stdout
    missing = {line.split()[-1] for line in listed.splitlines()}
    assert missing <= {"memcpy", "memset", "memmove", "_GLOBAL_OFFSET_TABLE_"}


def test_example_says_what_is_wrong(case: Case, tmp_path: Path) -> None:
    folder = case.folder / "c"
    subprocess.run(["gcc", "-std=c99", str(folder / "vit_accel.c"), str(folder / "example.c"), "-o",
                    str(tmp_path / "example")], check=True, timeout=60)
    done = subprocess.run([str(tmp_path / "example")], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 2 and "usage:" in done.stderr
    done = subprocess.run([str(tmp_path / "example"), "none", "none", "0", "0", "0"], capture_output=True, text=True,
                          check=False, timeout=60)
    assert done.returncode == 1 and f"none: {case.program.stream.size} bytes expected" in done.stderr


@pytest.fixture(name="model", scope="module")
def fixture_model(case: Case) -> Path:
    folder = case.folder / "c"
    return build_model(verilog_of(TINY), MAIN, [folder / "vit_accel.c", folder / "example.c"], folder,
                       [f"BUS_BITS={TINY.bus_bits}", "VIT_MMIO_FUNCTIONS", "VIT_NO_MAIN"])


@pytest.mark.parametrize(("latency", "stall"), [(2, 0), (60, 40)])
def test_on_the_model(case: Case, model: Path, tmp_path: Path, latency: int, stall: int) -> None:
    """Images, a batch, the interrupt, errors, time-outs, programs for other hardware; each result is the golden one."""
    make_case(tmp_path / "other", OTHER)
    codes, pixels = np.stack([case.codes(1), case.codes(2)]), case.picture(3)
    codes.tofile(tmp_path / "codes.bin")
    pixels.tofile(tmp_path / "pixels.bin")
    done = subprocess.run([str(model), str(case.folder / "program.bin"), str(tmp_path / "other" / "program.bin"),
                           str(tmp_path / "codes.bin"), str(tmp_path / "pixels.bin"), str(latency), str(stall)],
                          capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    seen = {line.split()[0]: line.split(maxsplit=1)[1] for line in done.stdout.splitlines()}

    artifact = case.artifact
    picture = pixel_patches(pixels, code_table(artifact.mean, artifact.std, artifact.input_scale), artifact.patch)
    first, second = (case.golden(image)[0].tolist() for image in codes)
    logits, kept = case.golden(picture)
    assert first != second
    for name, expected in {"picture": logits.tolist(), "first": first, "second": second, "batch": first + second,
                           "interrupt": first, "after_errors": first, "after_timeout": first, "still_loaded": first,
                           "still_the_second": first + second, "last": second}.items():
        assert seen.pop(name) == " ".join(map(str, [0, *expected])), name
    best = seen.pop("best").split()
    assert [int(best[1]), *map(int, best[3:])] == [int(np.argmax(logits)), *kept, 0]
    assert 1000 < int(best[2]) < 20000
    assert seen.pop("pin") == "0"
    for name, error in {"read_error": Error.AXI_READ, "write_error": Error.AXI_WRITE, "watchdog": Error.WATCHDOG,
                        "config_mismatch": Error.CONFIG_MISMATCH, "init": Error.NONE, "recover": Error.NONE,
                        "reload": Error.NONE}.items():
        assert seen.pop(name) == f"{int(error)} {error_text(error)}"
    for name, (status, text) in {
            "no_program": (-6, "no program is loaded"), "too_many": (-5, "memory is too small"),
            "timeout": (-8, "did not end in time"), "busy": (-7, "still under way"),
            "other": (-3, "different hardware configurations"), "cut": (-4, "incomplete"),
            "small": (-4, "not a program"), "no_memory": (-5, "memory is too small")}.items():
        line = seen.pop(name)
        assert line.startswith(f"{status} ") and text in line
    assert not seen
