"""What is generated for the driver agrees with the contracts it comes from."""

from __future__ import annotations

import hashlib
import json
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from boards.driver import Parameters
from flows.contracts import registers
from flows.contracts.errors import ConfigError
from flows.contracts.program import HELLO, unpack
from flows.driver_params import driver_params, write_driver
from flows.registers_c import c_header, c_network_header
from tests.driver.tiny import TINY, Case
from tests.factory import random_artifact


def test_registers_and_errors(case: Case) -> None:
    params = Parameters.load(case.folder / "params.json")
    assert params.registers.names == tuple(entry.name for entry in registers.REGISTERS)
    for entry in registers.REGISTERS:
        for index in range(entry.count):
            assert params.registers.offset(entry.name, index) == registers.offset(entry.name, index)
        for field in entry.fields:
            assert params.registers.mask(entry.name, field.name) == field.mask
    for code in registers.Error:
        assert ": ".join(params.error(code)) == registers.error_text(code)
    assert params.hardware["config_hash"] == TINY.config_hash()
    assert params.hardware["config"] == TINY.to_dict()


def test_program_and_network(case: Case) -> None:
    params = Parameters.load(case.folder / "params.json")
    stream = (case.folder / "program.bin").read_bytes()
    assert stream == case.program.stream.tobytes()
    assert params.program["sha256"] == hashlib.sha256(stream).hexdigest() and params.program["bytes"] == len(stream)
    head = int.from_bytes(stream[:TINY.stream_bytes], "little")
    found = {name: head >> low & (1 << width) - 1 for name, (low, width) in params.hello.items()}
    assert found == unpack(HELLO, head)
    assert params.network.class_names == case.artifact.class_names
    assert params.network.input_scale == case.artifact.input_scale


def test_deterministic(case: Case, tmp_path: Path) -> None:
    write_driver(case.program, case.artifact, tmp_path)
    files = sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*.*"))
    assert len(files) > 15
    for path in files:
        if path.suffix != ".pyc":
            assert (tmp_path / path).read_bytes() == (case.folder / path).read_bytes(), path


def test_artifact_of_another_program(case: Case) -> None:
    with pytest.raises(ConfigError, match="compiled from another artifact"):
        driver_params(case.program, random_artifact(seed=77))


def test_c_header_says_what_the_contract_says(case: Case, tmp_path: Path) -> None:
    """Printed by a C program, so that the preprocessor has had its say."""
    (tmp_path / "vit_accel_registers.h").write_text(c_header(TINY))
    names = [f"VIT_REG_{entry.name}" for entry in registers.REGISTERS]
    names += [f"VIT_{entry.name}_{field.name.upper()}" for entry in registers.REGISTERS for field in entry.fields]
    names += [f"VIT_ERROR_{code.name}" for code in registers.Error]
    names += ["VIT_ID", "VIT_VERSION", "VIT_CONFIG_HASH", "VIT_STREAM_BYTES", "VIT_TOKENS_KEPT_COUNT", "VIT_ERRORS"]
    prints = "".join(f'printf("{name} %lu\\n", (unsigned long){name});' for name in names)
    (tmp_path / "main.c").write_text(
        '#include <stdio.h>\n#include "vit_accel_registers.h"\n'
        "static const char *const texts[VIT_ERRORS] = VIT_ERROR_TEXTS;\n"
        f"int main(void) {{ {prints} for (int i = 0; i < VIT_ERRORS; i++) puts(texts[i]); return 0; }}\n")
    subprocess.run(["gcc", "-std=c99", "-Wall", "-Werror", "-pedantic", "main.c", "-o", "main"], cwd=tmp_path,
                   check=True, timeout=60)
    lines = subprocess.run([str(tmp_path / "main")], capture_output=True, text=True, check=True,
                           timeout=60).stdout.splitlines()
    values = {line.split()[0]: int(line.split()[1]) for line in lines[:len(names)]}
    for entry in registers.REGISTERS:
        assert values[f"VIT_REG_{entry.name}"] == entry.offset
        for field in entry.fields:
            assert values[f"VIT_{entry.name}_{field.name.upper()}"] == field.mask
    assert {code.name: values[f"VIT_ERROR_{code.name}"] for code in registers.Error} == registers.Error.__members__
    assert values["VIT_CONFIG_HASH"] == TINY.config_hash() and values["VIT_ID"] == registers.ID_VALUE
    assert lines[len(names):] == [registers.error_text(code) for code in registers.Error]


def test_class_names_survive_c(case: Case, tmp_path: Path) -> None:
    """Quotes, backslashes, trigraphs, digits after other characters, and letters beyond ASCII."""
    names = ('say "hi"', "back\\slash", "what??!", "ü1", "*/ end", "", *case.artifact.class_names[6:])
    params = driver_params(case.program, case.artifact)
    params["network"]["class_names"] = list(names)
    params["network"]["model"] = "odd */ name"
    (tmp_path / "vit_accel_network.h").write_text(c_network_header(params))
    (tmp_path / "main.c").write_text(
        '#include <stdio.h>\n#include "vit_accel_network.h"\nstatic const char *const names[] = VIT_CLASS_NAMES;\n'
        "static const signed char codes[3][256] = VIT_CODE_TABLE;\n"
        "int main(void) { for (unsigned i = 0; i < VIT_CLASSES; i++) puts(names[i]); "
        'printf("%d %d\\n", codes[0][0], codes[2][255]); return 0; }\n')
    subprocess.run(["gcc", "-std=c99", "-Wall", "-Werror", "-pedantic", "main.c", "-o", "main"], cwd=tmp_path,
                   check=True, timeout=60)
    lines = subprocess.run([str(tmp_path / "main")], capture_output=True, check=True,
                           timeout=60).stdout.decode().split("\n")
    assert lines[:20] == list(names)
    assert lines[20] == "-100 100"  # (0 - 0.5) / 0.25 / 0.02


def test_network_without_names(case: Case) -> None:
    params = driver_params(case.program, replace(case.artifact))
    params["network"]["class_names"] = []
    assert "#define VIT_CLASS_NAMES { 0 }" in c_network_header(params)
    assert json.loads(json.dumps(params)) == params
