"""Keeping a simulation: its report, and what was asked for."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from flows.cache import file_hash
from flows.runs.store import keep
from flows.sim_flow import SimOptions


def keep_simulation(options: SimOptions, pictures: Sequence[Path], content: Mapping[str, Any]) -> Path:
    """Keep the report of ``sievit sim``; the same network, hardware, pictures and memory replace it.

    Parameters
    ----------
    options : of the simulation
    pictures : image files in the order of execution
    content : the stamped report

    Returns
    -------
    Path
        The folder of the store.
    """
    hardware = content["hardware"]
    place = content["board"] or f"{hardware['clusters']}x{hardware['groups']}"
    key = [content["artifact_hash"], content["board"], hardware, options.layers,
           dataclasses.asdict(options.memory), [file_hash(path) for path in pictures]]
    return keep(content, f"{content['model']}-{place}", key)
