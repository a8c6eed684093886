"""Compiles the C++ models for this machine: shared libraries for ctypes, and the test bench as a program."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from flows.cache import CACHE
from flows.contracts.errors import SimulationError
from flows.contracts.hardware import HardwareConfig
from hls_models.headers import format_header, params_header
from sim.toolchain import INSTALL_LINE, compiler_identity

HERE = Path(__file__).resolve().parent
NATIVE = HERE / "native"
STANDARD = "-std=c++14"
"""As Vitis HLS compiles."""
WARNINGS = ("-Wall", "-Wextra", "-Wno-unknown-pragmas", "-Wno-unused-label")
"""Loops have names for the vendor's reports, and pragmas that only it knows."""
FAST = ("-O3", "-march=native")
QUICK = ("-O1",)
"""For small networks, where compiling takes longer than running."""
CHECKED = ("-O1", "-Werror", "-DSIEVIT_CHECKED")
"""Ends with a message when a value leaves its declared width, in which ``ap_int`` would go on with other bits."""
SANITIZED = ("-O1", "-g", "-Werror", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
TIMEOUT_SECONDS = 600.0
EXCERPT_LINES = 20


def sources(config: HardwareConfig) -> dict[str, str]:
    """Every C++ file by path relative to this folder, the two generated headers included."""
    found = {path.relative_to(HERE).as_posix(): path.read_text()
             for pattern in ("*.hpp", "*.cpp", "native/*.h", "native/*.cpp") for path in sorted(HERE.glob(pattern))}
    return found | {"params.hpp": params_header(config), "format.hpp": format_header()}


def build_library(config: HardwareConfig, flags: Sequence[str] = FAST) -> Path:
    """Shared library of the accelerator with the functions of ``native/library.cpp``; see :func:`build`."""
    return build(config, ("vit_accel.cpp", "native/library.cpp"), ("-shared", "-fPIC", *flags), ".so")


def build_units(config: HardwareConfig, flags: Sequence[str] = FAST) -> Path:
    """Shared library of single units with the functions of ``native/units.cpp``; see :func:`build`."""
    return build(config, ("native/units.cpp",), ("-shared", "-fPIC", *flags), ".so")


def build_testbench(config: HardwareConfig, flags: Sequence[str] = FAST, *, includes: Sequence[Path] = ()) -> Path:
    """Program that runs a job folder (``testbench.cpp``); see :func:`build`."""
    return build(config, ("vit_accel.cpp", "testbench.cpp"), flags, "", includes=includes)


def build(config: HardwareConfig, files: Sequence[str], flags: Sequence[str], suffix: str, *,
          includes: Sequence[Path] = ()) -> Path:
    """Compile once per content of sources, configuration, compiler and processor.

    Parameters
    ----------
    config : the hardware
    files : C++ files of :func:`sources` to compile
    flags : of the compiler
    suffix : of the result's name
    includes : folders with headers that go before those of ``native``, for example another ``ap_int.h``

    Raises
    ------
    SimulationError
        When there is no compiler, or it finds an error.
    """
    if shutil.which("g++") is None:
        raise SimulationError(f"missing system tool: g++; install with: {INSTALL_LINE}")
    texts = sources(config)
    digest = hashlib.sha256(compiler_identity().encode())
    for part in (*files, *flags, *map(str, includes), *(item for pair in texts.items() for item in pair)):
        digest.update(f"{len(part)}:".encode() + part.encode())
    made = CACHE / f"hls-{digest.hexdigest()[:20]}{suffix}"
    if not made.is_file():
        with _folder(texts) as folder:
            _compile(folder, files, flags, includes, folder / "made")
            (folder / "made").replace(made)  # whole or not at all, whoever else compiles the same
    return made


@contextmanager
def _folder(texts: dict[str, str]) -> Iterator[Path]:
    """The sources in a temporary folder."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE, prefix="hls-") as name:
        for path, text in texts.items():
            target = Path(name) / path
            target.parent.mkdir(exist_ok=True)
            target.write_text(text)
        yield Path(name)


def _compile(folder: Path, files: Sequence[str], flags: Sequence[str], includes: Sequence[Path], out: Path) -> None:
    paths = [f"-I{folder}", *(f"-I{path}" for path in includes), f"-I{folder / 'native'}"]
    command = ["g++", STANDARD, *WARNINGS, *paths, *flags, "-o", str(out), *(str(folder / name) for name in files)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=TIMEOUT_SECONDS)
    except subprocess.TimeoutExpired:
        raise SimulationError(f"compiling the HLS models took more than {TIMEOUT_SECONDS:g} s") from None
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.strip()][:EXCERPT_LINES]
        raise SimulationError("compiling the HLS models failed:\n" + "\n".join(lines))
