"""The configuration search: within the limits, not dominated, as fast as asked for, and the same every time."""

from __future__ import annotations

import dataclasses
import json
import math
from functools import partial
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from boards.board import Board
from boards.catalog import board_names, load_board
from flows import cli
from flows.board_config import config_on
from flows.compile import compile_program, config_for, estimate
from flows.contracts.artifact import SparseVit, TokenDrop, load_artifact
from flows.contracts.errors import ConfigError
from flows.contracts.hardware import HardwareConfig
from flows.contracts.resources import KINDS, Resources
from flows.search import LIMITS, Parts, Placement, SearchResult, Shortage, find, parse_limits, place, search
from flows.search.cycles import CycleModel
from flows.search.limits import limits_with
from flows.search.space import MULTIPLIERS, buses, bytes_per_cycle, configurations
from tests.factory import random_artifact
from tests.flows.coarse_parts import coarse_parts

ONE = {"clusters": 2, "groups": 2, "stream_bits": 256}
"""Fixed fields that leave few configurations to compile."""


@pytest.fixture(autouse=True, scope="module")
def fixture_cache(tmp_path_factory: pytest.TempPathFactory):
    """A cache of its own, shared by the tests of this file."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("flows.cache.CACHE", tmp_path_factory.mktemp("cache"))
        patch.setattr(find, "model_parts", coarse_parts)
        yield


@pytest.fixture(name="network", scope="module")
def fixture_network() -> SparseVit:
    """One block, which drops tokens."""
    return random_artifact(width=64, heads=2, depth=1, hidden=128, tokens=65, classes=40,
                           drop={0: TokenDrop("topk", keep=40)}, seed=3)


@pytest.fixture(name="results", scope="module")
def fixture_results(network: SparseVit) -> dict[str, SearchResult]:
    """A search on every board, on the largest ones of fewer configurations."""
    boards = [load_board(name) for name in board_names()]
    few = {"uram_words": 0, "score_heads": 2}
    return {board.name: search(network, board, fixed=few if len(board.slrs) > 1 else None) for board in boards}


def usage(result: SearchResult, config: HardwareConfig) -> Parts:
    """What a configuration takes on the board of a result."""
    return coarse_parts(config, result.board.family)


@pytest.mark.parametrize("name", board_names())
def test_choice_on_every_board(results: dict[str, SearchResult], name: str) -> None:
    """It fits, die by die, is on the Pareto set, and no slower than 3 % above the fastest of it."""
    result = results[name]
    assert result.choice is not None and result.choice in result.pareto
    assert 0 < len(result.pareto) <= result.evaluated <= result.fitting <= result.considered
    for point in result.pareto:
        parts = usage(result, point.config)
        assert point.resources == parts.total
        for index, (groups, die) in enumerate(zip(point.placement.groups, result.board.slrs, strict=True)):
            used = groups * parts.group + (parts.shared if index == point.placement.shared else Resources())
            assert used.share(die) == point.placement.shares[index]
            assert all(used.share(die)[kind] <= LIMITS[kind] + 1e-9 for kind in KINDS)
        assert sum(point.placement.groups) == point.config.groups
        assert not any(other.dominates(point) for other in result.pareto)
    assert result.choice.milliseconds <= 1.03 * result.pareto[-1].milliseconds
    assert [p.cycles for p in result.pareto] == sorted((p.cycles for p in result.pareto), reverse=True)
    assert [p.share for p in result.pareto] == sorted(p.share for p in result.pareto)


@pytest.mark.parametrize("name", ["pynq-z2", "zcu102", "vck190"])
def test_fields_follow_the_board(results: dict[str, SearchResult], network: SparseVit, name: str) -> None:
    """Clock, multiplier and bus are the board's, sizes the network's."""
    choice = results[name].choice
    assert choice is not None
    board, config = results[name].board, choice.config
    assert config.clock_mhz == board.clock_mhz
    assert config.multiplier in MULTIPLIERS[board.family]
    assert config.bus_bits <= max(128, board.memory.port_bits)
    assert config.max_tokens == 80 and config.max_width == 64 and config.max_classes == 40
    program = compile_program(network, config)
    assert choice.cycles == estimate(program.stream, config, bytes_per_cycle=bytes_per_cycle(board)).total
    assert choice.milliseconds == pytest.approx(choice.cycles / board.clock_mhz / 1000)


def test_more_of_everything_is_faster(results: dict[str, SearchResult]) -> None:
    """The boards are far apart."""
    times = {name: result.choice.milliseconds for name, result in results.items() if result.choice}
    assert times["u250"] < times["zcu104"] < times["pynq-z2"]


def test_bound_is_one(network: SparseVit) -> None:
    """No configuration takes fewer cycles than the bound: sizes, streams, heads, and memories fast and slow."""
    board = load_board("zcu102")
    ratios = [model.cycles(config) / model.bound(config)
              for model in (CycleModel(network, rate) for rate in (0.5, 4.0, 64.0))
              for config in list(configurations(network, board))[::61]]
    assert len(ratios) > 30 and min(ratios) >= 1
    assert sorted(ratios)[len(ratios) // 2] < 1.6


def test_cycles_are_those_of_the_compiler_and_kept(network: SparseVit) -> None:
    """Also from the file without weights, for every field that leaves the program as it is."""
    base = config_for(network, clusters=3, groups=2)
    model = CycleModel(network, 10.0)
    for changes in ({}, {"bus_bits": 128}, {"fifo_words": 4096, "image_fifo_words": 1024}, {"multiplier": "dsp48e2"}):
        config = base.replace(**changes)
        expected = estimate(compile_program(network, config).stream, config, bytes_per_cycle=10.0).total
        assert model.cycles(config) == expected
    assert model.compiled == 1
    again = CycleModel(network, 11.0)
    config = base.replace(bus_bits=512)
    assert again.cycles(config) == estimate(compile_program(network, config).stream, config, bytes_per_cycle=11.0).total
    assert again.compiled == 0


def test_deterministic(network: SparseVit, results: dict[str, SearchResult]) -> None:
    """With cached cycles and with others computed before."""
    again = search(network, load_board("kv260"))
    assert json.dumps(again.to_dict()) == json.dumps(results["kv260"].to_dict())


def test_limits_are_respected(network: SparseVit, results: dict[str, SearchResult]) -> None:
    """A lower limit gives a smaller, slower choice that keeps it."""
    before = results["zcu104"].choice
    result = search(network, load_board("zcu104"), limits={"dsp": 0.2})
    assert before is not None and result.choice is not None
    assert before.placement.share("dsp") > 0.2 >= result.choice.placement.share("dsp")
    assert result.choice.cycles > before.cycles and result.limits == {**LIMITS, "dsp": 0.2}
    assert any("does not fit" in line and "DSP slices" in line and "limit 20%" in line for line in result.reasons)


def test_target_is_reached_by_the_smallest(network: SparseVit, results: dict[str, SearchResult]) -> None:
    """The smallest share that is fast enough; nothing on the Pareto set is smaller and fast enough."""
    free = results["zcu102"]
    assert free.choice is not None
    target = 2.5 * free.pareto[-1].milliseconds
    result = search(network, load_board("zcu102"), latency_ms=target)
    assert result.choice is not None and result.choice.milliseconds <= target
    assert result.choice.share < free.choice.share
    assert all(point.milliseconds > target for point in result.pareto if point.share < result.choice.share)
    assert f"at most {target:g} ms" in result.reasons[0]


def test_target_out_of_reach(network: SparseVit) -> None:
    """No choice, the fastest is named, and what limits it."""
    result = search(network, load_board("pynq-z2"), latency_ms=0.001)
    assert result.choice is None and result.pareto
    assert "no configuration that fits pynq-z2 takes 0.001 ms or less; the fastest (" in result.reasons[0]
    assert len(result.reasons) == 2 and ("memory" in result.reasons[1] or "does not fit" in result.reasons[1])


def test_nothing_fits(network: SparseVit) -> None:
    """The closest configuration, the resource, and by how much."""
    board = load_board("pynq-z2")
    small = dataclasses.replace(board, slrs=(Resources(53200, 106400, 220, 20),))
    result = search(network, small)
    assert result.choice is None and not result.pareto and result.fitting == 0
    tried = [*configurations(network, board), *configurations(network, board, small=True)]
    closest = min(usage(result, config).total.bram36 for config in tried)
    (reason,) = result.reasons
    assert reason == (
        f"none of {len(tried)} configurations fits pynq-z2; the closest (1 cluster x 1 group, a row every 4 cycles) "
        f"needs {closest} block RAMs of 20 ({closest / 20:.0%}, limit 80%), {closest - 16} too many")
    with pytest.raises(ConfigError, match="board pynq-z2: none of .* too many"):
        config_on(network, small)
    larger = dataclasses.replace(board, slrs=(Resources(53200, 106400, 220, closest + 1),))
    result = search(network, larger)
    share = math.ceil(100 * closest / (closest + 1)) / 100
    assert result.choice is None and f"'sievit search --limit bram36={share:g}'" in result.reasons[1]


def with_memory(board: Board, gigabytes: float) -> Board:
    """The board with another usable bandwidth."""
    memory = dataclasses.replace(board.memory, usable_gbs=gigabytes)
    return dataclasses.replace(board, memories=(memory, *board.memories[1:]))


def test_bandwidth_matters(network: SparseVit, results: dict[str, SearchResult]) -> None:
    """A slow memory makes every configuration slower, and then a smaller one is as good; the reason says so."""
    fast, slow = results["zcu102"].choice, search(network, with_memory(load_board("zcu102"), 0.2)).choice
    assert fast is not None and slow is not None
    assert slow.cycles > 2 * fast.cycles
    assert slow.config.macs_per_cycle < fast.config.macs_per_cycle
    result = search(network, with_memory(load_board("zcu102"), 0.2))
    assert any(line.startswith("limited by memory") for line in result.reasons)


def test_buses() -> None:
    """No wider than the port, and not wider than the memory is fast."""
    assert buses(load_board("zcu102")) == (128,)
    assert buses(load_board("pynq-z2")) == (128,)
    assert buses(load_board("u250")) == (128, 256, 512)
    assert buses(with_memory(load_board("u250"), 5.0)) == (128, 256)


def test_fixed_fields(network: SparseVit) -> None:
    """The search decides only the others; impossible ones are refused."""
    config = config_on(network, "zcu102", fixed={**ONE, "banks": 16, "fifo_words": 1024})
    assert (config.clusters, config.groups, config.banks, config.fifo_words) == (2, 2, 16, 1024)
    with pytest.raises(ConfigError, match="hardware.clusters must be 1 to 16, not 17"):
        config_on(network, "zcu102", fixed={"clusters": 17})
    with pytest.raises(ConfigError, match="hardware.banks must be at least 4 with stream_bits 512"):
        config_on(network, "zcu102", fixed={"banks": 2, "stream_bits": 512})
    with pytest.raises(ConfigError, match="hidden neurons.*raise hardware.max_hidden"):
        config_on(network, "zcu102", fixed={**ONE, "max_hidden": 64})


def test_every_call_reports_progress(network: SparseVit) -> None:
    """Both stages end with 1, and shares never go back."""
    seen: dict[str, list[float]] = {}
    search(network, load_board("zcu102"), fixed=ONE,
           report=lambda stage, share: seen.setdefault(stage, []).append(share))
    assert list(seen) == ["resources", "compile"]
    assert all(shares[-1] == 1.0 and shares == sorted(shares) for shares in seen.values())


DIE = Resources(100, 200, 100, 100, 10)
PLACE = partial(place, limits=limits_with({"lut": 1, "ff": 1, "dsp": 1, "bram36": 1, "uram": 1}))


@pytest.mark.parametrize(("shared", "group", "groups", "dies", "expected"), [
    (10, 20, 4, 1, ((4,), 0)),
    (10, 20, 4, 3, ((4, 0, 0), 0)),
    (30, 20, 4, 2, ((1, 3), 0)),
    (30, 30, 8, 4, ((3, 2, 3, 0), 1)),
    (30, 30, 11, 4, ((3, 2, 3, 3), 1)),
    (60, 45, 4, 3, ((2, 0, 2), 1)),
])
def test_placement(shared: float, group: float, groups: int, dies: int, expected: tuple) -> None:
    """As few dies as do, neighbours of the shared part, evenly filled."""
    parts = Parts(Resources(lut=shared), Resources(lut=group), groups)
    found = PLACE(parts, [DIE] * dies)
    assert isinstance(found, Placement)
    assert (found.groups, found.shared) == expected
    assert found.dies == sum(count > 0 or index == found.shared for index, count in enumerate(expected[0]))
    most = max(count * group + (shared if index == expected[1] else 0) for index, count in enumerate(expected[0]))
    assert found.largest == (most / 100, "lut")


def test_what_does_not_fit_is_named() -> None:
    """The worst kind, in total or because parts do not divide; and what a board has none of."""
    found = PLACE(Parts(Resources(lut=50, dsp=90), Resources(dsp=60), 4), [DIE] * 2)
    assert isinstance(found, Shortage)
    assert str(found) == "330 DSP slices of 200 (165%, limit 100%), 130 too many"
    found = PLACE(Parts(Resources(lut=150), Resources(dsp=60), 4), [DIE])
    assert str(found) == "240 DSP slices of 100 (240%, limit 100%), 140 too many, and 150% of the LUTs"
    found = PLACE(Parts(Resources(lut=10), Resources(lut=60), 2), [DIE, DIE * 0.5])
    assert isinstance(found, Shortage) and found.dies
    assert "130 LUTs of 150" in str(found) and "its parts do not fit single dies" in str(found)
    found = PLACE(Parts(Resources(uram=1), Resources(lut=1), 1), [Resources(10, 10, 10, 10, 0)])
    assert str(found) == "1 UltraRAMs of 0 (there are none, limit 100%), 1 too many"


def test_limit_options() -> None:
    """As text and as numbers."""
    assert parse_limits(["lut=.6", "dsp=0.9"]) == {**LIMITS, "lut": 0.6, "dsp": 0.9}
    wrong = {"lut": "--limit lut: write resource=share", "lut=2": "--limit lut must be above 0 and at most 1, not 2",
             "bram=.5": "--limit bram: unknown resource; resources: lut, ff"}
    for item, message in wrong.items():
        with pytest.raises(ConfigError, match=message):
            parse_limits([item])


def invoke(*arguments: object) -> Result:
    """Run the command line."""
    return CliRunner().invoke(cli.app, [str(argument) for argument in arguments])


def test_command(artifact_file: Path, tmp_path: Path) -> None:
    """A table with the choice and its reasons, JSON on screen and in a file."""
    result = invoke("search", "--board", "zcu102", "--artifact", artifact_file, "--clusters", 2, "--set",
                    "stream_bits=256", "--out", tmp_path / "deep" / "search.json")
    assert result.exit_code == 0, result.output
    for words in ("random on zcu102", "images/s", "fastest", "within the limits", "not placed and routed"):
        assert words in " ".join(result.stdout.split()), result.stdout
    content = json.loads((tmp_path / "deep" / "search.json").read_text())
    assert content["choice"]["config"]["clusters"] == 2 and content["board"] == "zcu102"
    again = invoke("search", "--board", "ZCU102", "--artifact", artifact_file, "--clusters", 2, "--set",
                   "stream_bits=256", "--json")
    assert json.loads(again.stdout) == content
    chosen = HardwareConfig.from_dict(content["choice"]["config"])
    assert f"{chosen.config_hash():08x}" == content["choice"]["config_hash"]
    assert config_on(load_artifact(artifact_file), "zcu102", fixed={"clusters": 2, "stream_bits": 256}) == chosen


@pytest.mark.parametrize(("options", "message", "status"), [
    (("--board", "zcu103"), "unknown board 'zcu103' (did you mean", 2),
    (("--board", "zcu102", "--limit", "lut"), "--limit lut: write resource=share, as lut=.6", 2),
    (("--board", "zcu102", "--latency-ms", "-1"), "--latency-ms must be above 0, not -1", 2),
    (("--board", "zcu102", "--set", "cluster=3"), "--set cluster=3: no hardware field 'cluster'", 2),
    (("--board", "zcu102", "--clusters", "1", "--groups", "1", "--latency-ms", "1e-6"), "no configuration that", 1),
])
def test_command_errors(artifact_file: Path, options: tuple[str, ...], message: str, status: int) -> None:
    """One line."""
    result = invoke("search", "--artifact", artifact_file, *options)
    assert result.exit_code == status
    lines = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1 and message in lines[0], result.stderr


def test_compile_on_a_board(artifact_file: Path) -> None:
    """--board gives the search's configuration; options fix fields of it."""
    result = invoke("compile", artifact_file, "--board", "kv260", "--clusters", 2, "--json")
    assert result.exit_code == 0, result.output
    config = HardwareConfig.from_dict(json.loads(result.stdout)["hardware"])
    assert config == config_on(load_artifact(artifact_file), "kv260", fixed={"clusters": 2})
    assert config.clock_mhz == 200 and config.clusters == 2
    wrong = invoke("compile", artifact_file, "--board", "kv26")
    assert wrong.exit_code == 2 and "did you mean kv260?" in wrong.stderr
