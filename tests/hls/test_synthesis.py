"""Reading synthesis reports of Vitis HLS, of which ``csynth.xml`` beside this file has the form."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from flows.contracts.errors import ArtifactError
from flows.contracts.resources import Resources
from flows.hls_synthesis import REPORT_PATH, Loop, read_synthesis
from tests.flows.pictures import invoke

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
    content = json.loads(invoke("hls-report", REPORT, "--json").stdout)
    assert content["used"]["dsp"] == 1280
    assert content["share"]["dsp"] == pytest.approx(1280 / 2520)
    assert content["meets_clock"] is True
    assert invoke("hls-report", REPORT.parent / "none.xml").exit_code == 2
