"""The runner of code blocks notices what it should: tests of the tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from flows.documentation.blocks import Block, Remark, blocks_of, commands_of
from tests.docs.match import differs
from tests.docs.session import Session

PAGE = """# Title

Text, and code `make sim`.

<!-- test: slow `make sim` -->
<!-- test: skip `make test` takes the machine -->

    make sim A=1 \\
      B=2        # a remark
    make test

- a list with

    more text in it

<!-- test: run echo hidden -->

```console
$ echo one    # why
one
$ echo two

two
```

<!-- test: file deep/name.txt -->
```text
content
    $ not a command
```
"""


def blocks(tmp_path: Path, text: str = PAGE) -> list[Block]:
    page = tmp_path / "page.md"
    page.write_text(text)
    return blocks_of(page)


def session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, **options: bool) -> Session:
    monkeypatch.chdir(tmp_path)
    return Session(tmp_path, **options)


def test_blocks_of_a_page(tmp_path: Path) -> None:
    found = blocks(tmp_path)
    assert [(block.language, block.line) for block in found] == [("sh", 8), ("sh", 16), ("console", 18), ("text", 27)]
    assert [command.text for command in commands_of(found[0])] == ["make sim A=1 B=2", "make test"]
    assert found[0].remark("slow", "make sim A=1") == Remark("slow", "make sim", "")
    assert found[0].remark("skip", "make sim") is None
    assert [(command.text, command.output) for command in commands_of(found[2])] == [
        ("echo one", "one\n"), ("echo two", "\ntwo\n")]
    assert found[3].remark("file") == Remark("file", "", "deep/name.txt")


@pytest.mark.parametrize(("text", "message"), [
    ("```\nx\n```\n", "language '' of a block"),
    ("```fortran\nx\n```\n", "language 'fortran'"),
    ("<!-- test: skip -->\n```sh\nx\n```\n", "has no text"),
    ("<!-- test: maybe later -->\n", "no such remark: maybe"),
])
def test_what_is_not_understood_is_an_error(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        blocks(tmp_path, text)


def test_a_prefix_that_ends(tmp_path: Path) -> None:
    remark = Remark("skip", "sievit resources$", "long")
    assert remark.is_about("sievit resources") and not remark.is_about("sievit resources --estimate")


@pytest.mark.parametrize(("shown", "printed", "agree"), [
    ("a  b\n", "a b\n\n", True),
    ("a ...\n", "a anything at all\n", True),
    ("first\n...\nlast\n", "first\n1\n2\nlast\n", True),
    ("first\n...\n", "first\n", True),
    ("│≈1,234 │ x ≈5.5 %\n", "│ 987 │ x -12.75 %\n", True),
    ("a\n", "a\nb\n", False),
    ("a\nb\n", "a\n", False),
    ("≈12 ms\n", "many ms\n", False),
    ("12 ms\n", "13 ms\n", False),
    ("first\n...\nlast\n", "first\n1\n2\n", False),
])
def test_comparison(shown: str, printed: str, agree: bool) -> None:
    assert (differs(shown, printed) is None) == agree


def run(text: str, language: str = "console", *remarks: Remark) -> Block:
    return Block("page.md", 1, language, text, remarks)


def test_a_wrong_output_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reader = session(tmp_path, monkeypatch)
    reader.run(run("$ echo one\none\n"))
    with pytest.raises(AssertionError, match="shown:   two"):
        reader.run(run("$ echo one\ntwo\n"))
    with pytest.raises(AssertionError, match="ended with 3"):
        reader.run(run("$ exit 3\n"))
    with pytest.raises(AssertionError, match="says that it fails"):
        reader.run(run("$ true\n", "console", Remark("fails", "", "")))
    with pytest.raises(AssertionError, match="Expected:"):
        reader.run(run(">>> 1 + 1\n3\n", "pycon"))
    with pytest.raises(ZeroDivisionError):
        reader.run(run("1 / 0\n", "python"))


def test_commands_of_sievit_are_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reader = session(tmp_path, monkeypatch)
    reader.run(run("$ sievit boards zcu104\nzcu104: AMD Zynq UltraScale+ MPSoC ZCU104\n...\n"))
    with pytest.raises(AssertionError, match="ZCU105"):
        reader.run(run("$ sievit boards zcu104\nzcu104: AMD Zynq UltraScale+ MPSoC ZCU105\n...\n"))
    reader.run(run("$ sievit boards nosuchboard\nerror: ...\n", "console", Remark("fails", "", "")))


def test_what_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hidden preparations are made when something needs them, and slow commands only where they are asked for."""
    for slow in (False, True):
        (tmp_path / "made").unlink(missing_ok=True)
        reader = session(tmp_path, monkeypatch, slow=slow)
        reader.run(run("touch made\n", "sh", Remark("run", "", "touch made")))
        reader.run(run("ls made\n", "sh", Remark("slow", "", "")))
        assert (tmp_path / "made").exists() == slow
        assert reader.ran == (["touch made", "ls made"] if slow else [])


def test_make_commands_become_what_they_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reader = session(tmp_path, monkeypatch)
    assert reader.made("make sim MODEL=vit_micro LAYERS=0") == "sievit sim --model vit_micro --layers 0"
    assert reader.made("make bitstream BOARD=kv260").endswith('&& sievit bitstream "out/deit_t_kv260"')
    reader.run(run("make help\n", "sh"))
    with pytest.raises(AssertionError, match="runs nothing of sievit"):
        reader.made("make clean")
