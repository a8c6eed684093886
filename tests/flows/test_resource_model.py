"""The analytical model of resources against synthesized configurations."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from boards.catalog import load_board
from flows.board_config import config_on
from flows.contracts.artifact import load_artifact
from flows.contracts.errors import ConfigError
from flows.contracts.hardware import HardwareConfig
from flows.contracts.resources import KINDS, Resources
from flows.resources.accelerator import synthesize_accelerator
from flows.resources.fit import by_unit, unit_of
from flows.resources.grid import GRID, POINTS, load_grid, synthesize_point
from flows.resources.memories import block_rams, memory_of
from flows.resources.model import counts_of, resources_of, shares_of
from flows.resources.report import MAX_LEVELS, deep_units, report_of
from flows.search.limits import LIMITS
from flows.shipped import shipped_artifact
from tests.yosys import need_yosys

TOLERANCE = 0.10
POINTS_RECORDED = {entry["name"]: entry for entry in load_grid()}


def _compared(amount: Resources) -> dict[str, float]:
    """LUT, FF, DSP, and all memory blocks in block RAMs (an UltraRAM holds eight times as much)."""
    return {"lut": amount.lut, "ff": amount.ff, "dsp": amount.dsp, "ram": amount.bram36 + 8 * amount.uram}


def _total(entry: dict[str, Any]) -> Resources:
    return Resources(**entry["total"])


@pytest.mark.parametrize("name", POINTS_RECORDED)
def test_model_is_within_a_tenth(name: str) -> None:
    """Every kind of resource of every recorded configuration."""
    entry = POINTS_RECORDED[name]
    config = HardwareConfig.from_dict(entry["hardware"])
    found, expected = _compared(_total(entry)), _compared(resources_of(config, entry["family"]))
    for kind, amount in found.items():
        assert expected[kind] == pytest.approx(amount, rel=TOLERANCE), f"{name}: {kind}"


def test_records_belong_to_the_grid() -> None:
    """Recorded are configurations of the grid, with the sums of their units."""
    for name, entry in POINTS_RECORDED.items():
        family, fields = POINTS[name]
        assert (entry["family"], entry["hardware"]) == (family, HardwareConfig.from_dict(fields).to_dict())
        total = sum((Resources(**{kind: unit[kind] for kind in KINDS}) * unit["count"] for unit in entry["units"]),
                    Resources())
        assert total == _total(entry)
        assert sum(by_unit(entry["units"]).values(), Resources()) == total
    assert "python -m flows.resources.grid" in GRID.read_text()


@pytest.mark.slow
def test_small_configuration_again() -> None:
    """Synthesis today gives what is recorded, and no path is longer than it should be."""
    need_yosys()
    entry = synthesize_point("small")
    assert {unit["name"]: unit["levels"] for unit in entry["units"] if unit["levels"] > MAX_LEVELS} == {}
    found, recorded = _compared(_total(entry)), _compared(_total(POINTS_RECORDED["small"]))
    for kind, amount in recorded.items():
        assert found[kind] == pytest.approx(amount, rel=0.02), kind


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in POINTS_RECORDED if name != "small"])
def test_grid_again(name: str) -> None:
    """The same for the others."""
    need_yosys()
    found, recorded = _compared(_total(synthesize_point(name))), _compared(_total(POINTS_RECORDED[name]))
    for kind, amount in recorded.items():
        assert found[kind] == pytest.approx(amount, rel=0.02), kind


@pytest.mark.slow
@pytest.mark.parametrize("name", ["kv260", "zcu102", "u250"])
def test_boards_are_shallow(name: str) -> None:
    """What the search chooses for the shipped network, synthesized: no path above six LUTs, and within the limits."""
    need_yosys()
    path = shipped_artifact("deit_t")
    assert path is not None
    board = load_board(name)
    config = config_on(load_artifact(path), board)
    report = report_of(synthesize_accelerator(config, board.family), config, board)
    assert deep_units(report) == []
    for kind, share in report["board"]["share"].items():
        assert share is None or share <= LIMITS[kind], kind


def test_crossings_take_registers() -> None:
    """By the stage, in the shared part, as many as synthesis finds; without crossings there are none."""
    entry = POINTS_RECORDED["tiny_1x4_dies"]
    config = HardwareConfig.from_dict(entry["hardware"])
    expected, found = shares_of(config), by_unit(entry["units"])
    for unit in ("core", "crossing"):
        assert expected[unit].ff == pytest.approx(found[unit].ff, rel=0.02)
        assert found[unit].ff > 5000
    assert expected["crossing"].lut == pytest.approx(found["crossing"].lut, rel=0.05)
    totals = [resources_of(config.replace(crossings=stages)).ff for stages in (0, 1, 2, 3)]
    steps = [after - before for before, after in pairwise(totals)]
    assert steps[1] == pytest.approx(steps[2]) == pytest.approx(steps[0], rel=0.05)
    assert "crossing" not in shares_of(config.replace(crossings=0))


def test_shares_make_the_whole() -> None:
    """Units of the token groups are as many as there are groups, the others do not grow with them."""
    one, four = (HardwareConfig(multiplier="dsp48e2", max_tokens=256, groups=groups) for groups in (1, 4))
    shares = shares_of(four)
    assert sum(shares.values(), Resources()) == resources_of(four)
    assert set(shares) - set(shares_of(one)) == {"exchange"}
    assert counts_of(four)["group.drain"] == 4
    assert counts_of(four)["group.clusters"] == 16
    assert shares["group.drain"] == 4 * shares_of(one)["group.drain"]
    assert shares["control"] == shares_of(one)["control"]


@pytest.mark.parametrize(("more", "kind"), [
    ({"clusters": 8}, "lut"), ({"groups": 2}, "ff"), ({"max_width": 384}, "bram36"), ({"fifo_words": 4096}, "bram36"),
    ({"multiplier": "plain"}, "dsp"), ({"resident_words": 8192}, "bram36"), ({"banks": 16}, "lut"),
])
def test_more_takes_more(more: dict[str, Any], kind: str) -> None:
    base = HardwareConfig(multiplier="dsp48e2")
    for family in ("ultrascale+", "7series", "versal"):
        assert getattr(resources_of(base.replace(**more), family), kind) > getattr(resources_of(base, family), kind)


def test_ultra_ram_takes_the_place_of_block_ram() -> None:
    base = HardwareConfig(multiplier="dsp48e2", fifo_words=4096)
    without, having = resources_of(base), resources_of(base.replace(uram_words=1024))
    assert without.uram == 0
    assert having.uram > 0
    assert having.bram36 < without.bram36 - 2 * having.uram


@pytest.mark.parametrize(("width", "depth", "blocks"), [
    (72, 512, 1), (72, 513, 2), (36, 1024, 1), (36, 512, .5), (128, 416, 2), (128, 1248, 6), (529, 209, 7.5),
    (256, 511, 4), (9, 4096, 1),
])
def test_block_rams(width: int, depth: int, blocks: float) -> None:
    """Shapes of UG573, and what the accelerator's memories take."""
    assert block_rams(width, depth) == blocks


@pytest.mark.parametrize(("width", "depth", "amount"), [
    (768, 4, Resources(lut=440)), (256, 24, Resources(lut=152)), (529, 33, Resources(lut=608)),
    (26, 208, Resources(bram36=.5)), (128, 192, Resources(bram36=2)),
])
def test_shallow_memories_are_luts(width: int, depth: int, amount: Resources) -> None:
    assert memory_of(width, depth, "xcup") == amount


def test_ultra_rams() -> None:
    assert memory_of(128, 4992, "xcup", ultra=True) == Resources(uram=4)


def test_unknown_family_and_module() -> None:
    with pytest.raises(ConfigError, match="family must be 7series, ultrascale\\+, versal, not 'spartan'"):
        resources_of(HardwareConfig(), "spartan")
    with pytest.raises(ValueError, match="module other belongs to no unit of the model"):
        unit_of("other")
