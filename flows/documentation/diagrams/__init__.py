"""Diagrams of the pages, drawn from the configuration and the elaborated hierarchy of the hardware."""

from __future__ import annotations

from collections.abc import Callable

from flows.documentation.diagrams.headers import draw_headers
from flows.documentation.diagrams.hierarchy import draw_hierarchy
from flows.documentation.diagrams.memories import draw_memories
from flows.documentation.diagrams.movement import draw_core, draw_group

DIAGRAMS: dict[str, Callable[[], str]] = {
    "hierarchy": draw_hierarchy,
    "core": draw_core,
    "group": draw_group,
    "memories": draw_memories,
    "headers": draw_headers,
}
"""By name of the file in ``docs/assets``, without ``.svg``."""
