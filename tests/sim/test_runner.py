"""The runner: builds once per content, sees only ports, and turns every failure into a useful message."""

import re
import threading
from pathlib import Path

import pytest
from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from flows.contracts.errors import SimulationError
from rtl.flow import Flow
from sim import runner, toolchain
from sim.runner import Results, Source, build, simulate
from sim.verilog_source import convert, ports_of

COUNTER = Path(__file__).resolve().parent / "counter.sv"
BENCH = "tests.sim.bench_counter"


def count(**options: object) -> Results:
    """Run the counter's bench."""
    return simulate(COUNTER, test_module=BENCH, name="counter", **options)  # type: ignore[arg-type]


class Increment(wiring.Component):
    """Adds one, for the Amaranth path."""

    def __init__(self) -> None:
        super().__init__({"i": In(Flow(8)), "o": Out(Flow(8))})

    def elaborate(self, platform: object) -> Module:
        """One register."""
        m = Module()
        # pyright cannot see members that come from a signature.
        i, o = (getattr(self, name) for name in ("i", "o"))
        m.d.sync += [o.payload.eq(i.payload + 1), o.valid.eq(i.valid)]
        return m


def test_runs_and_builds_once() -> None:
    """The second run finds the first one's executable untouched."""
    results = count()
    assert [test.name for test in results.tests] == ["counts"]
    made = build(COUNTER, name="counter")
    before = (made.directory / made.toplevel).stat().st_mtime_ns
    count()
    assert (build(COUNTER, name="counter").directory / made.toplevel).stat().st_mtime_ns == before


def test_content_decides() -> None:
    """Another parameter is another build, and it behaves as such."""
    assert build(COUNTER, name="counter", parameters={"STEP": 3}) != build(COUNTER, name="counter")
    count(parameters={"STEP": 3}, env={"STEP": "3"})


def test_concurrent_builders(tmp_path: Path) -> None:
    """Two builders of the same content give one build."""
    made: list[object] = []
    threads = [threading.Thread(target=lambda: made.append(build(COUNTER, name="counter", build_dir=tmp_path)))
               for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 2
    assert made[0] == made[1]
    assert len([path for path in tmp_path.iterdir() if path.name.startswith("counter-") and path.is_dir()]) == 1
    assert not list(tmp_path.glob("*.tmp"))


def test_failing_test_is_quoted() -> None:
    """A failure names the test and carries its assertion."""
    with pytest.raises(SimulationError, match=r"1 of 1 tests of .*bench_counter failed\n  counts: .*wrong step"):
        count(env={"STEP": "2"})


def test_seed() -> None:
    """Equal seeds give equal runs, other seeds other ones."""
    drawn = [re.findall(r"drawn (\d+)", count(env={"DRAW": "1"}, seed=seed).log) for seed in (5, 5, 6)]
    assert drawn[0]
    assert drawn[0] == drawn[1]
    assert drawn[0] != drawn[2]


def test_hang_is_ended() -> None:
    """A test that never ends is ended, with the reason."""
    with pytest.raises(SimulationError, match="took more than 3 s"):
        count(env={"FOREVER": "1"}, timeout=3)


def test_nothing_ran() -> None:
    """A module without tests, and one that does not exist, are errors."""
    with pytest.raises(SimulationError, match="ran no test|ended early"):
        simulate(COUNTER, test_module="tests.factory", name="counter")
    with pytest.raises(SimulationError, match="no_such_module"):
        simulate(COUNTER, test_module="no_such_module", name="counter")


def test_bad_verilog() -> None:
    """Verilator's message reaches the user, and no broken build is left."""
    bad = Source("bad.sv", "module bad(input logic clk); assign nothing = elsewhere.x; endmodule\n")
    for _ in range(2):
        with pytest.raises(SimulationError, match=r"(?s)building bad-\w+ failed.*%Error.*bad\.sv"):
            simulate(bad, test_module=BENCH, name="bad")


def test_missing_source(tmp_path: Path) -> None:
    """A missing file is named."""
    with pytest.raises(SimulationError, match="no such source file: .*nothing.sv"):
        simulate(tmp_path / "nothing.sv", test_module=BENCH, name="counter")


def test_missing_tools(monkeypatch: pytest.MonkeyPatch) -> None:
    """Missing system tools are named with the line that installs them."""
    monkeypatch.setattr(toolchain.shutil, "which", lambda name: None if name in ("g++", "perl") else f"/bin/{name}")
    with pytest.raises(SimulationError, match=r"missing system tool: g\+\+, perl; install with: apt-get install g\+\+ "
                                              r"make perl"):
        runner.build(COUNTER, name="counter")


@pytest.mark.slow
def test_trace(tmp_path: Path) -> None:
    """A traced run leaves a waveform."""
    wave = count(trace=True, run_dir=tmp_path / "run").wave
    assert wave is not None
    assert wave.stat().st_size > 200


def test_component() -> None:
    """An Amaranth component converts to the same bytes every time, with flat port names."""
    first, second = convert(Increment()), convert(Increment())
    assert first == second
    assert sorted(ports_of(first.text, "top")) == ["clk", "i__payload", "i__valid", "o__payload", "o__valid", "rst"]


@pytest.mark.parametrize(("text", "expected"), [
    ("module m; endmodule", []),
    ("module m(a, b); input a; output b; endmodule", ["a", "b"]),
    ("module m #(parameter int W = f(3)) (input logic [W-1:0] a, // one, two\n output logic b [3:0]);", ["a", "b"]),
    ("module mm(x); endmodule (* keep *) module m (input a, input wire [3:0] b, c /* d */);", ["a", "b", "c"]),
])
def test_ports_of(text: str, expected: list[str]) -> None:
    """Port lists of all styles."""
    assert ports_of(text, "m") == expected


def test_ports_of_missing_module() -> None:
    """A module that is not there."""
    with pytest.raises(SimulationError, match="module top is not in the given sources"):
        ports_of("module m; endmodule", "top")
