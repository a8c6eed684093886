"""Open synthesis of a design, module by module: equal modules once, and what is known already not again.

Every module is mapped with Yosys' ``synth_xilinx`` on its own, what it instantiates being a black box, as a synthesis
that keeps the hierarchy does. The result is a file in the cache whose name is the hash of the module's text, the
family and the version of Yosys, so that a change of one unit costs the synthesis of that unit.

In its step ``map_luts`` the mapper is ABC's depth-optimal one for six-input LUTs (structural choices, ``if``,
``mfs2``) in place of ``abc9``, which took ten times as long for half as many LUTs again where both were tried; carry
chains are boxes to either. Multiplexers of a slice (MUXF7, MUXF8) are left to distributed memory: a multiplexer of 16
is two levels of LUTs here where a slice can do it in one.
"""

from __future__ import annotations

import gzip
import json
import re
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from boards.board import FAMILIES
from flows.cache import cached
from flows.contracts.errors import ConfigError
from flows.contracts.files import replacing
from flows.contracts.resources import Resources
from flows.resources.cells import resources_of_cells
from flows.resources.depth import Path as LogicPath
from flows.resources.depth import Timing, closed, timing_of
from flows.resources.hierarchy import TOP, Hierarchy
from flows.resources.yosys import run_yosys, version

RECIPE = 3
"""Raised when the commands or what is kept of their result change."""

BATCH_CHARACTERS = 1_500_000
"""Text that one run of Yosys gets: each spends some seconds on the vendor's library."""

Progress = Callable[[str, float], None]


@dataclass(frozen=True)
class UnitResult:
    """A module of the design after synthesis.

    Attributes
    ----------
    name : in the design, of the first of equal modules
    instances : how often it is used
    cells : vendor cells of one instance by type, without those of the modules below it
    resources : what one instance takes, likewise
    path : longest path in it, None without any
    """

    name: str
    instances: int
    cells: dict[str, int]
    resources: Resources
    path: LogicPath | None

    @property
    def total(self) -> Resources:
        """What all instances take."""
        return self.resources * self.instances


@dataclass(frozen=True)
class SynthesisResult:
    """A design after synthesis.

    Attributes
    ----------
    family : a key of :data:`boards.board.FAMILIES`
    units : in the order of the hierarchy
    """

    family: str
    units: tuple[UnitResult, ...]

    @property
    def total(self) -> Resources:
        """What the whole design takes."""
        return sum((unit.total for unit in self.units), Resources())


def target_of(family: str) -> str:
    """Yosys' name of a family of devices.

    Raises
    ------
    ConfigError
        For an unknown family.
    """
    if family not in FAMILIES:
        raise ConfigError(f"family must be {', '.join(FAMILIES)}, not {family!r}")
    return FAMILIES[family]


def synthesize(rtlil: str, top: str, family: str = "ultrascale+", workers: int = 1,
               progress: Progress | None = None) -> SynthesisResult:
    """Map a design to a family of devices.

    Parameters
    ----------
    rtlil : the design, as Amaranth or Yosys writes it
    top : name of its top module
    family : a key of :data:`boards.board.FAMILIES`
    workers : processes at the same time
    progress : called with a stage's name and the share that is done

    Raises
    ------
    ConfigError
        For an unknown family.
    SynthesisError
        When Yosys is missing or cannot map the design.
    """
    target = target_of(family)
    hierarchy = Hierarchy.parse(rtlil, top)
    order = hierarchy.bottom_up()
    texts = {hierarchy.isolated(name) for name in order}
    _map_modules(sorted(texts, key=len, reverse=True), target, workers, progress or _ignore)
    return SynthesisResult(family, _units(hierarchy, order, target))


def synthesize_component(component: Any, family: str = "ultrascale+", workers: int = 1) -> SynthesisResult:
    """Map one Amaranth component, and what it uses, to a family of devices; see :func:`synthesize`."""
    from rtl.shared import to_rtlil

    rtlil, verilog = to_rtlil(component, TOP)
    return synthesize(with_verilog(rtlil, verilog, TOP), TOP, family, workers)


def with_verilog(rtlil: str, verilog: str, top: str) -> str:
    """Add hand-written modules to a design, translated for the parameters they are used with.

    Parameters
    ----------
    rtlil, verilog : parts of the design ; either may be empty
    top : name of the top module

    Raises
    ------
    SynthesisError
        When Yosys is missing, or the Verilog is wrong.
    """
    if not verilog:
        return rtlil
    with tempfile.TemporaryDirectory(prefix="sievit-rtlil-") as folder:
        directory = Path(folder)
        (directory / "design.il").write_text(rtlil)
        (directory / "modules.v").write_text(verilog)
        run_yosys("read_rtlil design.il", "read_verilog -defer modules.v", f"hierarchy -check -top {top}", "proc",
                  "write_rtlil out.il", directory=directory)
        return _plain_names((directory / "out.il").read_text())


def _plain_names(rtlil: str) -> str:
    r"""Modules that Yosys derived are called ``$paramod...\name``: names that begin like all others do."""
    def plain(found: re.Match[str]) -> str:
        return f"{found[1]} \\{re.sub(r'[^0-9A-Za-z_]+', '_', found[2])}"

    return re.sub(r"^(module|  cell) (\$paramod\S+)", plain, rtlil, flags=re.MULTILINE)


def _ignore(stage: str, share: float) -> None:
    """No progress bar."""


def _units(hierarchy: Hierarchy, order: list[str], target: str) -> tuple[UnitResult, ...]:
    """Results in the order of the hierarchy, equal modules together."""
    instances = hierarchy.instances()
    timings: dict[str, Timing] = {}
    units: dict[str, UnitResult] = {}
    for name in order:
        identity = hierarchy.identity(name)
        if identity in units:
            unit = units[identity]
            units[identity] = UnitResult(unit.name, unit.instances + instances[name], unit.cells, unit.resources,
                                         unit.path)
            continue
        module = _load(_file(hierarchy.isolated(name), target))
        kinds = dict.fromkeys(hierarchy.modules[name].children.values())
        children = {f"child{index}": timings[hierarchy.identity(kind)] for index, kind in enumerate(kinds)}
        timings[identity] = timing = timing_of(module, children)
        cells = Counter(cell["type"] for cell in module["cells"].values()
                        if cell["type"] not in children and not cell["type"].startswith("$"))
        path = closed(timing) if name == hierarchy.top else timing.inside
        units[identity] = UnitResult(name, instances[name], dict(sorted(cells.items())), resources_of_cells(cells),
                                     path)
    return tuple(reversed(units.values()))


def _file(text: str, target: str) -> Path:
    return cached("synth", [RECIPE, version(), target, text], ".json.gz")


def _load(path: Path) -> dict[str, Any]:
    with gzip.open(path, "rt") as handle:
        return json.load(handle)


def _map_modules(texts: Sequence[str], target: str, workers: int, progress: Progress) -> None:
    """Synthesize those modules that are not in the cache."""
    missing = [text for text in texts if not _file(text, target).is_file()]
    total, done = sum(map(len, missing)), 0
    progress("synthesis", 0.0 if missing else 1.0)
    with ThreadPoolExecutor(max_workers=max(workers, 1)) as pool:
        runs = {pool.submit(_map_batch, batch, target): batch for batch in _batches(missing)}
        try:
            for run in as_completed(runs):
                run.result()
                done += sum(map(len, runs[run]))
                progress("synthesis", done / total)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _batches(texts: Sequence[str]) -> list[list[str]]:
    """Large modules alone, small ones together."""
    batches: list[list[str]] = []
    room = 0
    for text in texts:
        if not batches or len(text) > room:
            batches.append([])
            room = BATCH_CHARACTERS
        batches[-1].append(text)
        room -= len(text)
    return batches


def commands(target: str) -> list[str]:
    """Commands of Yosys that map the design at hand, whose top is :data:`flows.resources.hierarchy.TOP`."""
    steps = f"synth_xilinx -family {target} -top {TOP} -noiopad -noclkbuf -run"
    return [
        # Array members leave wires without drivers, on which synth_xilinx stops: purge them first.
        "proc", "opt_clean -purge", f"{steps} begin:map_luts",
        "opt_expr -mux_undef -noclkinv", "abc -lut 6 -script +strash;dch,-f;if;mfs2;lutpack,-S,1", "clean",
        "xilinx_srl -fixed -minlen 3",
        "techmap -map +/xilinx/lut_map.v -map +/xilinx/cells_map.v -D LUT_WIDTH=6", "xilinx_dffopt",
        "opt_lut_ins -tech xilinx", f"{steps} finalize:check", "check -assert -noinit",
    ]


def _map_batch(texts: Sequence[str], target: str) -> None:
    """One run of Yosys: the modules side by side below a top that keeps them."""
    with tempfile.TemporaryDirectory(prefix="sievit-synth-") as folder:
        directory = Path(folder)
        (directory / "modules.il").write_text(_side_by_side(texts))
        run_yosys("read_rtlil modules.il", f"hierarchy -top {TOP}", *commands(target),
                  "write_json -selected modules.json", directory=directory)
        modules = json.loads((directory / "modules.json").read_text())["modules"]
    for index, text in enumerate(texts):
        _store(modules[f"unit{index}"], f"unit{index}_", _file(text, target))


def _side_by_side(texts: Sequence[str]) -> str:
    """The modules under names of their own, and a top that instantiates each."""
    parts, cells = [], []
    for index, text in enumerate(texts):
        unit = text.replace(f"module \\{TOP}\n", f"module \\unit{index}\n")
        unit = unit.replace("module \\child", f"module \\unit{index}_child")
        unit = unit.replace("  cell \\child", f"  cell \\unit{index}_child")
        parts.append(unit)
        cells.append(f"  attribute \\keep 1\n  cell \\unit{index} \\u{index}\n  end\n")
    return "".join(parts) + f"module \\{TOP}\n" + "".join(cells) + "end\n"


def _store(module: dict[str, Any], prefix: str, path: Path) -> None:
    """What depth and counts need of a mapped module."""
    cells = {name: {"type": cell["type"].removeprefix(prefix), "connections": cell["connections"],
                    "port_directions": cell.get("port_directions", {}),
                    "parameters": {key: value for key, value in cell["parameters"].items() if key.endswith("REG")}}
             for name, cell in module["cells"].items()}
    kept = {"ports": module["ports"], "cells": cells,
            "netnames": {name: {"bits": entry["bits"]} for name, entry in module["netnames"].items()
                         if not entry["hide_name"]}}
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as part, gzip.open(part, "wt", compresslevel=3) as handle:
        json.dump(kept, handle)
