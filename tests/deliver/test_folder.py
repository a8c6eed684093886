"""The folder: complete, the same bytes every time, without traces of the machine, whole or not at all."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from boards.catalog import board_names, load_board
from flows.compile import image_words, load_program
from flows.contracts import registers
from flows.contracts.artifact import SparseVit
from flows.contracts.errors import ConfigError
from flows.contracts.hardware import HardwareConfig
from flows.deliver import folder as folder_module
from flows.deliver import write_folder
from flows.deliver.folder import read_manifest
from flows.deliver.render import ip_registers, kernel_arguments, tcl_word
from flows.deliver.shells import shell_of
from sim.golden.network import run
from tests.deliver.conftest import MakeFolder

ROOT = Path(__file__).resolve().parent.parent.parent
EVERYWHERE = {"Makefile", "README.md", "manifest.json", "params.json", "rtl/vit_accel.v", "program/program.safetensors",
              "program/memory.bin", "program/memory.hex", "program/test_codes.bin", "program/test_logits.bin",
              "tcl/common.tcl", "tcl/package_ip.tcl", "tcl/synth_ooc.tcl", "tcl/check_timing.tcl", "xdc/timing.xdc",
              "xdc/floorplan.xdc", "driver/params.json", "driver/program.bin", "driver/regmap.md",
              "driver/vit_accel/accelerator.py", "driver/c/vit_accel.c", "driver/c/vit_accel_registers.h"}
BY_SHELL = {"block design": {"tcl/block_design.tcl", "tcl/build_bitstream.tcl"}, "alveo": {"kernel.xml", "link.cfg",
            "tcl/place_slr.tcl"}, "fabric": set()}
AGAIN = """
import sys
from boards.catalog import load_board
from flows.contracts.artifact import TokenDrop
from flows.deliver import write_folder
from tests.accelerator.hardware import ONE
from tests.factory import random_artifact
network = random_artifact(width=64, heads=2, depth=2, hidden=64, tokens=17, classes=21, seed=8,
                          drop={0: TokenDrop("topk", keep=9)})
write_folder(network, ONE.replace(clock_mhz=200.0), load_board("zcu102"), sys.argv[1])
"""


def contents(folder: Path) -> dict[str, bytes]:
    """Every file by name."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("name", board_names())
def test_complete(name: str, pristine: MakeFolder) -> None:
    """Every board's folder has all files of its shell, and the manifest lists them all with the right hash."""
    files = contents(pristine(name))
    shell = shell_of(load_board(name))
    kind = "block design" if shell.block_design else shell.name
    assert set(files) >= EVERYWHERE | BY_SHELL[kind]
    assert not set(files) & set.union(*(names for other, names in BY_SHELL.items() if other != kind))
    manifest = read_manifest(pristine(name))
    assert manifest == {path: hashlib.sha256(content).hexdigest() for path, content in files.items()
                        if path != "manifest.json"}


def test_scripts_are_whole(pristine: MakeFolder) -> None:
    """No placeholder is left, braces balance, and the part is the board's."""
    for name in board_names():
        board = load_board(name)
        for path, content in contents(pristine(name)).items():
            if not path.endswith((".tcl", ".xdc", ".cfg", "Makefile", ".md", ".xml")) or path.startswith("driver/"):
                continue
            text = content.decode()
            assert not re.search(r"\{\{ |\{%|[^{]None|Undefined", text), path
            if path.endswith((".tcl", ".xdc")):
                assert text.count("{") == text.count("}"), path
        assert f"set part {board.part}\n" in (pristine(name) / "tcl/common.tcl").read_text()


def test_deterministic(pristine: MakeFolder, tmp_path: Path) -> None:
    """Another process, hash seed, folder and time zone: the same bytes, and nothing of the machine in them."""
    environment = {**os.environ, "PYTHONHASHSEED": "4711", "PYTHONPATH": str(ROOT), "TZ": "Asia/Tokyo"}
    out = tmp_path / "elsewhere"
    subprocess.run([sys.executable, "-c", AGAIN, str(out)], check=True, cwd=tmp_path, env=environment, timeout=300)
    assert contents(out) == contents(pristine("zcu102"))
    for path, content in contents(out).items():
        for trace in (str(ROOT), str(tmp_path), os.uname().nodename):
            assert trace.encode() not in content, path
    assert not [path for path in tmp_path.iterdir() if path != out]


def test_program_and_memory(pristine: MakeFolder, network: SparseVit, tiny: HardwareConfig) -> None:
    """Memory holds program, image and output where the parameters say; the hexadecimal file says the same."""
    folder = pristine("zcu102")
    params = json.loads((folder / "params.json").read_text())
    memory = (folder / "program" / "memory.bin").read_bytes()
    program = load_program(folder / "program" / "program.safetensors", tiny)
    places = params["memory"]
    assert len(memory) == places["bytes"]
    assert (folder / "driver" / "program.bin").read_bytes() == program.stream.tobytes()
    codes = np.fromfile(folder / "program" / "test_codes.bin", np.int8).reshape(
        params["image"]["tokens"], params["image"]["patch_inputs"])
    for name, content in (("program", program.stream.tobytes()), ("image", image_words(program, codes).tobytes())):
        offset = places[name]["offset"]
        assert offset % 4096 == 0
        assert places[name]["bytes"] == len(content)
        assert memory[offset:offset + len(content)] == content
    output = places["output"]
    assert output["bytes"] == 32 * tiny.class_cols
    assert not any(memory[output["offset"]:])
    lines = (folder / "program" / "memory.hex").read_text().splitlines()
    assert b"".join(bytes.fromhex(line)[::-1] for line in lines) == memory
    # And the known result is the golden model's.
    golden = run(network, codes)
    assert golden.logits.std() > 1
    assert np.array_equal(np.fromfile(folder / "program" / "test_logits.bin", "<i2"), golden.logits)
    assert params["test"]["tokens_kept"] == [golden.tokens[0]] == [11]


def test_parameters(pristine: MakeFolder, network: SparseVit, tiny: HardwareConfig) -> None:
    """What a driver checks, and what people ask for."""
    folder = pristine("pynq-z2")
    params = json.loads((folder / "params.json").read_text())
    driver = json.loads((folder / "driver" / "params.json").read_text())
    assert params["hardware"] == driver["hardware"]
    assert params["registers"] == driver["registers"]
    stream = (folder / "driver" / driver["program"]["file"]).read_bytes()
    assert (folder / params["program"]["file"]).read_bytes() == stream
    assert params["hardware"]["config_hash"] == tiny.config_hash()
    assert params["config_hash_hex"] == f"{tiny.config_hash():08x}"
    assert params["interfaces"]["clock_mhz"] == load_board("pynq-z2").clock_mhz
    assert params["interfaces"]["control"]["base"] == load_board("pynq-z2").control_base
    assert params["board"]["part"] == "xc7z020clg400-1"
    assert params["network"]["class_names"] == list(network.class_names)
    assert params["model"]["drops"] == [{"block": 0, "mode": "topk", "keep": 9, "threshold": 0}]
    assert [len(row) for row in params["preprocessing"]["table"]] == [256, 256, 256]
    assert f"{tiny.config_hash():#010x}" in (folder / "driver" / "c" / "vit_accel_registers.h").read_text()


def test_driver_of_the_folder_runs(pristine: MakeFolder) -> None:
    """The copied package imports without sievit, and takes both descriptions."""
    folder = pristine("zcu102")
    code = ("import sys; sys.path.insert(0, 'driver'); from vit_accel import Parameters; "
            "print(Parameters.load('params.json').hardware == Parameters.load('driver/params.json').hardware)")
    command = [sys.executable, "-B", "-I", "-c", "import os, sys; os.chdir(sys.argv[1]); " + code, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.stdout.strip() == "True", done.stderr


def test_registers_of_the_ip() -> None:
    """Every register is described once; a kernel's addresses are one register of 64 bits, and arguments of it."""
    plain = ip_registers(kernel=False)
    assert len(plain) == sum(entry.count for entry in registers.REGISTERS)
    kernel = {entry["name"]: entry for entry in ip_registers(kernel=True)}
    assert len(kernel) == len(plain) - 3
    for argument in kernel_arguments():
        found = kernel[argument.name] if argument.pointer else kernel[argument.name.upper()]
        assert found["offset"] == argument.offset
        assert found["size"] == (64 if argument.pointer else 32)
    assert {entry["access"] for entry in plain} == {"read-write", "read-only"}
    with pytest.raises(ConfigError, match="cannot be written into a Tcl script"):
        tcl_word("a } b")


def test_foreign_folder_is_refused(network: SparseVit, tiny: HardwareConfig, tmp_path: Path) -> None:
    """Nothing that sievit did not write is ever removed."""
    board = load_board("zcu102")
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "thesis.tex").write_text("years")
    (tmp_path / "file").write_text("text")
    for name, message in (("theirs", "theirs was not made by sievit; give another --out"), ("file", "is no folder")):
        with pytest.raises(ConfigError, match=message) as caught:
            write_folder(network, tiny, board, tmp_path / name)
        assert "\n" not in str(caught.value)
        with pytest.raises(ConfigError, match=message):
            write_folder(network, tiny, board, tmp_path / name, force=True)
    assert (tmp_path / "theirs" / "thesis.tex").read_text() == "years"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "theirs"]


def test_own_folder_is_replaced(folder: MakeFolder, network: SparseVit, tiny: HardwareConfig) -> None:
    """An older one gives way, unless it was changed or holds results of the tools; then only with force."""
    board, out = load_board("zcu102"), folder("pynq-z2")
    write_folder(network, tiny, board, out)
    assert json.loads((out / "params.json").read_text())["board"]["name"] == "zcu102"
    (out / "bitstream").mkdir()
    (out / "bitstream" / "vit_accel.bit").write_text("hours of work")
    with pytest.raises(ConfigError, match="holds bitstream/vit_accel.bit, which sievit did not write"):
        write_folder(network, tiny, board, out)
    assert (out / "bitstream" / "vit_accel.bit").is_file()
    (out / "bitstream" / "vit_accel.bit").unlink()
    (out / "Makefile").write_text("all:\n")
    with pytest.raises(ConfigError, match="Makefile was changed after sievit wrote it"):
        write_folder(network, tiny, board, out)
    write_folder(network, tiny, board, out, force=True)
    assert "bitstream:" in (out / "Makefile").read_text()
    assert [path.name for path in out.parent.iterdir()] == [out.name]


def test_failure_leaves_everything_as_it_was(folder: MakeFolder, network: SparseVit, tiny: HardwareConfig,
                                             monkeypatch: pytest.MonkeyPatch) -> None:
    """An error in the middle: the old folder stays, and nothing else."""
    out = folder("zcu102")
    before = contents(out)

    def broken(*_: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(folder_module, "write_driver", broken)
    with pytest.raises(OSError, match="no space"):
        write_folder(network, tiny, load_board("pynq-z2"), out)
    assert contents(out) == before
    assert [path.name for path in out.parent.iterdir()] == [out.name]


def test_network_that_does_not_fit(network: SparseVit, tiny: HardwareConfig, tmp_path: Path) -> None:
    """The compiler's message, and no folder."""
    with pytest.raises(ConfigError, match="max_tokens"):
        write_folder(network, tiny.replace(max_tokens=16), load_board("zcu102"), tmp_path / "out")
    assert not list(tmp_path.iterdir())
