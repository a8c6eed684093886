"""Code blocks of Markdown pages, with the remarks that say how a test runs them.

Fenced blocks have a language; indented ones are shell commands. Remarks are comments before a block, which readers of
the page do not see::

    <!-- test: slow -->
    <!-- test: skip `make bitstream` needs Vivado -->

A remark with a command in backquotes is about the lines that begin with it, otherwise about the whole block. A comment
that begins with ``test: run`` holds lines of shell that a test runs at that place, to make what the reader has already.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent

RUN = ("console", "pycon", "python", "sh")
"""Languages that a test executes."""
SHOWN = ("c", "json", "text", "yaml")
"""Languages that are only shown, unless a remark makes a file of the block."""
ACTIONS = ("slow", "skip", "fails", "file", "append", "run", "needs")

_REMARK = re.compile(r"<!-- test: (\w+)(.*?)-->", re.DOTALL)
_FENCE = re.compile(r"( *)(```+) *(\S*)\n(.*?)^\1\2 *$", re.DOTALL | re.MULTILINE)
_INDENTED = re.compile(r"^    .*\n(?:    .*\n|[ \t]*\n(?=    \S))*", re.MULTILINE)


@dataclass(frozen=True)
class Remark:
    """How a test treats a block.

    Attributes
    ----------
    action : ``slow``: with the slow tests only; ``skip``: never; ``needs``: only where the environment variable of that
        name is set; ``fails``: has to end with an error; ``file``: becomes the file that ``text`` names, ``append``:
        the end of it; ``run``: ``text`` is run as shell lines
    prefix : of the commands it is about, with ``$`` at its end the command itself; empty for the whole block
    text : reason, name of the file, or lines
    """

    action: str
    prefix: str
    text: str

    def is_about(self, command: str) -> bool:
        """Whether ``command`` begins with the prefix, or is it where the prefix ends in ``$``."""
        if self.prefix.endswith("$"):
            return command == self.prefix[:-1]
        return command.startswith(self.prefix)


@dataclass(frozen=True)
class Block:
    """A code block.

    Attributes
    ----------
    page : path relative to the repository
    line : number of its first line, from 1
    language : of the fence; ``sh`` for an indented block
    text : content, without indentation
    remarks : comments since the block before
    """

    page: str
    line: int
    language: str
    text: str
    remarks: tuple[Remark, ...] = ()

    def remark(self, action: str, command: str = "") -> Remark | None:
        """The remark of that kind about ``command``, or about the whole block."""
        for remark in self.remarks:
            if remark.action == action and remark.is_about(command):
                return remark
        return None


@dataclass(frozen=True)
class Command:
    """A line of shell, and what it prints according to the page.

    Attributes
    ----------
    text : command, continuation lines joined
    output : None where the page shows none
    """

    text: str
    output: str | None = None


def pages() -> list[Path]:
    """All texts for readers: README and DEVELOPERS, everything in ``docs``, and the page about the shipped network."""
    return [ROOT / "README.md", ROOT / "DEVELOPERS.md", *sorted((ROOT / "docs").rglob("*.md")),
            ROOT / "flows" / "artifacts" / "README.md"]


def blocks_of(page: Path) -> list[Block]:
    """The blocks of a page in their order.

    Raises
    ------
    ValueError
        When a fence has no language or an unknown one, or a remark is not understood.
    """
    text = page.read_text()
    name = page.relative_to(ROOT).as_posix() if page.is_relative_to(ROOT) else page.name
    found: list[Block] = []
    remarks: list[Remark] = []
    for position, item in _items(text):
        line = text.count("\n", 0, position) + 1
        if isinstance(item, Remark):
            if item.action not in ACTIONS:
                raise ValueError(f"{name}:{line}: no such remark: {item.action}; there are {', '.join(ACTIONS)}")
            if item.action in ("skip", "needs", "file", "append", "run") and not item.text:
                raise ValueError(f"{name}:{line}: the remark {item.action} has no text")
            if item.action == "run":
                found.append(Block(name, line, "sh", item.text + "\n", (item,)))
            else:
                remarks.append(item)
            continue
        language, content = item
        if language not in RUN + SHOWN:
            raise ValueError(f"{name}:{line}: language {language!r} of a block is none of {', '.join(RUN + SHOWN)}")
        found.append(Block(name, line, language, content, tuple(remarks)))
        remarks = []
    return found


def _items(text: str) -> Iterator[tuple[int, Remark | tuple[str, str]]]:
    """Remarks and blocks by position in the text."""
    items: list[tuple[int, Remark | tuple[str, str]]] = []

    def blank(match: re.Match[str]) -> str:
        return re.sub(r"[^\n]", "x", match[0])

    def remark(match: re.Match[str]) -> str:
        prefix = re.match(r"\s*`([^`]+)`", match[2]) if match[1] != "run" else None
        rest = match[2][prefix.end():] if prefix else match[2]
        items.append((match.start(), Remark(match[1], prefix[1] if prefix else "", rest.strip())))
        return blank(match)

    def fence(match: re.Match[str]) -> str:
        body = re.sub(f"^{match[1]}", "", match[4], flags=re.MULTILINE)
        items.append((match.start(), (match[3], body)))
        return blank(match)

    text = _FENCE.sub(fence, text)  # first, so that remarks shown in a block are not taken for remarks
    text = _REMARK.sub(remark, text)
    for match in _INDENTED.finditer(text):
        before = text[:match.start()].rstrip("\n").rsplit("\n", 1)[-1]
        if text[:match.start()].endswith("\n\n") and not re.match(r" *([-*]|\d+\.) ", before):
            items.append((match.start(), ("sh", re.sub(r"^    ", "", match[0], flags=re.MULTILINE))))
    return iter(sorted(items, key=lambda item: item[0]))


def commands_of(block: Block) -> list[Command]:
    """The commands of a block of shell; comments are left out."""
    text = re.sub(r"\\\n\s*", "", block.text)
    if block.language == "sh":
        lines = [re.sub(r"(^|\s+)#\s.*$", "", line).strip() for line in text.splitlines()]
        return [Command(line) for line in lines if line]
    commands: list[Command] = []
    for line in text.splitlines():
        if line.startswith("$ "):
            commands.append(Command(re.sub(r"\s+#\s.*$", "", line[2:]).strip(), ""))
        elif commands:
            commands[-1] = Command(commands[-1].text, f"{commands[-1].output}{line}\n")
        else:
            raise ValueError(f"{block.page}:{block.line}: a console block begins with '$ ' and a command")
    return commands
