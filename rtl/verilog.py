"""Verilog of the whole accelerator, with the flat port names that vendor packagers infer buses from."""

from amaranth.hdl import ClockDomain, Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from flows.contracts.hardware import HardwareConfig
from rtl.shared import PortSpec, to_rtlil, to_verilog
from rtl.top import Top

__all__ = ["TOP_MODULE", "accelerator_rtlil", "accelerator_verilog"]

TOP_MODULE = "vit_accel"


class _Wrapper(wiring.Component):
    """Clock and reset as AXI wants them: ``aclk``, and ``aresetn`` active low."""

    def __init__(self, config: HardwareConfig) -> None:
        self.top = Top(config)
        super().__init__({"aclk": In(1), "aresetn": In(1)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.domains.sync = domain = ClockDomain()
        m.submodules.top = self.top
        m.d.comb += [domain.clk.eq(self.aclk), domain.rst.eq(~self.aresetn)]
        return m


def _flat_ports(wrapper: _Wrapper) -> dict[str, PortSpec]:
    ports: dict[str, PortSpec] = {"aclk": (wrapper.aclk, None), "aresetn": (wrapper.aresetn, None)}
    for path, _, signal in wrapper.top.signature.flatten(wrapper.top):
        ports["_".join(str(part) for part in path)] = (signal, None)
    return ports


def accelerator_verilog(config: HardwareConfig) -> str:
    """The accelerator as one Verilog file, top module ``vit_accel``; the same text for the same configuration.

    Parameters
    ----------
    config : HardwareConfig

    Returns
    -------
    str
        Ports: ``aclk``, ``aresetn``, ``interrupt``, ``s_axi_control_*`` (AXI4-Lite), ``m_axi_gmem_*`` (AXI4).
    """
    wrapper = _Wrapper(config)
    header = (f"// sievit accelerator, configuration {config.config_hash():08x}: {config.clusters} clusters, "
              f"{config.macs_per_cycle} MACs per cycle\n")
    return header + to_verilog(wrapper, TOP_MODULE, _flat_ports(wrapper))


def accelerator_rtlil(config: HardwareConfig) -> tuple[str, str]:
    """The accelerator for open synthesis, top module ``vit_accel``: RTLIL, and Verilog of hand-written modules.

    The same circuit as :func:`accelerator_verilog`; clock and reset of the top are ``clk`` and ``rst``.
    """
    wrapper = _Wrapper(config)
    return to_rtlil(wrapper, TOP_MODULE, _flat_ports(wrapper))
