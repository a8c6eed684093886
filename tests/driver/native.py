"""A Verilator model with a C++ program of its own, and C sources beside it: no cocotb, no Python in the loop."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from sim.runner import ROOT
from sim.toolchain import build_environment, compiler_identity, require_tools, verilator_root

TIMEOUT = 600
WARNINGS = ("-Wall", "-Wextra", "-Werror", "-pedantic")


def build_model(verilog: str, main: Path, sources: Sequence[Path], includes: Path, defines: Sequence[str]) -> Path:
    """Build the model of ``vit_accel`` with the program ``main``, or find it built before from the same content.

    Parameters
    ----------
    verilog : text of the design
    main, sources : C++ file, and C files in which warnings are errors
    includes : folder of their headers
    defines : preprocessor definitions of all of them

    Returns
    -------
    Path
        The program.
    """
    require_tools()
    digest = hashlib.sha256("\n".join([verilog, compiler_identity(), *defines]).encode())
    for path in [main, *sources, *sorted(includes.glob("*.h")), Path(__file__)]:
        digest.update(path.name.encode() + path.read_bytes())
    target = ROOT / "build" / "sim" / f"native-{digest.hexdigest()[:16]}"
    if not target.is_dir():
        target.parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=f"{target.name}.", suffix=".tmp", dir=target.parent))
        try:
            _build(folder, verilog, main, sources, includes, [f"-D{define}" for define in defines])
            with contextlib.suppress(OSError):  # another process was first
                folder.rename(target)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    return target / "model"


def _build(folder: Path, verilog: str, main: Path, sources: Sequence[Path], includes: Path, flags: list[str]) -> None:
    """Everything in ``folder``; only the program stays."""
    work = folder / "work"
    work.mkdir()
    (work / "vit_accel.v").write_text(verilog)
    objects = []
    for source in sources:
        objects.append(str(work / f"{source.stem}.o"))
        _run(["gcc", *WARNINGS, "-std=c99", "-O1", *flags, "-c", str(source), "-o", objects[-1]], work)
    _run([str(verilator_root() / "bin" / "verilator"), "--cc", "--exe", "-Mdir", str(work), "--top-module",
          "vit_accel", "-O3", "--x-assign", "fast", "--x-initial", "fast", "-Wno-fatal", "-Wno-WIDTH", "--no-timing",
          "--noassert", "-o", str(folder / "model"), "-CFLAGS", f"-I{includes} {' '.join(flags)}", "vit_accel.v",
          str(main), *objects], work)
    _run(["make", "-j", str(os.cpu_count() or 1), "-C", str(work), "-f", "Vvit_accel.mk"], work)
    shutil.rmtree(work)


def _run(command: list[str], folder: Path) -> None:
    done = subprocess.run(command, cwd=folder, env={**os.environ, **build_environment("-O1")}, capture_output=True,
                          text=True, check=False, timeout=TIMEOUT)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}\n{done.stderr}"
