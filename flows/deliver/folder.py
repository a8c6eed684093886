"""Writes the deliverable: all of it under a temporary name, which then takes its place."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from boards.board import Board
from flows.compile import Program, save_program
from flows.contracts.artifact import SparseVit
from flows.contracts.errors import ConfigError
from flows.contracts.hardware import HardwareConfig
from flows.deliver.floorplan import Floorplan, floorplan, memory_bank
from flows.deliver.memory import TestRun, golden_run, hex_lines, memory_image
from flows.deliver.params import parameters
from flows.deliver.ports import infer_buses, module_ports
from flows.deliver.render import context, render
from flows.deliver.shells import Shell, shell_of
from flows.driver_params import write_driver
from rtl.verilog import TOP_MODULE

MANIFEST = "manifest.json"
"""Lists every generated file with its hash; says that a folder was made by sievit."""
GENERATOR = "sievit deliverable"

Progress = Callable[[str, float], None]


def write_folder(artifact: SparseVit, config: HardwareConfig, board: Board, out: Path | str, *,
                 picture: Path | None = None, force: bool = False, progress: Progress | None = None) -> dict[str, Any]:
    """Write everything that builds and runs an accelerator with a program on a board.

    The same arguments give the same bytes. What lies in the folder is described in ``docs/deliverable.md``.

    Parameters
    ----------
    artifact : the network to compile
    config : the accelerator; ``clock_mhz`` is the clock that is built for
    board : the board
    out : folder to make; one that sievit made before is replaced
    picture : of the run whose result is known; by default the photograph of a cat that scikit-image ships
    force : also replace a folder whose files were changed, or which holds results of the vendor's tools
    progress : called with the name of a stage and its finished share

    Returns
    -------
    dict
        The content of ``params.json``.

    Raises
    ------
    ConfigError
        When the network does not fit the configuration, the board's shell is unknown, or ``out`` holds anything that
        sievit did not write.
    """
    out = Path(out)
    show = progress or (lambda stage, share: None)
    check_replaceable(out, force=force)
    shell = shell_of(board)
    show("compile", 0.0)
    program, test = _program(artifact, config, picture)
    show("compile", 1.0)
    show("verilog", 0.0)
    verilog = _verilog(config)
    show("verilog", 1.0)
    out.parent.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(dir=out.parent, prefix=f".{out.name}-", suffix=".tmp"))
    try:
        part.chmod(0o755)
        plan = floorplan(verilog, config, board)
        port = memory_bank(board, plan) if shell.kernel else board.ps_port
        params = parameters(artifact, program, board, port, test)
        _write_data(part, verilog, program, test, params)
        write_driver(program, artifact, part / "driver")
        for name, text in script_texts(artifact, config, board, shell, plan, params).items():
            _write(part / name, text)
        _write_manifest(part)
        _take_place(part, out)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return params


def _program(artifact: SparseVit, config: HardwareConfig, picture: Path | None) -> tuple[Program, TestRun]:
    from flows.contracts.preprocess import load_image, patch_codes
    from flows.sim_flow import default_image, obtain_program

    program = obtain_program(artifact, config)
    path = picture or default_image()
    codes = patch_codes(load_image(path), artifact)
    return program, golden_run(artifact, program, codes, path.name)


def _verilog(config: HardwareConfig) -> str:
    """The Verilog, whose ports must be found by the IP packager."""
    from sim.accelerator import verilog_of

    text = verilog_of(config)
    buses = infer_buses(module_ports(text, TOP_MODULE))
    if {(name, bus.kind, bus.mode) for name, bus in buses.items()} != {
            ("aclk", "clock", "slave"), ("aresetn", "reset", "slave"), ("interrupt", "interrupt", "master"),
            ("s_axi_control", "axi4lite", "slave"), ("m_axi_gmem", "axi4", "master")}:
        raise ConfigError(f"the Verilog has the interfaces {', '.join(sorted(buses))}, which the scripts do not expect")
    return text


def script_texts(artifact: SparseVit, config: HardwareConfig, board: Board, shell: Shell, plan: Floorplan | None,
                 params: dict[str, Any]) -> dict[str, str]:
    """Text by file name of everything that comes from a template."""
    values = context(artifact, config, board, shell, plan, params)
    names = ["tcl/common.tcl", "tcl/package_ip.tcl", "tcl/synth_ooc.tcl", "tcl/check_timing.tcl", "xdc/timing.xdc",
             "xdc/floorplan.xdc", "Makefile", "README.md"]
    if shell.block_design:
        names += ["tcl/block_design.tcl", "tcl/build_bitstream.tcl"]
    if shell.kernel:
        names += ["kernel.xml", "link.cfg"] + (["tcl/place_slr.tcl"] if plan is not None else [])
    return {name: render(Path(name).name, values) for name in sorted(names)}


def _write_data(folder: Path, verilog: str, program: Program, test: TestRun, params: dict[str, Any]) -> None:
    content = memory_image(program, test)
    _write(folder / "rtl" / f"{TOP_MODULE}.v", verilog)
    _write(folder / "params.json", json.dumps(params, indent=1) + "\n")
    _write(folder / "program" / "memory.bin", content)
    _write(folder / "program" / "memory.hex", hex_lines(content))
    _write(folder / "program" / "test_codes.bin", test.codes.tobytes())
    _write(folder / "program" / "test_logits.bin", test.logits.astype("<i2").tobytes())
    save_program(program, folder / "program" / "program.safetensors")


def _write(path: Path, content: str | bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if not path.is_dir() or path.is_symlink())


def _write_manifest(folder: Path) -> None:
    files = {path.relative_to(folder).as_posix(): _digest(path) for path in _files(folder)}
    _write(folder / MANIFEST, json.dumps({"generator": GENERATOR, "files": files}, indent=1) + "\n")


def read_manifest(folder: Path) -> dict[str, str] | None:
    """SHA-256 by file of a folder that sievit made, or None when it made none there."""
    try:
        content = json.loads((folder / MANIFEST).read_text())
        return dict(content["files"]) if content["generator"] == GENERATOR else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def check_replaceable(out: Path, *, force: bool = False) -> None:
    """Refuse a folder that holds anything sievit did not write.

    Raises
    ------
    ConfigError
        Naming the folder, and what is in the way.
    """
    if out.is_symlink() or (out.exists() and not out.is_dir()):
        raise ConfigError(f"{out} is no folder; give another --out")
    if not out.is_dir() or not any(out.iterdir()):
        return
    files = read_manifest(out)
    if files is None:
        raise ConfigError(f"{out} was not made by sievit; give another --out, or remove it")
    if force:
        return
    for path in _files(out):
        name = path.relative_to(out).as_posix()
        if name == MANIFEST:
            continue
        if name not in files:
            raise ConfigError(f"{out} holds {name}, which sievit did not write; run 'make clean' there, give another "
                              "--out, or --force")
        if _digest(path) != files[name]:
            raise ConfigError(f"{out}: {name} was changed after sievit wrote it; give another --out, or --force")


def _take_place(part: Path, out: Path) -> None:
    """Put the finished folder in place of the old one."""
    if not out.exists():
        part.rename(out)
        return
    old = Path(tempfile.mkdtemp(dir=out.parent, prefix=f".{out.name}-", suffix=".old"))
    out.rename(old / out.name)
    try:
        part.rename(out)
    except OSError:
        (old / out.name).rename(out)
        raise
    finally:
        if out.exists():
            shutil.rmtree(old, ignore_errors=True)
