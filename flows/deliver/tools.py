"""Which of the vendor's tools a deliverable needs, and whether they are there."""

from __future__ import annotations

import shutil
from pathlib import Path

from flows.contracts.errors import ConfigError
from flows.deliver.check.facts import board_of, read_params
from flows.deliver.shells import shell_of

SETUP = {"vivado": "source the settings64.sh of Vivado", "v++": "source the settings64.sh of Vitis",
         "xclbinutil": "source the setup.sh of XRT", "make": "install with: apt-get install make"}
"""What to do when a tool is missing."""


def need_tools(folder: Path) -> None:
    """Check that the bitstream of a deliverable can be built here.

    Raises
    ------
    ConfigError
        When the folder is no deliverable, its board has no bitstream of ours, or tools are missing; the message names
        all of them.
    """
    board = board_of(read_params(folder))
    shell = shell_of(board)
    if shell.name == "fabric":
        raise ConfigError(f"{board.title} has no processing system, so there is no design around the IP; "
                          f"{folder}/README.md says what to add")
    tools = ("make", "vivado", "v++", "xclbinutil") if shell.kernel else ("make", "vivado")
    if absent := [tool for tool in tools if shutil.which(tool) is None]:
        advice = ", ".join(dict.fromkeys(SETUP[tool] for tool in absent))
        raise ConfigError(f"not on the PATH: {', '.join(absent)}; {advice}")
