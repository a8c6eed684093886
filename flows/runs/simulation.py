"""Keeping a simulation: its report, and what was asked for."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from flows.cache import file_hash
from flows.contracts.files import write_json
from flows.contracts.preprocess import crop, load_image
from flows.runs.details import details_of
from flows.runs.store import DETAILS, PICTURE, keep
from flows.sim_flow import Outcome, SimOptions


def keep_simulation(options: SimOptions, outcomes: Sequence[Outcome], content: Mapping[str, Any]) -> Path:
    """Keep the report of ``sievit sim``; the same network, hardware, pictures and memory replace it.

    Parameters
    ----------
    options : of the simulation
    outcomes : of each image in the order of execution; of the first one, details and the picture as the network sees
        it are kept too
    content : the stamped report

    Returns
    -------
    Path
        The folder of the store.
    """
    hardware = content["hardware"]
    place = content["board"] or f"{hardware['clusters']}x{hardware['groups']}"
    key = [content["artifact_hash"], content["board"], hardware, options.layers,
           dataclasses.asdict(options.memory), [file_hash(outcome.picture) for outcome in outcomes]]
    return keep(content, f"{content['model']}-{place}", key, _attachments(outcomes[0]))


def _attachments(outcome: Outcome) -> dict[str, Callable[[Path], None]]:
    artifact = outcome.artifact

    def details(path: Path) -> None:
        write_json(path, details_of(outcome), indent=None)

    def picture(path: Path) -> None:
        Image.fromarray(crop(load_image(outcome.picture), artifact.image_size)).save(path, format="PNG")

    return {DETAILS: details, PICTURE: picture}
