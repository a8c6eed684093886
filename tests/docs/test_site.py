"""The site builds without a warning, every page is in its menu, and nothing in it comes from the network."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from flows.documentation.blocks import ROOT

pytest.importorskip("mkdocs", reason="mkdocs-material is not installed; 'make docs' installs it")
_FETCHED = re.compile(r"""<(?:script|img|iframe|source)[^>]*\ssrc=["']?([^"'\s>]+)|<link[^>]*\shref=["']?([^"'\s>]+)""")


@pytest.fixture(scope="module", name="site")
def fixture_site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--config-file", "docs/site/mkdocs.yml"]
    done = subprocess.run([*command, "--site-dir", str(folder)], cwd=ROOT, capture_output=True, text=True, check=False,
                          timeout=300, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"})
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr
    return folder


def test_pages(site: Path) -> None:
    for name in ("index", "tutorial", "numerics", "architecture", "registers", "verification", "howto/unit"):
        text = (site / f"{name}.html").read_text()
        assert len(text) > 10_000 and "<h1" in text
    assert 'src="assets/core.svg"' in (site / "architecture.html").read_text()


def test_nothing_comes_from_the_network(site: Path) -> None:
    """Scripts, styles, fonts and pictures are files of the site."""
    checked = 0
    for page in site.rglob("*.html"):
        for match in _FETCHED.finditer(page.read_text()):
            target = match[1] or match[2]
            rel = match[0]
            assert not re.match(r"(https?:)?//", target) or 'rel="canonical"' in rel, f"{page.name}: {rel}"
            checked += 1
        assert "fonts.googleapis" not in page.read_text()
    for style in site.rglob("*.css"):
        assert not re.search(r"url\(['\"]?(https?:)?//", style.read_text()), style
    assert checked > 100


def test_links_lead_to_files(site: Path) -> None:
    """Every relative link and anchor of every page exists."""
    for page in site.rglob("*.html"):
        if page.name == "404.html":
            continue
        for target in re.findall(r'<a [^>]*href="([^"]+)"', page.read_text()):
            if re.match(r"[a-z]+:", target):
                continue
            path, _, anchor = target.partition("#")
            file = (page.parent / path).resolve() if path else page
            assert file.exists(), f"{page.relative_to(site)}: {target}"
            if anchor and file.suffix == ".html":
                assert f'id="{anchor}"' in file.read_text() or anchor.startswith("__"), f"{page.name}: {target}"


def test_every_page_is_in_the_menu() -> None:
    """A page of docs that nobody can find is worth nothing."""
    menu = (ROOT / "docs" / "site" / "mkdocs.yml").read_text()
    for page in (ROOT / "docs").rglob("*.md"):
        assert f"- {page.relative_to(ROOT / 'docs').as_posix()}\n" in menu, page


def test_links_to_other_files_show_their_path(site: Path) -> None:
    """Links that work in the repository, to what is no page, become names of files."""
    text = (site / "results" / "index.html").read_text()
    assert "<code>docs/results/runs</code>" in text and 'href="runs"' not in text
