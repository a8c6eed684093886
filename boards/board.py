"""What the toolkit knows about a board."""

from __future__ import annotations

from dataclasses import dataclass, field

from flows.contracts.resources import Resources

FAMILIES = {"7series": "xc7", "ultrascale+": "xcup", "versal": "xcup"}
"""Families of devices, and the target of open synthesis that stands for each; for Versal there is none of its own."""

SHELLS = ("zynq7", "zynqmp", "versal", "alveo", "fabric")
"""How the accelerator meets the rest: a processing system on the chip, a PCIe shell, or logic alone."""


@dataclass(frozen=True)
class Memory:
    """A kind of memory that the accelerator's bus can reach.

    Attributes
    ----------
    name : as the board's manual calls it
    kind : ``"ddr3"``, ``"ddr4"``, ``"lpddr4"`` or ``"hbm2"``
    ports : controllers or channels that can be used at the same time
    port_bits : width of the fabric's port to one of them
    gigabytes : size of all ports together
    peak_gbs : GB/s of all ports together, from data rate and width
    usable_gbs : GB/s of one port that long bursts may count on
    rate_mts, data_bits : transfers per second (millions) and width of one controller or channel
    """

    name: str
    kind: str
    ports: int
    port_bits: int
    gigabytes: float
    peak_gbs: float
    usable_gbs: float
    rate_mts: float = 0
    data_bits: int = 0


@dataclass(frozen=True)
class Board:
    """An FPGA board.

    Attributes
    ----------
    name : what BOARD= takes, the name of the YAML file
    title : vendor's name
    part : full name of the device, as the vendor's tools take it
    family : a key of :data:`FAMILIES`
    speed_grade : as in the part's name
    shell : one of :data:`SHELLS`
    board_part : board definition of the vendor's tools, or None
    platform : Vitis platform, or None
    slrs : resources for the accelerator in each super logic region, from SLR0; one entry on a single die. Under a shell
        that is what the shell leaves.
    memories : first the one that the accelerator uses
    clock_mhz : target clock of the accelerator; a target, not a placed and routed result
    processor_mhz : clock of the application processors, None without or when it is not known
    ps_port : the processing system's port for ``m_axi_gmem``, ``"NOC"`` for Versal's network on chip, None without
    control_base : address of ``s_axi_control``, None when the tools choose it
    clock_pin, clock_input_mhz : the board's oscillator where there is no processing system
    sources : for every group of numbers, where they come from
    device : resources of the whole chip, as its data sheet or the vendor's tools count them
    clock_pin_n : negative pin of a differential oscillator, else None
    clock_standard : I/O standard of the oscillator's pins, None without
    """

    name: str
    title: str
    part: str
    family: str
    speed_grade: str
    shell: str
    board_part: str | None
    platform: str | None
    slrs: tuple[Resources, ...]
    memories: tuple[Memory, ...]
    clock_mhz: float
    processor_mhz: float | None
    ps_port: str | None
    control_base: int | None
    clock_pin: str | None
    clock_input_mhz: float | None
    sources: dict[str, str]
    device: Resources = field(default_factory=Resources)
    clock_pin_n: str | None = None
    clock_standard: str | None = None

    @property
    def resources(self) -> Resources:
        """Resources for the accelerator in all dies."""
        return sum(self.slrs, Resources())

    @property
    def memory(self) -> Memory:
        """The memory that the accelerator uses."""
        return self.memories[0]
