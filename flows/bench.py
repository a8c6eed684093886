"""The ``bench`` command: how well schedules fill arrays of several sizes, and what the RTL makes of it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from boards.board import Board
from flows import breakdown
from flows.board_config import config_on, memory_of
from flows.compile import Program, compile_program, config_for, estimate
from flows.compile.schedule import schedule
from flows.contracts.artifact import SparseVit
from flows.contracts.hardware import HardwareConfig
from flows.golden_speed import golden_images_per_second
from flows.hls_speed import hls_images_per_second
from flows.sim_flow import ExportOptions, SimOptions, obtain_artifact, obtain_program, simulate_network
from flows.sim_report import report_of
from rtl.packed import array_slices
from sim.accelerator import MemoryOptions


@dataclass(frozen=True)
class Array:
    """A size of the accelerator.

    Attributes
    ----------
    clusters, groups : MAC clusters of a token group, and token groups
    hardware : further fields of :class:`HardwareConfig`
    memory : behaviour of the memory, for the cycle model and the simulation
    """

    clusters: int
    groups: int = 1
    hardware: Mapping[str, Any] = field(default_factory=dict)
    memory: MemoryOptions = field(default_factory=MemoryOptions)


ARRAYS = (Array(1), Array(2), Array(4), Array(4, 2), Array(4, 4))
SPARSITIES = ((1.0, 1.0), (0.5, 0.7))
"""Share of blocks kept, share of tokens kept at every drop."""
MULTIPLIER = "dsp48e2"
"""How the arrays are built when their DSP slices are counted, unless an array says so itself: two MACs in a slice.
Cycles do not depend on it, and the simulation takes the plain form, which is the faster one."""
SLOTS = ("slots", "wait_slots", "drain_wait_slots")
"""What the lower bound of a step counts: slots, and those in which all clusters wait."""

COMPARED_IMAGES = 3
"""Images over which the speed of golden model and HLS models is measured."""

Report = Callable[[str, float], None]


@dataclass(frozen=True)
class BenchOptions:
    """What to measure.

    Attributes
    ----------
    models : registered names
    simulate : run the RTL, and compare it with the golden model
    quick : leave out what takes long and depends on the machine: compile time, speed of golden and HLS models
    synthetic : weights made up from seed 0, whether or not trained ones are at hand
    arrays : sizes of the accelerator
    sparsities : pairs of kept blocks and kept tokens
    board : instead of the sizes, the configuration that the search chooses for each network on it, with its memory
    """

    models: Sequence[str] = ("deit_t",)
    simulate: bool = False
    quick: bool = False
    synthetic: bool = False
    arrays: Sequence[Array] = ARRAYS
    sparsities: Sequence[tuple[float, float]] = SPARSITIES
    board: Board | None = None


def array_dsps(config: HardwareConfig) -> int:
    """DSP slices of all clusters' arrays (post-processing has more) as ``config.multiplier`` builds them."""
    return config.clusters * config.groups * array_slices(config.multiplier) // config.row_cycles


def bench_rows(options: BenchOptions, report: Report | None = None) -> list[dict[str, Any]]:
    """One row per model, sparsity and array.

    ``cycles`` are those of the RTL when it is run (``"source": "rtl"``), else of the cycle model (``"model"``).
    ``utilization`` is useful MACs (kept blocks, alive tokens, no padding) over what the array could do in that time,
    ``useful_macs_per_dsp_cycle`` the same per DSP slice of the array (of packed clusters; 2 is the most),
    ``outside_slot_share`` the share of cycles in which no token is streamed. What was not measured is None.

    Parameters
    ----------
    options : what to measure
    report : called with a stage name and the finished share

    Raises
    ------
    SievitError
        For unknown models, for a network that does not fit the board, and when a simulation fails.
    """
    return [row for model in options.models for sparsity in options.sparsities
            for row in _rows_of(model, sparsity, options, report or (lambda stage, share: None))]


def _rows_of(model: str, sparsity: tuple[float, float], options: BenchOptions, report: Report
             ) -> Iterator[dict[str, Any]]:
    keep_blocks, keep_tokens = sparsity
    stage = f"{model} {keep_blocks:g}/{keep_tokens:g}"
    report(stage, 0.0)
    export = ExportOptions(model=model, keep_blocks=keep_blocks, keep_tokens=keep_tokens, synthetic=options.synthetic)
    artifact = obtain_artifact(SimOptions(export=export))
    speed = None if options.quick else golden_images_per_second(artifact, COMPARED_IMAGES)
    hls_speed = None if options.quick else hls_images_per_second(artifact, COMPARED_IMAGES)
    arrays = options.arrays if options.board is None else (_array_on(artifact, options.board),)
    for index, array in enumerate(arrays):
        config = config_for(artifact, clusters=array.clusters, **{"groups": array.groups, **array.hardware})
        program, seconds = _program(artifact, config, quick=options.quick)
        row = {"model": model, "weights": artifact.weights, "keep_blocks": keep_blocks, "keep_tokens": keep_tokens,
               "board": options.board.name if options.board else None, **_hardware_row(config, array),
               **_model_row(program, config, array), "compile_seconds": seconds,
               "golden_images_per_second": speed, "hls_images_per_second": hls_speed}
        if options.simulate:
            row |= _rtl_row(_simulation(export, array),
                            lambda share, index=index: report(stage, (index + share) / len(arrays)))
        yield row | _ratios(row)
        report(stage, (index + 1) / len(arrays))


def _array_on(artifact: SparseVit, board: Board) -> Array:
    """What the search chooses for a network on a board, its clock and its memory."""
    config = config_on(artifact, board)
    fields = {name: value for name, value in config.to_dict().items() if name not in ("clusters", "groups")}
    return Array(config.clusters, config.groups, fields, memory_of(board, bandwidth=None))


def _program(artifact: SparseVit, config: HardwareConfig, *, quick: bool) -> tuple[Program, float | None]:
    """The program, and the seconds that compiling it takes: really compiled, nothing kept from before."""
    if quick:
        return obtain_program(artifact, config), None
    schedule.cache_clear()
    begin = time.perf_counter()
    program = compile_program(artifact, config)
    return program, time.perf_counter() - begin


def _hardware_row(config: HardwareConfig, array: Array) -> dict[str, Any]:
    packed = config.replace(multiplier=array.hardware.get("multiplier", MULTIPLIER))
    rate = min(array.memory.bandwidth or math.inf, config.bus_bits / 8)
    return {"clusters": config.clusters, "groups": config.groups, "hardware": dict(array.hardware),
            "peak_macs_per_cycle": config.macs_per_cycle, "array_dsps": array_dsps(packed),
            "multiplier": packed.multiplier, "clock_mhz": config.clock_mhz,
            "stream_bits": config.stream_bits, "bus_bits": config.bus_bits,
            "memory_bytes_per_cycle": rate, "memory_latency": array.memory.latency}


def _model_row(program: Program, config: HardwareConfig, array: Array) -> dict[str, Any]:
    names = ("slots", "wait_slots", "drain_wait_slots", "lower_bound_slots", "lower_bound_cycles", "useful_macs")
    model = estimate(program.stream, config, bytes_per_cycle=array.memory.bandwidth,
                     latency=array.memory.latency)
    return {"source": "model", "cycles": model.total, "stall_cycles": sum(model.stalls.values()),
            "expected_cycles": model.total, **{name: program.manifest["totals"][name] for name in names},
            "breakdown": breakdown.estimated(model), "bit_exact": None, "simulation_seconds": None,
            "simulated_cycles_per_second": None}


def _simulation(export: ExportOptions, array: Array) -> SimOptions:
    return SimOptions(export=export, hardware={"clusters": array.clusters, "groups": array.groups, **array.hardware},
                      memory=array.memory)


def _rtl_row(options: SimOptions, share: Callable[[float], None]) -> dict[str, Any]:
    measured = report_of(simulate_network(options, lambda stage, part: share(part if stage == "simulate" else 0.0)))
    names = ("cycles", "stall_cycles", "bit_exact", "simulation_seconds")
    return {"source": "rtl", **{name: measured[name] for name in names},
            "breakdown": measured["breakdown"]["cycles"],
            "simulated_cycles_per_second": measured["cycles"] / measured["simulation_seconds"]}


def _ratios(row: dict[str, Any]) -> dict[str, float]:
    return {"utilization": row["useful_macs"] / (row["cycles"] * row["peak_macs_per_cycle"]),
            "useful_macs_per_dsp_cycle": row["useful_macs"] / (row["cycles"] * row["array_dsps"]),
            "cycles_over_lower_bound": row["cycles"] / row["lower_bound_cycles"],
            "slots_over_lower_bound": sum(row[name] for name in SLOTS) / row["lower_bound_slots"],
            "stall_share": row["stall_cycles"] / row["cycles"],
            "outside_slot_share": breakdown.outside_slots(row["breakdown"]),
            "milliseconds": row["cycles"] / row["clock_mhz"] / 1000}
