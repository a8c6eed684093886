"""Artifacts that come with sievit: trained networks that commands use when they are asked for nothing else."""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).resolve().parent / "artifacts"


def shipped_artifact(model: str) -> Path | None:
    """The artifact that comes with sievit for ``model``, or None.

    ``flows/artifacts/README.md`` says how it was made.
    """
    path = FOLDER / f"{model}.safetensors"
    return path if model.isidentifier() and path.is_file() else None
