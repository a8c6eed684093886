"""Commands of the pages that no test runs, and those that only the slow tests run."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from flows.documentation.blocks import RUN, Block, blocks_of, commands_of, pages

ACTIONS = ("skip", "needs", "slow")


@dataclass(frozen=True)
class Unrun:
    """A command that the default tests do not run.

    Attributes
    ----------
    page, line : where its block is
    command : or the block's language, for a whole block of Python
    action : ``skip``, ``needs`` or ``slow``
    reason : as the page's remark says
    """

    page: str
    line: int
    command: str
    action: str
    reason: str


def unrun() -> list[Unrun]:
    """All of them, page by page."""
    return [item for page in pages() for block in blocks_of(page) for item in _of(block)]


def _of(block: Block) -> Iterator[Unrun]:
    if block.language not in RUN or block.remark("file") or block.remark("append"):
        return
    names = ([command.text for command in commands_of(block)] if block.language in ("sh", "console")
             else [f"a block of {block.language}"])
    for name in names:
        for action in ACTIONS:
            if (remark := block.remark(action, name)) is not None:
                yield Unrun(block.page, block.line, name, action, remark.text or "takes long")
                break


def unrun_table() -> str:
    """What is never run, or only where data is: a table for the page about verification."""
    lines = ["| page | command | why not |", "|---|---|---|"]
    lines += [f"| {item.page} | `{_short(item.command)}` | {'needs ' if item.action == 'needs' else ''}{item.reason} |"
              for item in unrun() if item.action != "slow"]
    return "\n".join(lines) + "\n"


def _short(command: str, limit: int = 70) -> str:
    command = command.replace("|", "\\|")
    return command if len(command) <= limit else command[:limit - 4] + " ..."
