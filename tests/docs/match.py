"""Compares what a command printed with what a page shows.

``...`` stands for any text within a line, and alone on a line for any lines. A number after ``≈`` stands for any
number: it differs between machines or runs. Blanks count as one blank, as columns of tables shift with their content.
"""

from __future__ import annotations

import re

_NUMBER = r"\s?-?[\d,.]+"


def differs(shown: str, printed: str) -> str | None:
    """None when they agree, otherwise the first line of the page that does not, and what was printed in its place."""
    want, got = _lines(shown), _lines(printed)
    return _compare(want, got)


def _lines(text: str) -> list[str]:
    lines = [re.sub(r"[━─═]{2,}", "─", re.sub(r"\s+", " ", line)).strip() for line in text.splitlines()]
    return [line for line in lines if line]


def _compare(want: list[str], got: list[str]) -> str | None:
    position, skipping = 0, False
    for line in want:
        if line == "...":
            skipping = True
            continue
        pattern = _pattern(line)
        while skipping and position < len(got) and not pattern.fullmatch(got[position]):
            position += 1
        if position == len(got) or not pattern.fullmatch(got[position]):
            return f"shown:   {line}\nprinted: {got[position] if position < len(got) else '(nothing more)'}"
        position, skipping = position + 1, False
    if position < len(got) and not skipping:
        return f"printed, but not shown: {got[position]}"
    return None


def _pattern(line: str) -> re.Pattern[str]:
    parts = re.split(r"(\.\.\.| ?≈ ?-?[\d,.]*\d)", line)
    return re.compile("".join(".*" if part == "..." else _NUMBER if "≈" in part else re.escape(part)
                              for part in parts))
