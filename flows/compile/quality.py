"""How good schedules are: slots of every step against the lower bound, which is computed without the scheduler."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from flows.compile.fit import config_for
from flows.compile.program import scheduling_problem
from flows.compile.schedule import schedule
from flows.compile.steps import network_steps
from flows.contracts.artifact import SparseVit

LIMIT, LIMIT_IF_FEW = 1.03, 1.05
"""Aim of slots over bound, and where there are fewer than two columns per cluster."""


@dataclass(frozen=True)
class QualityRow:
    """Schedule of one step.

    Attributes
    ----------
    network, keep : names of the network and its share of kept blocks, as given
    clusters, groups : size of the array
    step : name of the step
    gemm : whether it multiplies by weights (and not queries by keys, or exponentials by values)
    columns : output columns
    slots : slots with work, and those in which all clusters wait for source columns or the token selection
    bound : fewest slots of any schedule
    halved : columns that two clusters share
    """

    network: str
    keep: float
    clusters: int
    groups: int
    step: str
    gemm: bool
    columns: int
    slots: int
    bound: int
    halved: int

    @property
    def ratio(self) -> float:
        """Slots over bound."""
        return self.slots / self.bound

    @property
    def limit(self) -> float:
        """Aimed ratio."""
        return LIMIT if self.columns >= 2 * self.clusters else LIMIT_IF_FEW


def quality_rows(network: str, keep: float, artifact: SparseVit, arrays: Iterable[tuple[int, int]],
                 **hardware: object) -> Iterator[QualityRow]:
    """One row per array and step, in order.

    Parameters
    ----------
    network, keep : names for the rows
    artifact : its masks decide
    arrays : clusters and token groups
    hardware : further fields of the configuration

    Raises
    ------
    ConfigError
        When a field is out of range, or the network does not fit.
    """
    for clusters, groups in arrays:
        config = config_for(artifact, clusters=clusters, groups=groups, **hardware)
        for step in network_steps(artifact, config):
            problem = scheduling_problem(step, config)
            placed = schedule(problem)
            yield QualityRow(network, keep, clusters, groups, step.name, step.linear is not None, len(step.columns),
                             placed.length, problem.lower_bound(), int((placed.merge >= 0).sum()))
