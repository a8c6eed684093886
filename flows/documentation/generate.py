"""Writes the generated parts of the pages: ``python -m flows.documentation.generate``; with ``--check`` it only looks.

A part stands between two comments, ``<!-- generated: name -->`` and ``<!-- end -->``.
"""

from __future__ import annotations

import re
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

from amaranth.hdl import UnusedElaboratable

from flows.contracts.files import replacing
from flows.documentation import tables
from flows.documentation.blocks import ROOT, pages
from flows.documentation.diagrams import DIAGRAMS
from flows.documentation.unrun import unrun_table

PARTS: dict[str, Callable[[], str]] = {
    "registers": tables.register_table,
    "errors": tables.error_table,
    "packets": tables.packet_tables,
    "codes": tables.code_table,
    "configuration": tables.configuration_table,
    "tensors": tables.tensor_table,
    "model": tables.model_table,
    "unrun": unrun_table,
}
_PART = re.compile(r"(<!-- generated: (\w+) -->\n)(.*?)(<!-- end -->)", re.DOTALL)


def generated(text: str) -> str:
    """A page with its generated parts as the code has them now.

    Raises
    ------
    KeyError
        For a part that is not in :data:`PARTS`.
    """
    return _PART.sub(lambda match: f"{match[1]}\n{PARTS[match[2]]()}\n{match[4]}", text)


def contents() -> dict[Path, str]:
    """What every file with something generated in it has to hold."""
    found = {page: generated(text) for page in pages() if "<!-- generated:" in (text := page.read_text())}
    return found | {ROOT / "docs" / "assets" / f"{name}.svg": draw() for name, draw in DIAGRAMS.items()}


def outdated() -> dict[Path, str]:
    """Files that hold something else, and what they have to hold."""
    return {path: text for path, text in contents().items() if not path.is_file() or path.read_text() != text}


def main(arguments: list[str]) -> int:
    """Write what is outdated, or only name it; status 1 when ``--check`` finds something."""
    warnings.simplefilter("ignore", UnusedElaboratable)  # diagrams elaborate modules that nobody emits
    found = outdated()
    for path, text in found.items():
        print(path.relative_to(ROOT))
        if "--check" not in arguments:
            with replacing(path) as part:
                part.write_text(text)
    return bool(found) and "--check" in arguments


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
