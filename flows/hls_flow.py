"""``sim`` and ``eval`` on the natively compiled HLS models: same programs, same comparisons, no clock cycles."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from flows.batch_flow import first_mismatch, obtain_golden
from flows.board_config import memory_of
from flows.compile import Program, image_words
from flows.compile.decode import dropping_steps
from flows.contracts.artifact import SparseVit
from flows.contracts.errors import ConfigError
from flows.contracts.hardware import HardwareConfig
from flows.hls_vectors import Vector
from flows.sim_flow import (
    Outcome,
    Report,
    SimOptions,
    Stages,
    estimate_for,
    obtain_configured,
    obtain_program,
    verdict_of,
)
from hls_models.native import Engine, EngineRun, engine_for
from sim.accelerator import Run
from sim.golden.network import Result


@dataclass(frozen=True, eq=False)
class HlsOutcome:
    """What a run of the HLS models gave.

    Attributes
    ----------
    pictures : image file of each image
    images : one :class:`flows.sim_flow.Outcome` each; its ``run`` has no cycles (0), and records that count records
    seconds : wall clock by stage
    engine_seconds : processor time of all images in the models, without records; on a machine that does nothing
        else it is the wall clock
    """

    pictures: tuple[Path, ...]
    images: tuple[Outcome, ...]
    seconds: dict[str, float]
    engine_seconds: float

    @property
    def mismatch(self) -> str:
        """The first image that differs, and its first difference; empty when there is none."""
        return first_mismatch(self.pictures, self.images)


def simulate_hls(options: SimOptions, pictures: Sequence[Path], report: Report | None = None) -> HlsOutcome:
    """Run images through the HLS models of a network and compare every integer with the golden model.

    Parameters
    ----------
    options : as for :func:`flows.sim_flow.simulate_network`; ``image`` is not used
    pictures : image files in the order of execution; equal ones are computed once by the golden model
    report : called with progress

    Raises
    ------
    SievitError
        For unusable options and files, and when the models cannot be compiled. A difference to the golden model is no
        exception here but ``HlsOutcome.mismatch``.
    """
    _refuse(options)
    stages = Stages(report)
    artifact, codes, golden, program = _prepare(options, pictures, stages)
    stages.begin("build")
    engine = engine_for(program.config)
    stages.begin("HLS models")
    words = {path: image_words(program, patches).tobytes() for path, patches in codes.items()}
    images = []
    for index, path in enumerate(pictures):
        images.append(_outcome(path, artifact, program, golden[path], engine, words[path], options, stages))
        stages.share((index + 1) / len(pictures))
    seconds = best_seconds(engine, program, [words[path] for path in pictures])
    stages.begin("")
    return HlsOutcome(tuple(pictures), tuple(images), stages.seconds, seconds)


def vectors_of(options: SimOptions, pictures: Sequence[Path], report: Report | None = None) -> Vector:
    """A program with images, and every integer that the golden model says must come out.

    Parameters and errors are those of :func:`simulate_hls`.
    """
    _refuse(options)
    stages = Stages(report)
    _, codes, golden, program = _prepare(options, pictures, stages)
    stages.begin("")
    return Vector(program, tuple(codes[path] for path in pictures), tuple(golden[path] for path in pictures))


def _prepare(options: SimOptions, pictures: Sequence[Path], stages: Stages
             ) -> tuple[SparseVit, dict[Path, np.ndarray], dict[Path, Result], Program]:
    """Stages ``export``, ``golden``, ``search`` (for a board) and ``compile``."""
    artifact, codes, golden = obtain_golden(options, pictures, stages)
    return artifact, codes, golden, obtain_configured(artifact, options, stages)[1]


def best_seconds(engine: Engine, program: Program, images: Sequence[bytes], repeats: int = 3) -> float:
    """Processor time of the models, which know only one thread, for all images; the best of some repeats.

    Others may use the machine too: the wall clock would tell how much they leave.
    """
    taken = []
    for _ in range(repeats):
        begin = time.thread_time()
        engine.run(program.stream, images)
        taken.append(time.thread_time() - begin)
    return min(taken)


def _refuse(options: SimOptions) -> None:
    """Options that would change nothing are errors."""
    if options.trace:
        raise ConfigError("the HLS models have no waveform; leave out --trace, or use --engine rtl")
    if options.memory != memory_of(options.board, bandwidth=None):
        raise ConfigError("the HLS models have no memory to wait for; leave out --latency, --bandwidth and --stall, or "
                          "use --engine rtl")


def _outcome(picture: Path, artifact: SparseVit, program: Program, golden: Result, engine: Engine,
             image: bytes, options: SimOptions, stages: Stages) -> Outcome:
    run = run_of(engine.run(program.stream, [image], record=True), golden.logits.size)
    comparison, mismatch = verdict_of(golden, run, program)
    return Outcome(artifact, program.config, program, golden, run, comparison, _in_other_words(mismatch),
                   estimate_for(program, golden, options.memory), stages.seconds, picture, options.board)


def _in_other_words(mismatch: str) -> str:
    """What the comparison calls hardware is the models here, and their records have no cycle but a number."""
    return re.sub(r"\(cycle (\d+)\)", r"(word \1)", mismatch.replace(": hardware ", ": HLS model "))


def run_of(result: EngineRun, classes: int) -> Run:
    """One image of the models in the form of the simulated accelerator's run; its cycles are 0."""
    return Run(0, result.logits(classes)[0], result.output[0], result.records, dict(result.registers), None, 0.0)


class HlsNetwork:
    """A network on the HLS models, for many images.

    Parameters
    ----------
    artifact : the network
    config : the hardware; it does not change a bit of the result
    """

    def __init__(self, artifact: SparseVit, config: HardwareConfig) -> None:
        self.artifact = artifact
        self.program = obtain_program(artifact, config)
        self.engine = engine_for(config)
        steps = self.program.manifest["steps"]
        self._drops = [int(steps[index]["name"].split(".")[0].removeprefix("block"))
                       for index in dropping_steps(self.program.stream, config)]

    def run(self, patches: np.ndarray) -> tuple[np.ndarray, list[int]]:
        """Logits int16 ``(classes,)`` of one image int8 ``(N, P)``, and the tokens alive after each block."""
        result = self.engine.run(self.program.stream, [image_words(self.program, patches)])
        kept = result.registers["TOKENS_KEPT"]
        assert isinstance(kept, list)
        after = dict(zip(self._drops, kept, strict=False))
        tokens, alive = [], self.artifact.tokens
        for block in range(len(self.artifact.blocks)):
            alive = after.get(block, alive)
            tokens.append(alive)
        return result.logits(self.artifact.head.weight.shape[0])[0], tokens
