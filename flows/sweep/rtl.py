"""Points of a sweep on the simulated accelerator."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from boards.board import Board
from flows.board_config import memory_of
from flows.runs.simulation import keep_simulation
from flows.sim_flow import SimOptions, simulate_network
from flows.sim_report import report_of
from flows.sweep.network import NetworkSpec

SAME_CYCLES = {"multiplier": "plain", "uram_words": 0}
"""Fields that change the circuit but no cycle, and how the simulation has them: plain multipliers simulate fastest."""


@dataclass(frozen=True)
class SimulationTask:
    """A point to simulate; can be pickled.

    Attributes
    ----------
    network : to run, on a photograph of a cat
    hardware : all fields of :class:`flows.contracts.hardware.HardwareConfig`, sorted by name
    board : gives the memory's speed; None for one as wide as the bus
    """

    network: NetworkSpec
    hardware: tuple[tuple[str, Any], ...]
    board: Board | None

    def options(self) -> SimOptions:
        """Options of the simulation."""
        return dataclasses.replace(self.network.options(), hardware=dict(self.hardware) | SAME_CYCLES,
                                   memory=memory_of(self.board, bandwidth=None))


def simulate(task: SimulationTask) -> list[dict[str, Any]]:
    """The report of ``sievit sim`` for a point, the only one in a list; the simulation is kept in the store of runs."""
    options = task.options()
    outcome = dataclasses.replace(simulate_network(options), board=task.board)
    report = report_of(outcome)
    return [report | {"run": keep_simulation(options, [outcome], report).name}]


def measured(point: Mapping[str, Any], report: Mapping[str, Any]) -> dict[str, Any]:
    """A point with the cycles of a simulation in the place of the cycle model's, which become ``expected_cycles``."""
    cycles = report["cycles"]
    milliseconds = cycles / (point["clock_mhz"] * 1000)
    return {**point, "source": "rtl", "cycles": cycles, "expected_cycles": point["cycles"],
            "milliseconds": milliseconds, "images_per_second": 1000 / milliseconds,
            "utilization": report["useful_macs"] / (cycles * report["peak_macs_per_cycle"]),
            "bit_exact": report["bit_exact"], "mismatch": report["mismatch"], "run": report["run"]}
