"""Random networks and hardware through golden model, HLS models and RTL: every integer of all three is equal.

Each run draws another seed, and from it accelerators and networks. The seed is printed; ``SIEVIT_SEED`` repeats a run.
"""

from __future__ import annotations

import shutil

import numpy as np
import pytest

from flows.contracts.hardware import HardwareConfig
from flows.sim_flow import compare_run
from hls_models.build import CHECKED, QUICK
from hls_models.native import Engine
from sim.accelerator import Frame, MemoryOptions, build_accelerator, run_frames
from sim.accelerator import Run as RtlRun
from sim.probes import START_UNIT
from sim.runner import Build
from tests.accelerator.hardware import HARDWARE, simulator
from tests.hls.networks import Case, Limits, check_engine, make_case, random_hardware, random_network, run_seed

SMALL_HARDWARE = 4
"""Random small accelerators, each with a circuit of its own: what takes most of the time is compiling it."""
PAIRS = 5
"""Random networks on each of them: 20 pairs of accelerator and network in all."""
NETWORKS = 4
"""On each of the accelerators that all tests share."""
QUICK_HARDWARE = ("one", "four_groups")
"""Those of them that the quick tests take."""
HARDWARE_ONLY = 4
"""Random accelerators without RTL, each with networks of its own."""
SMALL = Limits(tokens=40, depth=2, hidden=128)
MEMORY = MemoryOptions(latency=100, bandwidth=32)


@pytest.fixture(name="seed", scope="module")
def fixture_seed() -> int:
    """The run's seed, on the screen when a test fails."""
    seed = run_seed()
    print(f"SIEVIT_SEED={seed}")
    return seed


def cases_of(config: HardwareConfig, seed: int, place: int, count: int = NETWORKS) -> list[Case]:
    """Random networks for one accelerator."""
    rng = np.random.default_rng([seed, place])
    return [make_case(random_network(rng, config, SMALL), config, (int(rng.integers(1 << 30)),),
                      f"SIEVIT_SEED={seed}, hardware {place}, network {number}") for number in range(count)]


def rtl_runs(cases: list[Case], config: HardwareConfig, built: Build) -> list[RtlRun]:
    """All cases on the RTL, one after the other without a reset."""
    frames = [Frame(case.vector.program.stream.tobytes(), case.image, case.vector.golden[0].logits.size)
              for case in cases]
    return run_frames(frames, config, memory=MEMORY, built=built, max_cycles=400_000, timeout=600)


def words_of(records: np.ndarray) -> np.ndarray:
    """What was written where, in an order that does not depend on the schedule's overlap."""
    records = records[records["unit"] < START_UNIT]
    order = np.lexsort([records[name] for name in ("token", "column", "unit", "step")])
    return records[order][["unit", "step", "column", "token", "data"]]


def check_three(cases: list[Case], config: HardwareConfig, built: Build, subtests: pytest.Subtests) -> None:
    """Golden and HLS, golden and RTL, HLS and RTL."""
    engine = Engine(config, QUICK)
    for case, rtl in zip(cases, rtl_runs(cases, config, built), strict=True):
        with subtests.test(case.label):
            compared = check_engine(engine, case)
            golden, program = case.vector.golden[0], case.vector.program
            assert compare_run(golden, rtl, program).integers == compared.integers > 0
            hls = engine.run(program.stream, [case.image], record=True)
            assert np.array_equal(words_of(hls.records), words_of(rtl.records))
            assert hls.logits(golden.logits.size)[0].tolist() == rtl.logits.tolist() == golden.logits.tolist()


@pytest.mark.parametrize("place", range(SMALL_HARDWARE))
def test_random_pairs(place: int, seed: int, subtests: pytest.Subtests) -> None:
    """Random small accelerators, and random networks on them."""
    config = random_hardware(np.random.default_rng([seed, 300 + place]), small=True)
    print(f"SIEVIT_SEED={seed}: {config}")
    built = build_accelerator(config, assertions=True, optimize="-O0")
    check_three(cases_of(config, seed, 300 + place, PAIRS), config, built, subtests)
    shutil.rmtree(built.directory)  # no one draws it again


def test_pairs_are_many() -> None:
    """Seeds and places give different accelerators."""
    drawn = {random_hardware(np.random.default_rng([seed, 300 + place]), small=True)
             for seed in range(25) for place in range(SMALL_HARDWARE)}
    assert len(drawn) == 25 * SMALL_HARDWARE
    assert {config.groups for config in drawn} == {1, 2} and {config.crossings for config in drawn} == {0, 1, 2}
    assert max(config.groups * config.clusters for config in drawn) == 2
    assert SMALL_HARDWARE * PAIRS >= 20


@pytest.mark.parametrize("name", [
    name if name in QUICK_HARDWARE else pytest.param(name, marks=pytest.mark.slow) for name in HARDWARE])
def test_random_networks(name: str, seed: int, subtests: pytest.Subtests) -> None:
    """Random networks on the accelerators whose simulators all tests share."""
    config = HARDWARE[name]
    check_three(cases_of(config, seed, list(HARDWARE).index(name)), config, simulator(config), subtests)


@pytest.mark.parametrize("place", range(HARDWARE_ONLY))
def test_random_hardware_models(place: int, seed: int, subtests: pytest.Subtests) -> None:
    """Random accelerators, golden model and HLS models only; every value stays within its declared width."""
    config = random_hardware(np.random.default_rng([seed, 100 + place]))
    engine = Engine(config, CHECKED)
    for case in cases_of(config, seed, 100 + place, 2):
        with subtests.test(f"{case.label}, {config}"):
            assert check_engine(engine, case).integers > 0


@pytest.mark.slow
@pytest.mark.parametrize("place", range(20))
def test_random_hardware(place: int, seed: int, subtests: pytest.Subtests) -> None:
    """Random accelerators with a circuit of their own."""
    config = random_hardware(np.random.default_rng([seed, 200 + place]))
    check_three(cases_of(config, seed, 200 + place, 2), config,
                build_accelerator(config, assertions=True, optimize="-O1"), subtests)
