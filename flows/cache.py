"""Results that are kept between runs: a file whose name says what it was made from."""

from __future__ import annotations

import functools
import hashlib
import json
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CACHE = ROOT / "build" / "cache"


@functools.cache
def source_hash(*folders: str) -> str:
    """Hash of the Python sources below ``folders`` (relative to the project): a changed program forgets its results."""
    digest = hashlib.sha256()
    for folder in folders:
        for path in sorted((ROOT / folder).glob("**/*.py")):
            digest.update(path.relative_to(ROOT).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def file_hash(path: Path) -> str:
    """SHA-256 of a file, or of the names and contents of all files in a folder."""
    digest = hashlib.sha256()
    for part in sorted(path.rglob("*")) if path.is_dir() else [path]:
        if part.is_file():
            digest.update(part.name.encode() + b"\0")
            with part.open("rb") as handle:
                digest.update(hashlib.file_digest(handle, "sha256").digest())
    return digest.hexdigest()


def cached(kind: str, key: object, suffix: str) -> Path:
    """Path of the result that belongs to ``key`` (anything JSON can hold); it need not exist."""
    text = json.dumps(key, sort_keys=True)
    return CACHE / f"{kind}-{hashlib.sha256(text.encode()).hexdigest()[:20]}{suffix}"
