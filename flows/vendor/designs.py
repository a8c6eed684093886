"""What all reports of a record come down to: a design each, with the same few figures, as tables and dashboards show.

Every figure names its place in the record (``key``, parts joined by ``/``), so that what is shown can be checked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from flows.contracts.resources import KINDS

ROUTED, BITSTREAM, KERNEL = "accelerator, routed", "bitstream", "kernel, linked"
KERNEL_ESTIMATE, HLS = "kernel, estimated", "C++ models, HLS estimate"
ADVANCE = (BITSTREAM, KERNEL, ROUTED, "accelerator, synthesized", KERNEL_ESTIMATE, HLS)
"""Designs from the one that is nearest to hardware on."""


@dataclass(frozen=True)
class Figure:
    """A value, and where the record has it; ``key`` is None when it was derived."""

    value: float
    key: str | None = None


@dataclass(frozen=True)
class Amount:
    """A kind of resource: amount used, and what it is of the device; None where the report does not say."""

    used: Figure
    available: float | None
    share: Figure | None


@dataclass(frozen=True)
class Design:
    """A design that a tool reported on.

    Attributes
    ----------
    name : as ``bitstream``
    tool : whose figures these are
    routed : placed and routed, so the figures are no estimates
    amounts : resources by kind
    target_mhz, reachable_mhz : clock asked for, and the one that the slack allows (of an ``.xclbin`` the one that
        v++ gave it)
    wns, whs : worst slack of setup and hold, in ns
    met : timing is met; ``met_key`` is where the record says so
    """

    name: str
    tool: str
    routed: bool
    amounts: Mapping[str, Amount] = field(default_factory=dict)
    target_mhz: Figure | None = None
    reachable_mhz: Figure | None = None
    wns: Figure | None = None
    whs: Figure | None = None
    met: bool | None = None
    met_key: str | None = None

    @property
    def verdict(self) -> str:
        """Whether timing is met, in words; empty when nothing says so."""
        return "" if self.met is None else "met" if self.met else "NOT met"


def designs_of(content: Mapping[str, Any]) -> tuple[Design, ...]:
    """The designs of a record of kind ``vivado`` or ``vitis_hls``, in the order of the record."""
    if content["kind"] == "vitis_hls":
        return (_estimated(content),)
    return tuple(_kernel(name, found, content) if name == KERNEL else _vivado(name, found)
                 for name, found in content["designs"].items())


def furthest(designs: Sequence[Design]) -> Design:
    """The design that is nearest to hardware."""
    return min(designs, key=lambda design: ADVANCE.index(design.name) if design.name in ADVANCE else len(ADVANCE))


def _vivado(name: str, found: Mapping[str, Any]) -> Design:
    place, timing = f"designs/{name}", found.get("timing") or {}

    def figure(key: str) -> Figure | None:
        value = timing.get(key)
        return None if value is None else Figure(value, f"{place}/timing/{key}")

    return Design(name, "Vivado", name in (ROUTED, BITSTREAM), _amounts(found, place), figure("clock_mhz"),
                  figure("fmax_mhz"), figure("wns"), figure("whs"), timing.get("met"),
                  f"{place}/timing/met" if timing else None)


def _amounts(found: Mapping[str, Any], place: str) -> dict[str, Amount]:
    rows = found.get("utilization") or {}
    return {kind: Amount(Figure(rows[kind]["used"], f"{place}/utilization/{kind}/used"), rows[kind]["available"],
                         Figure(rows[kind]["share"], f"{place}/utilization/{kind}/share"))
            for kind in KINDS if kind in rows}


def _kernel(name: str, found: Mapping[str, Any], content: Mapping[str, Any]) -> Design:
    """A kernel of v++, which lowers the clock of the ``.xclbin`` when timing is not met at the one asked for."""
    place = f"designs/{name}"
    unit, estimate = next(iter((found.get("estimate") or {}).items()), ("", {}))
    asked = estimate.get("target_mhz")
    target = (Figure(asked, f"{place}/estimate/{unit}/target_mhz") if asked is not None
              else Figure(content["clock_mhz"], "clock_mhz") if content.get("clock_mhz") else None)
    if "utilization" not in found and "clocks" not in found:
        amounts = {kind: Amount(Figure(estimate[kind], f"{place}/estimate/{unit}/{kind}"), None, None)
                   for kind in KINDS if kind in estimate}
        reachable = estimate.get("estimated_mhz")
        return Design(KERNEL_ESTIMATE, "Vitis", False, amounts, target,
                      None if reachable is None else Figure(reachable, f"{place}/estimate/{unit}/estimated_mhz"))
    runs_at = next((Figure(clock["mhz"], f"{place}/clocks/{index}/mhz")
                    for index, clock in enumerate(found.get("clocks") or ()) if clock["kind"] == "DATA"), None)
    met = None if runs_at is None or target is None else runs_at.value >= target.value
    return Design(name, "Vitis", True, _amounts(found, place), target, runs_at, met=met)


def _estimated(content: Mapping[str, Any]) -> Design:
    """The estimate of Vitis HLS, which knows no slack."""
    amounts = {kind: Amount(Figure(content["used"][kind], f"used/{kind}"), content["available"][kind],
                            None if content["share"][kind] is None else Figure(content["share"][kind], f"share/{kind}"))
               for kind in KINDS if content["used"][kind] or content["available"][kind]}
    return Design(HLS, "Vitis HLS", False, amounts, Figure(content["target_mhz"], "target_mhz"),
                  Figure(content["clock_mhz"], "clock_mhz"), met=content["meets_clock"], met_key="meets_clock")
