"""A Verilator model with a C++ program of its own, and C sources beside it: no cocotb, no Python in the loop."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from sim.toolchain import build_environment, require_tools, verilator_root

TIMEOUT = 600


def build_model(verilog: str, main: Path, sources: Sequence[Path], includes: Path, defines: Sequence[str],
                target: Path) -> Path:
    """Build the model of ``vit_accel`` with the program ``main``.

    Parameters
    ----------
    verilog : text of the design
    main, sources : C++ and C files; warnings in them are errors
    includes : folder of their headers
    defines : preprocessor definitions of all of them
    target : folder for everything

    Returns
    -------
    Path
        The program.
    """
    require_tools()
    target.mkdir(parents=True, exist_ok=True)
    design = target / "vit_accel.v"
    design.write_text(verilog)
    flags = [f"-D{define}" for define in defines]
    objects = []
    for source in sources:
        objects.append(target / f"{source.stem}.o")
        _run(["gcc", "-Wall", "-Wextra", "-Werror", "-pedantic", "-std=c99", "-O1", *flags, "-c", str(source), "-o",
              str(objects[-1])], target)
    verilate = [str(verilator_root() / "bin" / "verilator"), "--cc", "--exe", "-Mdir", str(target), "--top-module",
                "vit_accel", "-O3", "--x-assign", "fast", "--x-initial", "fast", "-Wno-fatal", "-Wno-WIDTH",
                "--no-timing", "--noassert", "-o", "model", "-CFLAGS", f"-I{includes} {' '.join(flags)}",
                str(design), str(main), *map(str, objects)]
    _run(verilate, target)
    _run(["make", "-j", str(os.cpu_count() or 1), "-C", str(target), "-f", "Vvit_accel.mk", "model"], target)
    return target / "model"


def _run(command: list[str], folder: Path) -> None:
    done = subprocess.run(command, cwd=folder, env={**os.environ, **build_environment("-O1")}, capture_output=True,
                          text=True, check=False, timeout=TIMEOUT)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}\n{done.stderr}"
