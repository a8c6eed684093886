"""All reports of a deliverable's folder as one JSON-compatible dictionary."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from flows.contracts.resources import KINDS
from flows.vendor.table import ReportError
from flows.vendor.timing import parse_timing
from flows.vendor.utilization import Utilization, parse_hierarchy, parse_utilization
from flows.vendor.vitis import parse_estimate, parse_kernel_utilization, parse_xclbin_info

DESIGNS = {
    "accelerator, synthesized": ("ooc_utilization_synth.rpt", "ooc_timing_synth.rpt",
                                 "ooc_utilization_synth_hierarchical.rpt"),
    "accelerator, routed": ("ooc_utilization.rpt", "ooc_timing.rpt", "ooc_utilization_hierarchical.rpt"),
    "bitstream": ("utilization.rpt", "timing.rpt", "utilization_hierarchical.rpt"),
}
"""Files by design: utilization, timing, utilization by unit."""
KERNEL = "vit_accel"
DEPTH = 4
"""Levels of units that are listed."""


def collect(folder: Path | str) -> dict[str, Any]:
    """Read every report in ``folder/reports``.

    Returns
    -------
    ``{"designs": {name: {"device", "state", "utilization": {kind: {"used", "available", "share"}}, "timing": {...},
    "units": [...]}}}``; of a linked kernel ``utilization``, ``estimate`` and ``clocks``

    Raises
    ------
    ReportError
        When there are no reports, or one cannot be understood.
    """
    reports = Path(folder) / "reports"
    designs = {name: found for name, files in DESIGNS.items() if (found := _design(reports, *files))}
    if kernel := _kernel(reports):
        designs["kernel, linked"] = kernel
    if not designs:
        raise ReportError(f"{reports} holds no reports; run 'make ooc' or 'make bitstream' in {folder}")
    return {"designs": designs}


def _design(reports: Path, utilization: str, timing: str, hierarchy: str) -> dict[str, Any]:
    content: dict[str, Any] = {}
    if (path := reports / utilization).is_file():
        used = parse_utilization(path.read_text(), path.name)
        content |= {"device": used.device, "state": used.state, "utilization": _amounts(used)}
    if (path := reports / timing).is_file():
        found = parse_timing(path.read_text(), path.name)
        content["timing"] = {**dataclasses.asdict(found), "clock_mhz": found.clock_mhz}
    if (path := reports / hierarchy).is_file():
        content["units"] = [{"instance": unit.instance, "module": unit.module, "depth": unit.depth,
                             **unit.used.to_dict()}
                            for unit in parse_hierarchy(path.read_text(), path.name) if unit.depth < DEPTH]
    return content


def _kernel(reports: Path) -> dict[str, Any]:
    """What v++ left in reports/link, and the clocks of the .xclbin."""
    content: dict[str, Any] = {}
    for path in sorted(reports.glob("link/**/kernel_util_routed.rpt"))[-1:]:
        content["utilization"] = _amounts(parse_kernel_utilization(path.read_text(), f"{KERNEL}_1", path.name))
    for path in sorted(reports.glob("link/**/system_estimate*.xtxt"))[-1:]:
        content["estimate"] = parse_estimate(path.read_text(), path.name)
    if (path := reports / "xclbin_info.txt").is_file():
        content["clocks"] = [dataclasses.asdict(clock) for clock in parse_xclbin_info(path.read_text(), path.name)]
    return content


def _amounts(found: Utilization) -> dict[str, Any]:
    shares = found.used.share(found.available)
    return {kind: {"used": getattr(found.used, kind), "available": getattr(found.available, kind),
                   "share": shares[kind]}
            for kind in KINDS if getattr(found.available, kind)}
