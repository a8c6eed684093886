"""Which part of the accelerator goes to which super logic region (die) of a large device."""

from __future__ import annotations

import re
from dataclasses import dataclass

from boards.board import Board
from flows.contracts.errors import ConfigError
from flows.contracts.hardware import HardwareConfig
from flows.search.find import model_parts
from flows.search.limits import LIMITS, Placement, place
from rtl.verilog import TOP_MODULE

CORE = "top/core"
HBM_REGION = 0
"""HBM lies beside this region on the Alveo cards known; DDR4 controller n is in region n."""


@dataclass(frozen=True)
class Region:
    """Cells (paths of instances below the top) that belong to region ``slr``."""

    slr: int
    cells: tuple[str, ...]


@dataclass(frozen=True)
class Floorplan:
    """Regions in use, ascending; ``shared`` is the one with everything but the token groups."""

    shared: int
    regions: tuple[Region, ...]


def instances(verilog: str, module: str) -> list[str]:
    """Names of the instances in ``module``, in order.

    Raises
    ------
    ConfigError
        When there is no such module.
    """
    name = re.escape(module)
    found = re.search(rf"^module\s+\\?{name}\s*\(.*?^endmodule", verilog, re.MULTILINE | re.DOTALL)
    if found is None:
        raise ConfigError(f"the Verilog has no module {module}; generate it again")
    return re.findall(r"^  \\?[\w.$]+ +(\w+) \($", found[0], re.MULTILINE)


def floorplan(verilog: str, config: HardwareConfig, board: Board) -> Floorplan | None:
    """Regions for the parts of an accelerator on a device with several; None when it has one die.

    Parts are placed as the search (:mod:`flows.search`) does when it looks for room, with the shared part beside HBM
    where that is the memory. A configuration that exceeds the limits is spread evenly, with the shared part in region
    0: the tools have the last word.

    Parameters
    ----------
    verilog : of the accelerator; gives the names of the cells
    """
    if len(board.slrs) == 1:
        return None
    parts = model_parts(config, board.family)
    found = place(parts, board.slrs, LIMITS, homes=(HBM_REGION,) if board.memory.kind.startswith("hbm") else None)
    if isinstance(found, Placement):
        counts, shared = list(found.groups), found.shared
    else:
        counts, shared = _spread(config.groups, len(board.slrs), 0), 0
    groups = iter(range(config.groups))
    cells: dict[int, list[str]] = {slr: [f"{CORE}/group{next(groups)}" for _ in range(count)]
                                   for slr, count in enumerate(counts)}
    others = [f"top/{name}" for name in instances(verilog, f"{TOP_MODULE}.top") if name != "core"]
    # Register slices of a crossing (group1_norm_write and the like) have an end on either side: the placer decides.
    inner = [f"{CORE}/{name}" for name in instances(verilog, f"{TOP_MODULE}.top.core")
             if not re.match(r"group\d+", name)]
    cells[shared] = others + inner + cells[shared]
    return Floorplan(shared, tuple(Region(slr, tuple(names)) for slr, names in sorted(cells.items()) if names))


def memory_bank(board: Board, plan: Floorplan | None) -> str:
    """Bank of v++ for the accelerator's bus: the DDR4 controller in the region of the shared part, or HBM channel 0."""
    if board.memory.kind.startswith("hbm"):
        return "HBM[0]"
    return f"DDR[{min(plan.shared if plan is not None else 0, board.memory.ports - 1)}]"


def _spread(groups: int, regions: int, shared: int) -> list[int]:
    """Groups by region, as evenly as possible; where they do not divide evenly, the shared part's gets fewer."""
    counts = [0] * regions
    order = [shared, *(slr for slr in range(regions) if slr != shared)]
    if groups < regions:
        for slr in order[:groups]:
            counts[slr] += 1
        return counts
    for slr in order:
        counts[slr] = groups // regions
    for slr in order[1:1 + groups % regions]:
        counts[slr] += 1
    return counts
