"""The memory model and the probe, as the accelerator's testbench uses them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from flows.contracts.errors import SimulationError
from sim import probes
from sim.runner import Results, simulate
from tests.sim.bench_memory import SIZE, contents

HERE = Path(__file__).resolve().parent


@pytest.fixture(name="start_file")
def fixture_start_file(tmp_path: Path) -> Path:
    """Initial contents as a file."""
    path = tmp_path / "memory.bin"
    path.write_bytes(contents())
    return path


def bench(testcase: str, start_file: Path, *plusargs: str, bus_bits: int = 256, env: dict[str, str] | None = None,
          ) -> Results:
    """Run one test of the bench."""
    return simulate([HERE / "memory_top.sv"], sources=probes.support_sources(), parameters={"DATA_WIDTH": bus_bits},
                    test_module="tests.sim.bench_memory", name=f"memory{bus_bits}", testcase=testcase, env=env or {},
                    plusargs=[f"+memory={start_file}", *plusargs], timeout=120)


@pytest.mark.parametrize("bus_bits", [128, 256, 512])
@pytest.mark.parametrize("pauses", [False, True])
def test_random_traffic(start_file: Path, tmp_path: Path, bus_bits: int, pauses: bool) -> None:
    """Data agree with a model, without pauses and with pauses on both sides, and the dump holds the end state."""
    out, model, record_file = tmp_path / "out.bin", tmp_path / "model.bin", tmp_path / "probe.bin"
    options = ["+stall=30", "+latency=9", "+latency_random=20", "+seed=5"] if pauses else []
    bench("random_traffic", start_file, f"+memory_out={out}", f"+probe={record_file}", *options, bus_bits=bus_bits,
          env={"MODEL_FILE": str(model), "PAUSES": "1" if pauses else ""})
    assert out.read_bytes() == model.read_bytes()
    assert out.read_bytes() != contents()
    records = probes.read_records(record_file)
    assert len(records) > 100
    assert (records["unit"] == 3).all()
    assert (records["token"] == np.arange(len(records))).all()
    assert (np.diff(records["cycle"].astype(np.int64)) > 0).all()
    assert 0 < records["step"].sum() < len(records)


def test_parallel_reads(start_file: Path) -> None:
    """Reads in flight keep apart."""
    bench("parallel_reads", start_file, "+latency=60", "+latency_random=30", "+stall=10")


def test_probe_data(start_file: Path, tmp_path: Path) -> None:
    """A record holds exactly what was on the wires, lane 0 first."""
    record_file = tmp_path / "probe.bin"
    bench("throughput", start_file, f"+probe={record_file}", env={"RATE": "32"})
    records = probes.read_records(record_file)
    words = np.frombuffer(contents()[:32 * 1024], np.uint8).reshape(-1, 32)
    np.testing.assert_array_equal(records["data"], words)
    np.testing.assert_array_equal(probes.lanes_of(records, "<i2"), words.copy().view("<i2"))
    np.testing.assert_array_equal(probes.lanes_of(records, "i1"), words[:, :16].view(np.int8))


@pytest.mark.parametrize("latency", [1, 2, 100])
def test_latency(start_file: Path, latency: int) -> None:
    """+latency is the number of cycles from address to data."""
    bench("latency", start_file, f"+latency={latency}", env={"LATENCY": str(latency)})


@pytest.mark.parametrize(("bandwidth", "rate"), [("0", "32"), ("32", "32"), ("19.2", "19.2"), ("5", "5")])
def test_bandwidth(start_file: Path, bandwidth: str, rate: str) -> None:
    """+bandwidth limits the bytes per cycle, fractions included; 0 does not limit."""
    bench("throughput", start_file, f"+bandwidth={bandwidth}", "+latency=20", env={"RATE": rate})


def test_error_response(start_file: Path) -> None:
    """+error_at answers SLVERR at one address; beyond the end is DECERR."""
    bench("error", start_file, "+error_at=8192", env={"ERROR_AT": "8192"})
    assert len(contents()) == SIZE


def test_dead(start_file: Path) -> None:
    """+dead=1 never answers."""
    bench("dead", start_file, "+dead=1")


def test_burst_over_page_is_refused(start_file: Path) -> None:
    """An illegal request ends the simulation with a message."""
    with pytest.raises(SimulationError, match="burst crosses a 4 KiB boundary"):
        bench("crossing", start_file)


def test_withdrawn_request_is_refused(start_file: Path) -> None:
    """A request must stay until it is taken."""
    with pytest.raises(SimulationError, match="valid was withdrawn before ready"):
        bench("withdrawn", start_file, "+stall=60")


def test_missing_file(tmp_path: Path) -> None:
    """A memory file that does not exist is named."""
    with pytest.raises(SimulationError, match="cannot read .*nothing.bin"):
        bench("dead", tmp_path / "nothing.bin")


def test_records_cut_short(tmp_path: Path) -> None:
    """A probe file that ends within a record is refused."""
    path = tmp_path / "probe.bin"
    path.write_bytes(bytes(100))
    with pytest.raises(SimulationError, match="ends within a record"):
        probes.read_records(path)
    with pytest.raises(SimulationError, match="left no probe records"):
        probes.read_records(tmp_path / "none.bin")
