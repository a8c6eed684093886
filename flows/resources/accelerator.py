"""Open synthesis of the accelerator, and its units by name."""

from __future__ import annotations

import re

from flows.cache import cached, source_hash
from flows.contracts.files import replacing
from flows.contracts.hardware import HardwareConfig
from flows.resources.synth import Progress, SynthesisResult, synthesize, with_verilog
from flows.resources.yosys import version

FABRIC_REGISTERS = (
    "On UltraScale+ open synthesis maps only the multiplication into a DSP slice: pipeline registers, pre-adders and "
    "adders that the vendor's tool packs into slices, and output registers of block RAMs on every family, are counted "
    "as LUTs and flip-flops here.")
"""What every report of synthesized resources has to say."""


def synthesize_accelerator(config: HardwareConfig, family: str = "ultrascale+", workers: int = 1,
                           progress: Progress | None = None) -> SynthesisResult:
    """Generate the accelerator and map it.

    Parameters
    ----------
    config : sizes
    family, workers, progress : as :func:`flows.resources.synth.synthesize` takes them

    Raises
    ------
    ConfigError
        For an unknown family.
    SynthesisError
        When Yosys is missing or cannot map the design.
    """
    from rtl.verilog import TOP_MODULE

    return synthesize(rtlil_of(config), TOP_MODULE, family, workers, progress)


def rtlil_of(config: HardwareConfig) -> str:
    """The accelerator as RTLIL, from the cache when neither configuration nor RTL have changed."""
    key = {**config.to_dict(), "clock_mhz": 0}
    path = cached("rtlil", [source_hash("rtl", "flows/contracts"), version(), key], ".il")
    if not path.is_file():
        text = _generate(config)
        with replacing(path) as part:
            part.write_text(text)
    return path.read_text()


def _generate(config: HardwareConfig) -> str:
    from rtl.verilog import TOP_MODULE, accelerator_rtlil

    rtlil, verilog = accelerator_rtlil(config)
    return with_verilog(rtlil, verilog, TOP_MODULE)


def unit_name(module: str, instances: int) -> str:
    """Name of a module in reports: its place in the hierarchy, and no number when there are several alike."""
    name = module.removeprefix("vit_accel.").removeprefix("sievit_").replace("vit_accel", "top.ports")
    return re.sub(r"\d+(?=\.|$)", "", name) if instances > 1 and "packed" not in name else name
