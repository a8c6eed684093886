"""Yosys as a library, in a process of its own: an assertion inside it would end the caller."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import subprocess
import sys
from pathlib import Path

from flows.contracts.errors import SynthesisError

_SCRIPT = "import sys, pyosys.libyosys as ys; design = ys.Design(); [ys.run_pass(c, design) for c in sys.argv[1:]]"
TIMEOUT_SECONDS = 3600.0
MESSAGE_CHARACTERS = 300


def available() -> bool:
    """Whether Yosys can be used."""
    return importlib.util.find_spec("pyosys") is not None


def version() -> str:
    """Version of Yosys.

    Raises
    ------
    SynthesisError
        When it is not installed.
    """
    if not available():
        raise SynthesisError("open synthesis needs Yosys; install it with: pip install pyosys==0.70")
    return importlib.metadata.version("pyosys")


def run_yosys(*commands: str, directory: Path, timeout: float = TIMEOUT_SECONDS) -> str:
    """Run Yosys commands in ``directory``; returns what they print.

    Parameters
    ----------
    *commands : as in a Yosys script, one a string
    directory : working directory, where files named in the commands are
    timeout : seconds

    Raises
    ------
    SynthesisError
        When Yosys is not installed, stops with an error, or takes too long.
    """
    version()
    try:
        result = subprocess.run([sys.executable, "-c", _SCRIPT, *commands], cwd=directory, capture_output=True,
                                text=True, timeout=timeout, check=False)
    except subprocess.TimeoutExpired:
        raise SynthesisError(f"Yosys took more than {timeout:.0f} s") from None
    if result.returncode:
        lines = [line for line in (result.stdout + result.stderr).splitlines() if line.strip()]
        errors = [line for line in lines if "ERROR" in line]
        if not errors:  # it was ended by a signal, for want of memory say
            raise SynthesisError(f"Yosys stopped with status {result.returncode} after: "
                                 f"{(lines or ['nothing'])[-1][:MESSAGE_CHARACTERS]}")
        raise SynthesisError(f"Yosys: {errors[-1][:MESSAGE_CHARACTERS]}")
    return result.stdout
