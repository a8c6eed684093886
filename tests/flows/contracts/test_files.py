"""Files are written whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from flows.contracts.files import replacing


def test_replaces(tmp_path: Path) -> None:
    """The old content stays until the new one is complete; nothing else is left."""
    path = tmp_path / "folder" / "file"
    with replacing(path) as part:
        part.write_text("one")
        assert not path.exists()
    with replacing(path) as part:
        part.write_text("two")
        assert path.read_text() == "one"
    assert path.read_text() == "two"
    assert list(path.parent.iterdir()) == [path]


def test_error_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")

    def fail() -> None:
        with replacing(path) as part:
            part.write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_ordinary_permissions(tmp_path: Path) -> None:
    """As any file that is written here."""
    (tmp_path / "plain").write_text("")
    with replacing(tmp_path / "file") as part:
        part.write_text("")
    assert (tmp_path / "file").stat().st_mode == (tmp_path / "plain").stat().st_mode
