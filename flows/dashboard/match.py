"""Which records of the store belong together, and the files beside a report."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from flows.contracts.hardware import HardwareConfig
from flows.runs import Kept
from flows.runs.store import DETAILS, PICTURE


def details_of(kept: Kept) -> dict[str, Any]:
    """The run's details; empty when there are none."""
    try:
        content = json.loads((kept.folder / DETAILS).read_text())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def picture_of(kept: Kept) -> bytes | None:
    """What the network saw, as a PNG file."""
    try:
        return (kept.folder / PICTURE).read_bytes()
    except OSError:
        return None


def config_of(hardware: Mapping[str, Any]) -> HardwareConfig:
    """The configuration that a report's ``hardware`` describes."""
    return HardwareConfig.from_dict({name: value for name, value in hardware.items() if name != "config_hash"})


def same_network(kept: Kept, store: Iterable[Kept], kind: str) -> list[Kept]:
    """Records of a kind that are about the same network."""
    digest = kept.content.get("artifact_hash")
    return [other for other in store
            if other.kind == kind and digest is not None and other.content.get("artifact_hash") == digest]


def same_hardware(kept: Kept, store: Iterable[Kept], kind: str) -> list[Kept]:
    """Records of a kind that are about the same circuit."""
    digest = kept.content.get("config_hash")
    return [other for other in store
            if other.kind == kind and digest is not None and other.content.get("config_hash") == digest]


def points_of(content: Mapping[str, Any]) -> Sequence[dict[str, Any]]:
    """Points of a sweep that are usable: those with a time."""
    return [point for _, point in places_of(content)]


def places_of(content: Mapping[str, Any]) -> Sequence[tuple[int, dict[str, Any]]]:
    """The same points with their places in the report."""
    points = content.get("points")
    if not isinstance(points, list):
        return ()
    return [(place, point) for place, point in enumerate(points)
            if isinstance(point, dict) and number(point.get("milliseconds")) is not None]


def number(value: object) -> float | None:
    """A finite number, or None for anything else."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return value if math.isfinite(value) else None
