"""Diagrams of the pages, drawn from the configuration and the elaborated hierarchy of the hardware."""

from __future__ import annotations

from collections.abc import Callable

DIAGRAMS: dict[str, Callable[[], str]] = {}
"""By name of the file in ``docs/assets``, without ``.svg``."""
