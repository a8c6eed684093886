"""A run in a folder, whole: network, image, and what the hardware wrote, for ``sievit diff`` to look at later."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from flows.cache import ROOT
from flows.contracts.artifact import SparseVit, load_artifact, save_artifact
from flows.contracts.errors import ConfigError
from flows.contracts.files import replacing, write_json
from flows.contracts.hardware import HardwareConfig
from flows.contracts.preprocess import load_image, patch_codes
from flows.sim_flow import Outcome, Report, SimOptions, default_image, simulate_network
from sim.probes import RECORD

FACTS, ARTIFACT, ARRAYS = "run.json", "artifact.safetensors", "run.npz"

Engine = str
"""``"rtl"`` or ``"hls"``."""


@dataclass(frozen=True, eq=False)
class SavedRun:
    """What is needed to compare a run once more.

    Attributes
    ----------
    artifact : the blocks that were run
    first_layer : which block of the whole network is the first of these
    config : the hardware
    engine : what ran: the simulated circuit, or the HLS models (whose records have no cycles but numbers)
    image : picture, for messages
    steps : names of the program's steps
    patches : int8 ``(tokens, inputs)``
    records : probe records
    logits : int16, from the output buffer
    mismatch : what the comparison said, empty when it found nothing
    wave : waveform file, if any
    """

    artifact: SparseVit
    first_layer: int
    config: HardwareConfig
    engine: Engine
    image: str
    steps: tuple[str, ...]
    patches: np.ndarray
    records: np.ndarray
    logits: np.ndarray
    mismatch: str
    wave: Path | None


def run_of_outcome(outcome: Outcome, options: SimOptions, engine: Engine) -> SavedRun:
    """A run that has just ended, in this form."""
    return SavedRun(
        artifact=outcome.artifact, first_layer=options.layers[0] if options.layers else 0, config=outcome.config,
        engine=engine, image=str(outcome.picture),
        steps=tuple(entry["name"] for entry in outcome.program.manifest["steps"]),
        patches=patch_codes(load_image(outcome.picture), outcome.artifact), records=outcome.run.records,
        logits=outcome.run.logits, mismatch=outcome.mismatch, wave=outcome.run.wave)


def run_now(options: SimOptions, engine: Engine, report: Report | None = None) -> SavedRun:
    """Run an image, as ``sievit sim`` does.

    Raises
    ------
    SievitError
        As :func:`flows.sim_flow.simulate_network` and :func:`flows.hls_flow.simulate_hls`.
    """
    if engine == "hls":
        from flows.hls_flow import simulate_hls

        (outcome,) = simulate_hls(options, [options.image or default_image()], report).images
        return run_of_outcome(outcome, options, engine)
    return run_of_outcome(simulate_network(options, report), options, engine)


def default_folder(run: SavedRun) -> Path:
    """Where a run stays unless the user says where: beside its waveform, else below ``build/runs``."""
    if run.wave is not None:
        return run.wave.parent
    digest = hashlib.sha256(run.records.tobytes() + run.patches.tobytes() + run.artifact.content_hash().encode())
    return ROOT / "build" / "runs" / f"{run.artifact.model}-{run.engine}-{digest.hexdigest()[:12]}"


def save_outcome(outcomes: Sequence[Outcome], options: SimOptions, engine: Engine) -> Path | None:
    """Save the run of the first image that differs; of one that went well only where it has a folder anyway.

    Parameters
    ----------
    outcomes : of the images of a run, in their order
    options : of the run
    engine : what ran

    Returns
    -------
    The folder; None when nothing was saved.
    """
    number = next((index for index, outcome in enumerate(outcomes) if outcome.mismatch), None)
    if number is None and options.run_dir is None and outcomes[0].run.wave is None:
        return None
    run = run_of_outcome(outcomes[number or 0], options, engine)
    folder = options.run_dir or default_folder(run)
    save_run(run, folder)
    return folder


def save_run(run: SavedRun, folder: Path) -> None:
    """Write a run; files of an earlier one are replaced."""
    save_artifact(run.artifact, folder / ARTIFACT)
    with replacing(folder / ARRAYS) as part, part.open("wb") as file:
        np.savez_compressed(file, patches=run.patches, records=run.records.view(np.uint8), logits=run.logits)
    write_json(folder / FACTS, {
        "engine": run.engine, "image": run.image, "first_layer": run.first_layer, "steps": run.steps,
        "hardware": run.config.to_dict(), "mismatch": run.mismatch,
        "wave": run.wave.name if run.wave is not None and run.wave.parent == folder else None})


def load_run(folder: Path) -> SavedRun:
    """Read a run of :func:`save_run`.

    Raises
    ------
    ConfigError
        When the folder holds none, or a part of it is missing or damaged.
    ArtifactError
        When the network's file is damaged.
    """
    if not (folder / FACTS).is_file():
        raise ConfigError(f"{folder} holds no run; 'sievit sim --run-dir {folder}' leaves one there, and every run "
                          "that differs says where it is")
    try:
        facts: dict[str, Any] = json.loads((folder / FACTS).read_text())
        with np.load(folder / ARRAYS) as arrays:
            patches, logits = arrays["patches"], arrays["logits"]
            records = arrays["records"].view(RECORD)
        return SavedRun(
            artifact=load_artifact(folder / ARTIFACT), first_layer=facts["first_layer"],
            config=HardwareConfig.from_dict(facts["hardware"]), engine=facts["engine"], image=facts["image"],
            steps=tuple(facts["steps"]), patches=patches, records=records, logits=logits,
            mismatch=facts["mismatch"], wave=folder / facts["wave"] if facts["wave"] else None)
    except (OSError, KeyError, ValueError) as error:
        raise ConfigError(f"the run in {folder} is damaged ({error}); run the simulation again") from None
