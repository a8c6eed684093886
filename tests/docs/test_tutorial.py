"""A newcomer who follows the tutorial literally gets every output shown there."""

from __future__ import annotations

from pathlib import Path

import pytest

from flows.documentation.blocks import ROOT, blocks_of
from tests.docs.session import Session

PAGE = ROOT / "docs" / "tutorial.md"


def follow(folder: Path, monkeypatch: pytest.MonkeyPatch, **options: bool) -> Session:
    monkeypatch.chdir(folder)
    monkeypatch.delenv("SIEVIT_RUNS")
    session = Session(folder, **options)
    for block in blocks_of(PAGE):
        session.run(block)
    return session


def test_tutorial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All steps in order; commands of sievit run within this process, which saves starting torch ten times."""
    session = follow(tmp_path, monkeypatch)
    done = " ".join(session.ran)
    for step in ("train", "prune", "export", "eval", "compile", "sim", "search", "verilog", "check-tcl"):
        assert f"sievit {step}" in done
    assert (tmp_path / "board" / "rtl" / "vit_accel.v").is_file()


@pytest.mark.slow
def test_tutorial_as_typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every command as a process of its own, as in a reader's shell, with the slow ones."""
    session = follow(tmp_path, monkeypatch, slow=True, literal=True)
    assert (tmp_path / "board.json").is_file()
    assert len(session.ran) > 15
