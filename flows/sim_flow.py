"""The ``sim`` command as a function: model and image in, a bit-exact run of the whole accelerator out.

Export, golden model, compiler, RTL, simulation, comparison; whatever does not depend on the image is kept for the
next run.
"""

from __future__ import annotations

import dataclasses
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from boards.board import Board
from flows.board_config import hardware_on
from flows.cache import cached, file_hash, source_hash
from flows.compile import (
    Estimate,
    Program,
    compile_program,
    estimate,
    image_words,
    load_program,
    save_program,
)
from flows.compile.decode import dropping_steps
from flows.contracts.artifact import SparseVit, load_artifact, save_artifact
from flows.contracts.errors import ArtifactError, ConfigError, MismatchError
from flows.contracts.hardware import HardwareConfig
from flows.contracts.preprocess import load_image, patch_codes
from flows.shipped import shipped_artifact
from sim.accelerator import Frame, MemoryOptions, Run, build_accelerator, run_frames
from sim.compare import Comparison, RecordMismatchError, check_starts, compare, compare_logits
from sim.golden.network import Result, run, select_layers
from sim.runner import Build
from sim.wave_files import write_views

Report = Callable[[str, float], None]
"""Called with the name of a stage and the finished share of it."""


@dataclass(frozen=True)
class ExportOptions:
    """What decides the artifact; the fields are those of :func:`algo.export.export`."""

    model: str = "deit_t"
    weights: Path | None = None
    keep_blocks: float | None = None
    keep_tokens: float | None = None
    drop_layers: tuple[int, ...] | None = None
    drop_mode: str | None = None
    threshold: float | None = None
    balanced: bool = False
    keep_neurons: float = 1.0
    calibration: Path | None = None
    calibration_images: int | None = None
    calibrate: str | None = None
    weight_bits: int | Mapping[str, int] | None = None
    seed: int = 0
    synthetic: bool = False

    def arguments(self) -> dict[str, Any]:
        """Keyword arguments for ``export``; what is not given keeps its default."""
        values = dataclasses.asdict(self)
        del values["model"]
        return {name: value for name, value in values.items() if value is not None}


@dataclass(frozen=True)
class SimOptions:
    """Options of a simulation.

    Attributes
    ----------
    export : how to make the artifact, unless ``artifact`` is given
    artifact : file of an artifact made before
    image : picture to classify; None takes the photograph of a cat that scikit-image ships
    board : take the configuration that the search chooses for it
    hardware : fields of :class:`HardwareConfig` that are given
    layers : first and last block, when only a part of the network runs
    memory : behaviour of the simulated memory
    trace : write a waveform
    run_dir : where log, records and waveform stay
    """

    export: ExportOptions = field(default_factory=ExportOptions)
    artifact: Path | None = None
    image: Path | None = None
    board: Board | None = None
    hardware: Mapping[str, Any] = field(default_factory=dict)
    layers: tuple[int, int] | None = None
    memory: MemoryOptions = field(default_factory=MemoryOptions)
    trace: bool = False
    run_dir: Path | None = None


@dataclass(frozen=True, eq=False)
class Outcome:
    """What a simulation gave.

    Attributes
    ----------
    comparison : None when hardware and golden model differ
    mismatch : the first difference in words, empty when there is none
    estimate : cycle model for this image's tokens and this memory
    picture : the image file
    board : the board that the configuration was chosen for, if any
    seconds : wall clock by stage
    """

    artifact: SparseVit
    config: HardwareConfig
    program: Program
    golden: Result
    run: Run
    comparison: Comparison | None
    mismatch: str
    estimate: Estimate
    seconds: dict[str, float]
    picture: Path
    board: Board | None = None


class Stages:
    """Measures stages and reports them as they run."""

    def __init__(self, report: Report | None) -> None:
        self.seconds: dict[str, float] = {}
        self._report = report or (lambda stage, share: None)
        self._name, self._begin = "", time.monotonic()

    def begin(self, name: str) -> None:
        """End the stage before and begin ``name`` (an empty name begins none)."""
        now = time.monotonic()
        if self._name:
            self.seconds[self._name] = now - self._begin
            self._report(self._name, 1.0)
        self._name, self._begin = name, now
        if name:
            self._report(name, 0.0)

    def share(self, share: float) -> None:
        """Report progress within the stage."""
        self._report(self._name, min(share, 1.0))


def simulate_network(options: SimOptions, report: Report | None = None) -> Outcome:
    """Run one image through a network on the simulated accelerator and compare everything.

    Raises
    ------
    SievitError
        For unusable options and files, and when the hardware or the simulator fails. A difference between hardware
        and golden model is no exception here but ``Outcome.mismatch``.
    """
    stages = Stages(report)
    stages.begin("export")
    artifact = obtain_artifact(options, stages.share)
    picture = options.image or default_image()
    pixels = load_image(picture)
    if options.layers is not None:
        artifact = select_layers(artifact, *options.layers)
    stages.begin("golden")
    codes = patch_codes(pixels, artifact)
    golden = run(artifact, codes, record=True)
    config, program, built = obtain_hardware(artifact, options, stages)
    stages.begin("simulate")
    model = estimate_for(program, golden, options.memory)
    expected = model.total
    frame = Frame(program.stream.tobytes(), image_words(program, codes).tobytes(), golden.logits.size)
    (result,) = run_frames([frame], config, memory=options.memory, trace=options.trace, built=built,
                           run_dir=options.run_dir, max_cycles=20 * expected + 1_000_000,
                           progress=lambda frame, step, cycle: stages.share(cycle / expected))
    stages.begin("compare")
    comparison, mismatch = verdict_of(golden, result, program)
    if result.wave is not None:
        write_views(result.wave, cycle_of(golden, result, program) if mismatch else None)
    stages.begin("")
    return Outcome(artifact, config, program, golden, result, comparison, mismatch, model, stages.seconds,
                   picture, options.board)


def obtain_hardware(artifact: SparseVit, options: SimOptions, stages: Stages) -> tuple[HardwareConfig, Program, Build]:
    """Stages ``search`` (for a board), ``compile`` and ``build``: configuration, program and simulator."""
    config, program = obtain_configured(artifact, options, stages)
    stages.begin("build")
    return config, program, build_accelerator(config, trace=options.trace)


def obtain_configured(artifact: SparseVit, options: SimOptions, stages: Stages) -> tuple[HardwareConfig, Program]:
    """Stages ``search`` (for a board) and ``compile``: configuration and program."""
    if options.board is not None:
        stages.begin("search")
    config = hardware_on(artifact, options.board, options.hardware,
                         lambda stage, share: stages.share(share if stage == "compile" else 0.0))
    stages.begin("compile")
    return config, obtain_program(artifact, config)


def estimate_for(program: Program, golden: Result, memory: MemoryOptions) -> Estimate:
    """Cycle model of one image alone, for the tokens that are alive in it."""
    return estimate(program.stream, program.config, bytes_per_cycle=memory.bandwidth, latency=memory.latency,
                    alive=tokens_after_drops(program, golden))


def verdict_of(golden: Result, result: Run, program: Program, *, kept: bool = True) -> tuple[Comparison | None, str]:
    """What :func:`compare_run` finds: the comparison, or None and the first difference in words."""
    try:
        return compare_run(golden, result, program, kept=kept), ""
    except MismatchError as error:
        return None, str(error)


def cycle_of(golden: Result, result: Run, program: Program) -> int | None:
    """Cycle of the first difference that :func:`compare_run` finds; None when it has none."""
    try:
        compare_run(golden, result, program)
    except RecordMismatchError as error:
        return error.difference.cycle
    except MismatchError:
        pass
    return None


def compare_run(golden: Result, result: Run, program: Program, *, kept: bool = True) -> Comparison:
    """Compare probe records, output buffer and token counts of a run.

    Parameters
    ----------
    golden, result, program : golden model, hardware, and what it executed
    kept : compare registers TOKENS_KEPT; of several images they show only the last one

    Raises
    ------
    MismatchError
        Naming the first difference.
    """
    steps = [entry["name"] for entry in program.manifest["steps"]]
    check_starts(result.records, steps)
    comparison = compare(golden.checkpoints, result.records, steps, program.config, golden.unused)
    compare_logits(golden.logits, result.logits)
    expected = list(tokens_after_drops(program, golden).values())
    if kept and result.tokens_kept != expected:
        raise MismatchError(f"registers TOKENS_KEPT hold {result.tokens_kept}, the golden model has {expected}")
    return comparison


def tokens_after_drops(program: Program, golden: Result) -> dict[int, int]:
    """Tokens alive after each step that drops tokens, by step index."""
    names = [entry["name"] for entry in program.manifest["steps"]]
    return {index: golden.tokens[int(names[index].split(".")[0].removeprefix("block"))]
            for index in dropping_steps(program.stream, program.config)}


def obtain_artifact(options: SimOptions, share: Callable[[float], None] | None = None) -> SparseVit:
    """Load the artifact, or export it, once for the same options, weights and sources.

    A model without any option is the trained one that comes with sievit, if there is one.
    """
    if options.artifact is not None:
        return load_artifact(options.artifact)
    chosen = options.export
    shipped = shipped_artifact(chosen.model) if chosen == ExportOptions(model=chosen.model) else None
    if shipped is not None:
        return load_artifact(shipped)
    check_export(chosen)
    key = {name: file_hash(value) if isinstance(value, Path) else value
           for name, value in chosen.arguments().items()}
    key |= {"model": chosen.model, "sources": source_hash("algo", "flows/contracts")}
    path = cached(f"artifact-{re.sub(r'[^a-z0-9_]', '_', chosen.model)}", key, ".safetensors")
    try:
        return load_artifact(path)
    except ArtifactError:
        path.unlink(missing_ok=True)
    from algo.export import export  # torch only when it is needed

    artifact = export(chosen.model, **chosen.arguments(),
                      progress=(lambda stage, part: share(part)) if share is not None else None)
    save_artifact(artifact, path)
    return artifact


def check_export(options: ExportOptions) -> None:
    """Refuse what can be refused before anything is loaded.

    Raises
    ------
    ConfigError
        Naming the option.
    """
    for name in ("keep_blocks", "keep_tokens", "keep_neurons"):
        share = getattr(options, name)
        if share is not None and not 0 < share <= 1:
            raise ConfigError(f"--{name.replace('_', '-')} must be above 0 and at most 1, not {share}")
    for name in ("weights", "calibration"):
        path = getattr(options, name)
        if path is not None and not path.exists():
            raise ConfigError(f"--{name}: no such file: {path}")


def obtain_program(artifact: SparseVit, config: HardwareConfig) -> Program:
    """Compile, once for the same artifact, configuration and compiler."""
    key = {"artifact": artifact.content_hash(), "config": config.to_dict(),
           "sources": source_hash("flows/compile", "flows/contracts")}
    path = cached("program", key, ".safetensors")
    try:
        return load_program(path, config)
    except ArtifactError:
        path.unlink(missing_ok=True)
    program = compile_program(artifact, config)
    save_program(program, path)
    return program


def layers_of(text: str | None) -> tuple[int, int] | None:
    """``"0..2"`` or ``"5"`` as first and last block.

    Raises
    ------
    ConfigError
        For anything else.
    """
    if text is None:
        return None
    match = re.fullmatch(r"(\d+)(?:\.\.(\d+))?", text)
    if match is None:
        raise ConfigError(f"--layers must be a block or a range such as 0..2, not {text!r}")
    return int(match[1]), int(match[2] or match[1])


def default_image() -> Path:
    """A photograph of a cat: ``chelsea``, CC0, which scikit-image ships."""
    import skimage

    return Path(skimage.__file__).parent / "data" / "chelsea.png"
