"""Every command and code block of the pages runs, in the order of its page; what does not is listed by reason."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from flows.documentation.blocks import ROOT, blocks_of, pages
from flows.documentation.unrun import unrun
from tests.docs.session import Session, is_changed_by

TUTORIAL = ROOT / "docs" / "tutorial.md"
PAGES = [page for page in pages() if page != TUTORIAL]
"""The tutorial has a test of its own."""
UNRUN = [item for item in unrun() if item.action != "slow"]


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def run(page: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, *, slow: bool) -> Session:
    monkeypatch.chdir(folder)
    monkeypatch.delenv("SIEVIT_RUNS")
    blocks = blocks_of(page)
    session = Session(folder, slow=slow, tree=is_changed_by(blocks))
    try:
        for block in blocks:
            session.run(block)
    finally:
        session.close()
    return session


def default_pages() -> list[Path]:
    return [page for page in PAGES if any(True for _ in blocks_of(page))]


@pytest.mark.parametrize("page", default_pages(), ids=name_of)
def test_page(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A page, without what is marked slow."""
    run(page, tmp_path, monkeypatch, slow=False)


SLOW = [page for page in PAGES if any(remark.action == "slow" for block in blocks_of(page) for remark in block.remarks)]


@pytest.mark.slow
@pytest.mark.parametrize("page", SLOW, ids=name_of)
def test_slow_page(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A page with everything in it that can run here."""
    run(page, tmp_path, monkeypatch, slow=True)


@pytest.mark.parametrize("item", UNRUN, ids=lambda item: f"{item.page}:{item.line}")
def test_not_run(item) -> None:
    """Nothing is left out silently: these show up among the skipped tests, with the page's reason."""
    assert len(item.reason) > 8, f"{item.page}:{item.line}: {item.command}: no reason is given"
    if item.action == "skip" or item.reason.split()[0] not in os.environ:
        pytest.skip(f"{item.page}:{item.line}: {item.command[:60]}: {item.reason}")
