"""Reading synthesis reports of Vitis HLS, of which ``csynth.xml`` beside this file has the form."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from flows.contracts.errors import ArtifactError
from flows.contracts.hardware import HardwareConfig
from flows.contracts.resources import Resources
from flows.hls_record import JOB, hls_record
from flows.hls_synthesis import REPORT_PATH, Loop, read_synthesis
from flows.hls_vectors import write_job
from flows.runs import find
from tests.accelerator.hardware import TWO
from tests.factory import random_artifact
from tests.flows.pictures import invoke
from tests.hls.networks import make_case

REPORT = Path(__file__).with_name("csynth.xml")


def test_figures() -> None:
    """Every number is where it belongs; half a block RAM counts as such, what the tool does not know is None."""
    found = read_synthesis(REPORT)
    assert (found.version, found.part, found.top) == ("2023.1", "xczu9eg-ffvb1156-2-e", "vit_accel")
    assert (found.target_ns, found.estimated_ns) == (5.0, 3.65)
    assert found.meets_clock
    assert found.clock_mhz == pytest.approx(273.97, abs=0.01)
    assert found.latency == (150, None)
    assert found.interval == (151, None)
    assert found.used == Resources(120456, 91234, 1280, 155.5, 0)
    assert found.available == Resources(274080, 548160, 2520, 912, 0)
    assert found.loops == (
        Loop("packets", None, None, None, None), Loop("packets.cycles", 208, 244, 1, 38),
        Loop("packets.map_tokens", 207, 211, 1, 6))


def test_in_a_project_folder(tmp_path: Path) -> None:
    """The report is found in the folder that holds the project."""
    place = tmp_path / "vit_accel" / REPORT_PATH
    place.parent.mkdir(parents=True)
    shutil.copy(REPORT, place)
    assert read_synthesis(tmp_path) == read_synthesis(tmp_path / "vit_accel") == read_synthesis(REPORT)


def test_older_names(tmp_path: Path) -> None:
    """Vivado HLS calls DSP slices DSP48E."""
    path = tmp_path / "csynth.xml"
    path.write_text(REPORT.read_text().replace("DSP>", "DSP48E>"))
    assert read_synthesis(path).used.dsp == 1280


@pytest.mark.parametrize(("change", "message"), [
    (("<LUT>120456</LUT>", ""), "no synthesis report of Vitis HLS.*Resources has no LUT"),
    (("<Part>xczu9eg-ffvb1156-2-e</Part>", ""), "UserAssignments/Part is missing"),
    (("3.650", "fast"), "could not convert"), (("</profile>", ""), "no synthesis report of Vitis HLS"),
])
def test_damaged_reports(tmp_path: Path, change: tuple[str, str], message: str) -> None:
    """One line that says what is missing."""
    path = tmp_path / "csynth.xml"
    path.write_text(REPORT.read_text().replace(*change))
    with pytest.raises(ArtifactError, match=message):
        read_synthesis(path)


def test_missing_reports(tmp_path: Path) -> None:
    """And what to do."""
    with pytest.raises(ArtifactError, match=r"run run_hls\.tcl in Vitis HLS first"):
        read_synthesis(tmp_path / "none.xml")
    with pytest.raises(ArtifactError, match=r"run its run_hls\.tcl in Vitis HLS first"):
        read_synthesis(tmp_path)


def test_command() -> None:
    """As a table, and as JSON with the shares that dashboards show."""
    shown = invoke("hls-report", REPORT)
    assert shown.exit_code == 0, shown.output
    for words in ("120,456", "155.5", "packets.cycles", "43.9%", "274 MHz"):
        assert words in shown.stdout
    assert "the record is about no configuration" in shown.stderr
    content = json.loads(invoke("hls-report", REPORT, "--json").stdout)
    assert content["used"]["dsp"] == 1280
    assert content["share"]["dsp"] == pytest.approx(1280 / 2520)
    assert content["meets_clock"] is True
    assert invoke("hls-report", REPORT.parent / "none.xml").exit_code == 2


@pytest.fixture(name="project", scope="module")
def fixture_project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as ``sievit hls`` writes it, as far as records need it, in which Vitis HLS has run."""
    folder = tmp_path_factory.mktemp("hls")
    case = make_case(random_artifact(width=32, heads=1, depth=1, hidden=32, tokens=9, classes=5, seed=5), TWO)
    write_job(folder / JOB.parent, [case.vector])
    place = folder / "vit_accel" / REPORT_PATH
    place.parent.mkdir(parents=True)
    shutil.copyfile(REPORT, place)
    return folder


def hash_of(config: HardwareConfig) -> str:
    return f"{config.config_hash():08x}"


def test_record(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The configuration is the folder's, however the report is named; what is printed is what is kept, once."""
    monkeypatch.setenv("SIEVIT_RUNS", str(tmp_path))
    for source in (project, project / "vit_accel", project / "vit_accel" / REPORT_PATH):
        result = invoke("hls-report", source, "--json")
        assert (result.exit_code, result.stderr) == (0, "")
        (run,) = find(tmp_path)
        assert run.content == json.loads(result.stdout)
        assert run.content["config_hash"] == hash_of(TWO)
    assert run.name.startswith("vitis_hls-vit_accel-xczu9eg-")
    assert (run.content["kind"], run.content["target_mhz"], run.content["latency"]) == ("vitis_hls", 200.0, [150, None])


def test_record_of_no_configuration(project: Path, tmp_path: Path) -> None:
    """A report by itself, one without vectors beside it, and one from before the folder was written anew."""
    assert hls_record(REPORT)["config_hash"] is None
    copy = shutil.copytree(project, tmp_path / "copy")
    report = copy / "vit_accel" / REPORT_PATH
    changed = (copy / JOB).stat().st_mtime
    os.utime(report, (changed + 1, changed + 1))
    assert hls_record(copy)["config_hash"] == hash_of(TWO)
    os.utime(report, (changed - 1, changed - 1))
    assert hls_record(copy)["config_hash"] is None
    os.utime(report, (changed + 1, changed + 1))
    (copy / JOB).write_text("{}")
    os.utime(copy / JOB, (changed, changed))
    assert hls_record(copy)["config_hash"] is None


def test_record_of_a_device_without_a_kind(tmp_path: Path) -> None:
    """Needed and not there: no share, which JSON has no number for."""
    path = tmp_path / "csynth.xml"
    text = REPORT.read_text()
    start = text.index("<URAM>")
    path.write_text(text[:start] + "<URAM>3</URAM>" + text[text.index("</URAM>") + len("</URAM>"):])
    content = hls_record(path)
    assert (content["used"]["uram"], content["share"]["uram"]) == (3, None)
    assert "none" in invoke("hls-report", path).stdout
