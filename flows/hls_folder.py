"""A folder with the HLS models of one configuration: sources, vectors, and a project script for Vitis HLS."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import jinja2

from boards.board import Board
from flows.contracts.errors import ConfigError, MismatchError, SimulationError
from flows.contracts.files import replacing
from flows.contracts.hardware import HardwareConfig
from flows.hls_vectors import Vector, write_job
from hls_models import build
from hls_models.build import build_testbench, sources
from hls_models.registers import register_table

TIMEOUT_SECONDS = 3600.0
SHIPPED = ("vit_accel.cpp", "testbench.cpp")
"""C++ files for the vendor's tool, besides all headers; ``native`` is for g++ only."""


@dataclass(frozen=True)
class Target:
    """What the vendor's tool synthesizes for.

    Attributes
    ----------
    title : in words
    part : full name of the device
    clock_mhz : target clock
    shell : of :data:`boards.board.SHELLS`; an Alveo takes a kernel (.xo), everything else an IP core
    """

    title: str
    part: str
    clock_mhz: float
    shell: str = "fabric"

    @classmethod
    def of(cls, board: Board) -> Target:
        """The accelerator's device and clock on a board."""
        return cls(board.title, board.part, board.clock_mhz, board.shell)


def write_hls_folder(out: Path, config: HardwareConfig, vectors: Sequence[Vector], target: Target) -> None:
    """Write ``src`` (C++), ``vectors`` (a job folder for the test bench), ``run_hls.tcl`` and ``regmap.md``.

    Parameters
    ----------
    out : folder, made if need be; files of an earlier call are replaced
    config : the hardware
    vectors : programs and images for it, with the golden model's results
    target : device and clock
    """
    for name, text in sources(config).items():
        if name.endswith(".hpp") or name in SHIPPED:
            _write(out / "src" / name, text)
    write_job(out / "vectors", vectors)
    _write(out / "run_hls.tcl", project_script(config, target))
    _write(out / "regmap.md", register_table())


def project_script(config: HardwareConfig, target: Target) -> str:
    """Tcl for Vitis HLS; equal arguments give equal text.

    Raises
    ------
    ConfigError
        When the clock is not above 0.
    """
    if target.clock_mhz <= 0:
        raise ConfigError(f"the target clock must be above 0 MHz, not {target.clock_mhz:g}")
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, keep_trailing_newline=True, autoescape=False)
    template = environment.from_string((build.HERE / "run_hls.tcl.j2").read_text())
    kernel = target.shell == "alveo"
    return template.render(
        title=target.title, config_hash=f"{config.config_hash():08x}", solution="solution1", part=target.part,
        flow_target="vitis" if kernel else "vivado", format="xo" if kernel else "ip_catalog",
        period=f"{1000 / target.clock_mhz:.3f}", bus_bits=config.bus_bits)


def run_testbench(folder: Path, config: HardwareConfig, flags: Sequence[str] = build.FAST) -> str:
    """Compile the test bench with g++ and run it on a job folder.

    Returns
    -------
    Its last line: how many frames, images and words were compared.

    Raises
    ------
    MismatchError
        When a word differs from what the golden model says.
    SimulationError
        When the test bench cannot be compiled or ends early.
    """
    program = build_testbench(config, flags)
    try:
        done = subprocess.run([str(program), str(folder)], capture_output=True, text=True, check=False,
                              timeout=TIMEOUT_SECONDS)
    except subprocess.TimeoutExpired:
        raise SimulationError(f"the test bench took more than {TIMEOUT_SECONDS:g} s") from None
    lines = (done.stdout + done.stderr).strip().splitlines()
    if done.returncode == 1:
        raise MismatchError("; ".join(lines))
    if done.returncode:
        raise SimulationError(f"the test bench ended early (status {done.returncode}): " + "; ".join(lines[-5:]))
    return lines[-1]


def _write(path: Path, text: str) -> None:
    with replacing(path) as part:
        part.write_text(text)
