"""The store of runs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from flows.contracts.errors import ConfigError
from flows.contracts.hardware import HardwareConfig
from flows.runs import find, keep, kept_by, runs_folder, stamp


def content(**more: object) -> dict[str, object]:
    return {**stamp("resources", config=HardwareConfig()), **more}


def test_kept_and_found(tmp_path: Path) -> None:
    folder = keep(content(total=3), "zcu102 synthesis", ["question"], {"more.txt": _write}, tmp_path)
    assert folder.name.startswith("resources-zcu102_synthesis-")
    assert (folder / "more.txt").read_text() == "attached"
    (run,) = find(tmp_path)
    assert (run.kind, run.name, run.folder) == ("resources", folder.name, folder)
    assert run.content["total"] == 3
    assert run.content["config_hash"] == f"{HardwareConfig().config_hash():08x}"


def test_same_question_replaces(tmp_path: Path) -> None:
    keep(content(total=1), "a", ["same"], {"old.txt": _write}, tmp_path)
    keep(content(total=2), "a", ["same"], root=tmp_path)
    keep(content(total=3), "a", ["other"], root=tmp_path)
    assert sorted(run.content["total"] for run in find(tmp_path)) == [2, 3]
    assert not list(tmp_path.glob("*/old.txt"))


def test_nothing_half_written(tmp_path: Path) -> None:
    def fail(path: Path) -> None:
        path.write_text("begun")
        raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        keep(content(), "a", 1, {"more.txt": fail}, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_store_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ConfigError, match=r"runs cannot be kept in .*file/runs \(Not a directory\); set SIEVIT_RUNS"):
        keep(content(), "a", 1, root=tmp_path / "file" / "runs")


def test_readers_refuse(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such report: .*; run 'make sim' first"):
        kept_by(tmp_path)
    file = tmp_path / "some.json"
    file.write_text("{")
    with pytest.raises(ConfigError, match=r"some\.json cannot be read as a report"):
        kept_by(file)
    file.write_text('{"kind": "poem"}')
    with pytest.raises(ConfigError, match=r"some\.json is no report of sievit"):
        kept_by(file)
    file.write_text(json.dumps({**stamp("eval"), "format": 99}))
    with pytest.raises(ConfigError, match="has format 99, this version reads 1"):
        kept_by(file)


def test_find_skips_what_is_no_report(tmp_path: Path) -> None:
    (tmp_path / "junk").mkdir()
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "report.json").write_text("{")
    assert find(tmp_path) == []
    assert find(tmp_path / "absent") == []


def test_folder_by_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIEVIT_RUNS", str(tmp_path))
    assert runs_folder() == tmp_path
    monkeypatch.delenv("SIEVIT_RUNS")
    assert runs_folder() == Path("out/runs")


def _write(path: Path) -> None:
    path.write_text("attached")
