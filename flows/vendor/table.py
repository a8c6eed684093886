"""The two kinds of tables in the vendor's text reports: with lines around the cells, and in columns under dashes."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass

from flows.contracts.errors import ConfigError


class ReportError(ConfigError):
    """A report is not what it should be; the message names the file and what is missing."""


@dataclass(frozen=True)
class Table:
    """A table: titles of the columns, and rows of cells as text. First cells keep their indentation."""

    titles: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def column(self, *names: str) -> int | None:
        """Number of the first column that is called as one of ``names``, in their order of preference."""
        return next((self.titles.index(name) for name in names if name in self.titles), None)


def boxed_tables(text: str) -> Iterator[Table]:
    """Tables drawn with ``+---+`` and ``|``; a block without a heading between two rules is skipped."""
    block: list[str] = []
    for line in [*text.splitlines(), ""]:
        stripped = line.strip()
        if stripped.startswith("+--") or (stripped.startswith("|") and stripped.endswith("|") and len(stripped) > 1):
            block.append(stripped)
        elif block:
            yield from _boxed(block)
            block = []


def _boxed(block: list[str]) -> Iterator[Table]:
    rules = [index for index, line in enumerate(block) if line.startswith("+")]
    if len(rules) < 2 or rules[1] - rules[0] != 2:
        return
    titles = tuple(cell.strip() for cell in block[rules[0] + 1][1:-1].split("|"))
    rows = tuple(tuple(cell.rstrip()[1:] if index == 0 else cell.strip()
                       for index, cell in enumerate(line[1:-1].split("|")))
                 for line in block[rules[1] + 1:] if not line.startswith("+"))
    yield Table(titles, tuple(row for row in rows if len(row) == len(titles)))


def ruled_tables(text: str) -> Iterator[Table]:
    """Tables of a heading, a line of dashes under each title, and rows; an empty line or a rule ends them.

    Dashes are as wide as the title, not as the column: names go beyond them to the right, numbers to the left. Columns
    are divided where all rows are blank.
    """
    lines = text.splitlines()
    for index in range(1, len(lines)):
        if not re.fullmatch(r"\s*-+(\s+-+)+\s*", lines[index]):
            continue
        rows = list(itertools.takewhile(lambda line: line.strip(" -"), lines[index + 1:]))
        spans = _spans(lines[index], [lines[index - 1], *rows])
        titles, *cells = [tuple(line[start:end].strip() for start, end in spans) for line in (lines[index - 1], *rows)]
        yield Table(titles, tuple(cells))


def _spans(rule: str, lines: list[str]) -> list[tuple[int, int | None]]:
    """Where columns begin and end: between two groups of dashes, at the first place that is blank in all lines."""
    groups = [match.span() for match in re.finditer("-+", rule)]
    borders = []
    for (_, end), (begin, _) in itertools.pairwise(groups):
        blank = (at for at in range(end, begin) if all(line[at:at + 1].isspace() or at >= len(line) for line in lines))
        borders.append(next(blank, end))
    return list(zip([0, *borders], [*borders, None], strict=True))


def number(text: str, what: str) -> float:
    """A number of a report.

    Raises
    ------
    ReportError
        When it is none.
    """
    try:
        return float(text.replace(",", "").removeprefix("<"))
    except ValueError:
        raise ReportError(f"{what}: {text!r} is no number; is this a report of another release?") from None
