"""The ``sim`` command's throughput mode: several images back to back in one run of the hardware, each one compared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from flows.compile import Estimate, Program, image_words
from flows.contracts.artifact import SparseVit
from flows.contracts.errors import ConfigError
from flows.contracts.preprocess import load_image, patch_codes
from flows.sim_flow import (
    Outcome,
    Report,
    SimOptions,
    Stages,
    cycle_of,
    estimate_for,
    obtain_artifact,
    obtain_hardware,
    verdict_of,
)
from sim.accelerator import Batch, run_batch
from sim.golden.network import Result, run, select_layers
from sim.runner import Build
from sim.wave_files import write_views

SECONDS_PER_IMAGE = 3600.0
"""Bound on the simulation's wall clock."""


@dataclass(frozen=True, eq=False)
class BatchOutcome:
    """What a simulation of several images gave.

    Attributes
    ----------
    pictures : image file of each image
    images : one :class:`Outcome` each. Its ``run`` is the image's part of the batch, its ``estimate`` the cycle model
        of the image alone, its ``seconds`` those of all images together
    batch : the run as a whole
    seconds : wall clock by stage
    """

    pictures: tuple[Path, ...]
    images: tuple[Outcome, ...]
    batch: Batch
    seconds: dict[str, float]

    @property
    def mismatch(self) -> str:
        """The first image that differs, and its first difference; empty when there is none."""
        return first_mismatch(self.pictures, self.images)


def first_mismatch(pictures: Sequence[Path], images: Sequence[Outcome]) -> str:
    """The first image that differs, named when there are several, and its first difference; empty without one."""
    for number, (path, image) in enumerate(zip(pictures, images, strict=True), 1):
        if image.mismatch:
            where = f"image {number} of {len(images)} ({path.name}): " if len(images) > 1 else ""
            return f"{where}{image.mismatch}"
    return ""


def simulate_batch(options: SimOptions, pictures: Sequence[Path], report: Report | None = None) -> BatchOutcome:
    """Run images through a network in one run of the simulated accelerator, and compare everything of each.

    Parameters
    ----------
    options : as for :func:`flows.sim_flow.simulate_network`; ``image`` is not used
    pictures : image files in the order of execution, two or more; equal ones are read and computed once
    report : called with progress

    Raises
    ------
    SievitError
        For unusable options and files, and when the hardware or the simulator fails. A difference between hardware
        and golden model is no exception here but ``BatchOutcome.mismatch``.
    """
    if len(pictures) < 2:
        raise ConfigError(f"throughput mode takes two images or more, not {len(pictures)}")
    stages = Stages(report)
    artifact, codes, golden = obtain_golden(options, pictures, stages)
    config, program, built = obtain_hardware(artifact, options, stages)
    stages.begin("simulate")
    models = {path: estimate_for(program, result, options.memory) for path, result in golden.items()}
    words = {path: image_words(program, patches).tobytes() for path, patches in codes.items()}
    batch = _simulate(program, [words[path] for path in pictures], [models[path] for path in pictures],
                      artifact.head.weight.shape[0], options, built, stages)
    stages.begin("compare")
    images = []
    for index, (path, part) in enumerate(zip(pictures, batch.images, strict=True)):
        comparison, mismatch = verdict_of(golden[path], part, program, kept=index == len(pictures) - 1)
        images.append(Outcome(artifact, config, program, golden[path], part, comparison, mismatch, models[path],
                              stages.seconds, path, options.board))
        stages.share((index + 1) / len(pictures))
    if batch.wave is not None:
        wrong = next((image for image in images if image.mismatch), None)
        write_views(batch.wave, cycle_of(wrong.golden, wrong.run, program) if wrong else None)
    stages.begin("")
    return BatchOutcome(tuple(pictures), tuple(images), batch, stages.seconds)


def obtain_golden(options: SimOptions, pictures: Sequence[Path], stages: Stages
                  ) -> tuple[SparseVit, dict[Path, np.ndarray], dict[Path, Result]]:
    """Stages ``export`` and ``golden``: the network, and the patch codes and every checkpoint of each picture."""
    stages.begin("export")
    artifact = obtain_artifact(options, stages.share)
    loaded = {path: load_image(path) for path in pictures}
    if options.layers is not None:
        artifact = select_layers(artifact, *options.layers)
    stages.begin("golden")
    codes = {path: patch_codes(picture, artifact) for path, picture in loaded.items()}
    results = {}
    for path, patches in codes.items():
        results[path] = run(artifact, patches, record=True)
        stages.share(len(results) / len(codes))
    return artifact, codes, results


def _simulate(program: Program, images: list[bytes], models: list[Estimate], classes: int, options: SimOptions,
              built: Build, stages: Stages) -> Batch:
    expected = sum(model.total for model in models)
    return run_batch(program.stream.tobytes(), images, program.config, classes=classes, memory=options.memory,
                     trace=options.trace, built=built, run_dir=options.run_dir, max_cycles=20 * expected + 1_000_000,
                     timeout=SECONDS_PER_IMAGE * len(images),
                     progress=lambda frame, step, cycle: stages.share(cycle / expected))
