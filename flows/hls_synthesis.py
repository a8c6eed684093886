"""Reads the synthesis report (``csynth.xml``) of Vitis HLS."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from flows.contracts.errors import ArtifactError
from flows.contracts.resources import Resources

REPORT_PATH = Path("solution1", "syn", "report", "csynth.xml")
"""Where the tool leaves it in a project folder."""
_TAGS = {"lut": ("LUT",), "ff": ("FF",), "dsp": ("DSP", "DSP48E"), "uram": ("URAM",)}


@dataclass(frozen=True)
class Loop:
    """A loop of the report; None where the tool could not tell.

    Attributes
    ----------
    name : label in the source, with those of the loops around it
    trip_count, latency : the most
    interval : initiation interval of a pipelined loop
    depth : its stages
    """

    name: str
    trip_count: int | None
    latency: int | None
    interval: int | None
    depth: int | None


@dataclass(frozen=True)
class Synthesis:
    """What the tool estimates before logic synthesis; None where it could not tell.

    Attributes
    ----------
    version : of the tool
    part, top : device and top function
    target_ns, estimated_ns : clock period
    latency : cycles of a call, least and most
    interval : cycles between calls, least and most
    used, available : resources
    loops : all loops, outer ones first
    """

    version: str
    part: str
    top: str
    target_ns: float
    estimated_ns: float
    latency: tuple[int | None, int | None]
    interval: tuple[int | None, int | None]
    used: Resources
    available: Resources
    loops: tuple[Loop, ...]

    @property
    def clock_mhz(self) -> float:
        """Clock that the estimate allows."""
        return 1000 / self.estimated_ns

    @property
    def target_mhz(self) -> float:
        """Clock that was asked for."""
        return 1000 / self.target_ns

    @property
    def meets_clock(self) -> bool:
        """Whether the estimate is within the target."""
        return self.estimated_ns <= self.target_ns

    def to_dict(self) -> dict[str, Any]:
        """Everything, for JSON; ``share`` is that of the device by kind of resource, None where it has none of it."""
        share = {kind: part if part != float("inf") else None for kind, part in self.used.share(self.available).items()}
        return {**dataclasses.asdict(self), "target_mhz": self.target_mhz, "clock_mhz": self.clock_mhz,
                "meets_clock": self.meets_clock, "share": share}


def read_synthesis(path: Path | str) -> Synthesis:
    """Read a report: the file, or a project folder that holds it.

    Raises
    ------
    ArtifactError
        When it is missing, or no such report.
    """
    path = report_file(Path(path))
    try:
        root = ElementTree.parse(path).getroot()
    except FileNotFoundError:
        raise ArtifactError(f"no synthesis report at {path}; run run_hls.tcl in Vitis HLS first") from None
    except (OSError, ElementTree.ParseError) as error:
        raise ArtifactError(f"{path} is no synthesis report of Vitis HLS ({error})") from None
    try:
        return _synthesis(root)
    except (KeyError, ValueError) as error:
        raise ArtifactError(f"{path} is no synthesis report of Vitis HLS: {error}") from None


def report_file(path: Path) -> Path:
    """The report itself, of a project folder that holds it.

    Raises
    ------
    ArtifactError
        When a folder holds none.
    """
    if not path.is_dir():
        return path
    found = next((path / prefix / REPORT_PATH for prefix in ("", "vit_accel")
                  if (path / prefix / REPORT_PATH).is_file()), None)
    if found is None:
        raise ArtifactError(f"{path} holds no {REPORT_PATH}; run its run_hls.tcl in Vitis HLS first")
    return found


def _synthesis(root: ElementTree.Element) -> Synthesis:
    overall = "PerformanceEstimates/SummaryOfOverallLatency"
    return Synthesis(
        version=root.findtext("ReportVersion/Version", "unknown").strip(),
        part=_text(root, "UserAssignments/Part"), top=_text(root, "UserAssignments/TopModelName"),
        target_ns=float(_text(root, "UserAssignments/TargetClockPeriod")),
        estimated_ns=float(_text(root, "PerformanceEstimates/SummaryOfTimingAnalysis/EstimatedClockPeriod")),
        latency=(_number(root, f"{overall}/Best-caseLatency"), _number(root, f"{overall}/Worst-caseLatency")),
        interval=(_number(root, f"{overall}/Interval-min"), _number(root, f"{overall}/Interval-max")),
        used=_resources(root, "AreaEstimates/Resources"),
        available=_resources(root, "AreaEstimates/AvailableResources"),
        loops=tuple(_loops(root.find("PerformanceEstimates/SummaryOfLoopLatency"), "")))


def _text(root: ElementTree.Element, place: str) -> str:
    text = root.findtext(place)
    if text is None or not text.strip():
        raise KeyError(f"{place} is missing")
    return text.strip()


def _number(root: ElementTree.Element, place: str) -> int | None:
    """A number, or the upper end of a range; None for "undef" and what is not there."""
    node = root.find(place)
    if node is None:
        return None
    largest = node.findtext("range/max")
    text = (node.text or "") if largest is None else largest
    text = text.split("~")[-1].strip()
    return int(text) if text.isdigit() else None


def _resources(root: ElementTree.Element, place: str) -> Resources:
    amounts: dict[str, float] = {}
    for kind, tags in _TAGS.items():
        found = [value for tag in tags if (value := _number(root, f"{place}/{tag}")) is not None]
        if not found:
            raise KeyError(f"{place} has no {tags[0]}")
        amounts[kind] = found[0]
    halves = _number(root, f"{place}/BRAM_18K")
    if halves is None:
        raise KeyError(f"{place} has no BRAM_18K")
    return Resources(bram36=halves / 2, **amounts)


_FIGURES = {"Name", "Slack", "TripCount", "Latency", "AbsoluteTimeLatency", "IterationLatency", "PipelineII",
            "PipelineDepth", "PipelineType", "InstanceList", "AchievedII", "range"}


def _loops(node: ElementTree.Element | None, outer: str) -> Iterator[Loop]:
    """Elements below are loops, named like their labels, with figures and further loops in them."""
    for child in [] if node is None else node:
        if child.tag in _FIGURES:
            continue
        name = f"{outer}{child.findtext('Name', child.tag).strip()}"
        yield Loop(name, _number(child, "TripCount"), _number(child, "Latency"), _number(child, "PipelineII"),
                   _number(child, "PipelineDepth"))
        yield from _loops(child, f"{name}.")
