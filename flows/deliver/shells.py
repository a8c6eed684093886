"""The shells that the accelerator is built into, as far as the generated scripts differ between them."""

from __future__ import annotations

from dataclasses import dataclass

from boards.board import Board
from flows.contracts.errors import ConfigError

CLOCK, RESET = "aclk", "aresetn"
"""Ports of the accelerator. Vitis takes kernels with these names from release 2021.1 on."""
INSTANCE = "vit_accel_0"
"""Cell of the accelerator in a block design: the IP's name in PYNQ and in the .hwh."""

ZYNQMP_PORTS = {"S_AXI_HPC0_FPD": 0, "S_AXI_HPC1_FPD": 1, "S_AXI_HP0_FPD": 2, "S_AXI_HP1_FPD": 3, "S_AXI_HP2_FPD": 4,
                "S_AXI_HP3_FPD": 5}
"""Memory ports of the zynq_ultra_ps_e IP by their number in its properties (PSU__USE__S_AXI_GPn)."""
ZYNQ7_PORTS = ("S_AXI_HP0", "S_AXI_HP1", "S_AXI_HP2", "S_AXI_HP3")


@dataclass(frozen=True)
class Shell:
    """How the accelerator is built in on a board.

    Attributes
    ----------
    name : one of :data:`boards.board.SHELLS`
    block_design, kernel : whether there is a block design, or a kernel for v++
    bitstream : suffix of what configures the device
    """

    name: str
    block_design: bool
    kernel: bool
    bitstream: str


def shell_of(board: Board) -> Shell:
    """The shell of a board.

    Raises
    ------
    ConfigError
        When the board names a processing-system port that the shell does not have, or an unknown shell.
    """
    if board.shell == "alveo":
        return Shell("alveo", block_design=False, kernel=True, bitstream="xclbin")
    known = {"zynqmp": ZYNQMP_PORTS, "zynq7": ZYNQ7_PORTS}.get(board.shell)
    if known is not None and board.ps_port not in known:
        raise ConfigError(f"board {board.name} has memory port {board.ps_port!r}; {board.shell} has {', '.join(known)}")
    if board.shell not in ("zynq7", "zynqmp", "versal", "fabric"):
        raise ConfigError(f"board {board.name} has shell {board.shell!r}, for which there are no scripts")
    return Shell(board.shell, block_design=board.shell != "fabric", kernel=False,
                 bitstream="pdi" if board.shell == "versal" else "bit")
