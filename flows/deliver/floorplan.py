"""Which part of the accelerator goes to which super logic region (die) of a large device."""

from __future__ import annotations

import re
from dataclasses import dataclass

from boards.board import Board
from flows.contracts.errors import ConfigError
from flows.contracts.hardware import HardwareConfig
from rtl.verilog import TOP_MODULE

CORE = "top/core"


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
    """Spread the token groups over the regions of a device; None when it has one die.

    The shared part sits beside the memory controller that the accelerator uses: region 0 on all boards known. Groups
    go to regions in order, as evenly as possible; where they do not divide evenly, the region of the shared part gets
    fewer.

    Parameters
    ----------
    verilog : of the accelerator; gives the names of the cells
    """
    if len(board.slrs) == 1:
        return None
    shared = 0
    counts = _spread(config.groups, len(board.slrs), shared)
    groups = iter(range(config.groups))
    cells: dict[int, list[str]] = {slr: [f"{CORE}/group{next(groups)}" for _ in range(count)]
                                   for slr, count in enumerate(counts)}
    others = [f"top/{name}" for name in instances(verilog, f"{TOP_MODULE}.top") if name != "core"]
    inner = [f"{CORE}/{name}" for name in instances(verilog, f"{TOP_MODULE}.top.core")
             if not re.fullmatch(r"group\d+", name)]
    cells[shared] = others + inner + cells[shared]
    return Floorplan(shared, tuple(Region(slr, tuple(names)) for slr, names in sorted(cells.items()) if names))


def _spread(groups: int, regions: int, shared: int) -> list[int]:
    """Groups by region. One or two groups stay with the shared part, or beside it: a crossing costs time."""
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
