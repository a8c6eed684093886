"""Cycles and resources of a network on hardware configurations and boards, by the models."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from boards.board import Board
from flows.compile import check_fit, config_for
from flows.contracts.artifact import SparseVit
from flows.contracts.errors import ConfigError
from flows.contracts.hardware import HardwareConfig
from flows.contracts.resources import Resources
from flows.cost import useful_macs
from flows.search import Parts, Placement, Shortage, limits_with, settle
from flows.search.cycles import CIRCUIT_ONLY, CycleModel
from flows.search.find import model_parts
from flows.search.space import MULTIPLIERS, URAM_WORDS, buses, bytes_per_cycle
from flows.sweep.network import NetworkSpec, network_of

FAMILY = "ultrascale+"
"""Family whose resources are given where there is no board."""


@dataclass(frozen=True)
class Case:
    """A hardware configuration on a board.

    Attributes
    ----------
    hardware : fields of :class:`HardwareConfig` that are given, sorted by name
    board : None for no board in particular
    """

    hardware: tuple[tuple[str, Any], ...]
    board: Board | None

    def program_key(self) -> tuple[tuple[str, Any], ...]:
        """What its program depends on, as far as the options tell: cases that agree in it are judged together."""
        return tuple((name, value) for name, value in self.hardware if name not in CIRCUIT_ONLY)


@dataclass(frozen=True)
class JudgeTask:
    """Points that share a network and a program; can be pickled.

    Attributes
    ----------
    network : of all of them
    cases : what it runs on
    limits : shares of a board's resources that may be used
    exact : by the cycle model; otherwise only a lower bound on the cycles, which needs no compiler
    """

    network: NetworkSpec
    cases: tuple[Case, ...]
    limits: tuple[tuple[str, float], ...]
    exact: bool = True


def judge(task: JudgeTask) -> list[dict[str, Any]]:
    """Figures of each case, as JSON can hold them; ``{"left_out": why}`` where there is no such configuration.

    ``share`` is the largest share of a resource, of any die, that ``share_of`` names; both are None without a board.
    ``cycles`` are those of the cycle model, or with ``exact`` false of the bound. What does not fit has ``why``.
    """
    artifact = network_of(task.network)
    limits = limits_with(dict(task.limits))
    macs: list[int] = []
    results = []
    for case in task.cases:
        try:
            config, parts, found = configure(artifact, dict(case.hardware), case.board, limits)
        except ConfigError as error:
            results.append({"left_out": str(error)})
            continue
        macs = macs or [useful_macs(artifact, config)]
        results.append(_figures(artifact, config, case.board, task.exact, macs[0]) | _fit(parts, found, case.board))
    return results


def configure(artifact: SparseVit, given: Mapping[str, Any], board: Board | None, limits: Mapping[str, float]
              ) -> tuple[HardwareConfig, Parts, Placement | Shortage | None]:
    """The configuration for a network, some given fields and a board.

    What is not given follows from network and board: sizes, clock, bus, and of the ways to multiply and to use UltraRAM
    the one that leaves the largest share of the board free.

    Returns
    -------
    Configuration, resources, and placement, or what is missing; None without a board.

    Raises
    ------
    ConfigError
        When the fields do not go together, or the network is larger than they allow.
    """
    fields: dict[str, Any] = ({"clock_mhz": board.clock_mhz} if board else {}) | dict(given)
    base = config_for(artifact, **fields)
    if board is not None and "bus_bits" not in given:
        base = base.replace(bus_bits=buses(board)[-1])
    check_fit(artifact, base)
    if board is None:
        return base, model_parts(base, FAMILY), None
    found = [settle(config, board, limits, crossings_given="crossings" in given)
             for config in _variants(base, given, board)]
    return min(found, key=lambda item: _excess(item[2]))


def _variants(base: HardwareConfig, given: Mapping[str, Any], board: Board) -> Iterator[HardwareConfig]:
    multipliers = (base.multiplier,) if "multiplier" in given else MULTIPLIERS[board.family]
    depths = (base.uram_words,) if "uram_words" in given or not board.device.uram else URAM_WORDS
    for multiplier, words in itertools.product(multipliers, depths):
        yield base.replace(multiplier=multiplier, uram_words=words)


def _excess(found: Placement | Shortage) -> tuple[bool, float]:
    """Order of variants: what fits first, the least share or shortage first."""
    return (True, found.excess) if isinstance(found, Shortage) else (False, found.largest[0])


def _figures(artifact: SparseVit, config: HardwareConfig, board: Board | None, exact: bool, macs: int
             ) -> dict[str, Any]:
    model = CycleModel(artifact, bytes_per_cycle(board) if board else config.bus_bits / 8)
    cycles = model.cycles(config) if exact else model.bound(config)
    milliseconds = cycles / (config.clock_mhz * 1000)
    return {"hardware": config.to_dict(), "config_hash": f"{config.config_hash():08x}", "clusters": config.clusters,
            "groups": config.groups, "clock_mhz": config.clock_mhz, "cycles": cycles, "milliseconds": milliseconds,
            "images_per_second": 1000 / milliseconds, "useful_macs": macs,
            "utilization": macs / (cycles * config.macs_per_cycle)}


def _fit(parts: Parts, found: Placement | Shortage | None, board: Board | None) -> dict[str, Any]:
    resources = {"resources": parts.total.to_dict()}
    if board is None or found is None:
        return resources | {"share": None, "share_of": None, "fits": True, "why": ""}
    if isinstance(found, Placement):
        share, kind = found.largest
        return resources | {"share": share, "share_of": kind, "fits": True, "why": ""}
    share, kind = _largest(parts.total, board)
    return resources | {"share": None if share == float("inf") else share, "share_of": kind, "fits": False,
                        "why": f"needs {found}"}


def _largest(total: Resources, board: Board) -> tuple[float, str]:
    return max((share, kind) for kind, share in total.share(board.resources).items())
