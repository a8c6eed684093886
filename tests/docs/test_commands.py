"""All commands in the pages, also those that no test runs and those within text: targets and options exist."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest
from typer.testing import CliRunner

from flows.cli import app
from flows.documentation.blocks import ROOT, blocks_of, commands_of, pages

VARIABLES = set(re.findall(r"\$\(([A-Z_0-9]+)\)", (ROOT / "Makefile").read_text())) - {"BIN", "MAKE", "MAKEFILE_LIST"}
"""What the Makefile takes on its command line."""


def commands(document: Path) -> list[str]:
    """Lines of code blocks and inline code that call make or sievit."""
    lines = [command.text for block in blocks_of(document) if block.language in ("sh", "console")
             for command in commands_of(block)]
    lines += re.findall(r"`([^`\n]+)`", re.sub(r"<!--.*?-->", "", document.read_text(), flags=re.DOTALL))
    return [line.strip() for line in lines if re.match(r"(make|sievit) +\S|.*/bin/sievit +\S", line)]


ALL = sorted({command for document in pages() for command in commands(document)})


def test_there_are_commands() -> None:
    """The two commands of the README are found at all."""
    assert "make sim MODEL=deit_t" in ALL
    assert "make test" in ALL


@pytest.mark.parametrize("command", [command for command in ALL if command.startswith("make ")])
def test_make_target_exists(command: str) -> None:
    """Every make command names a target, and variables that the Makefile knows."""
    words = shlex.split(command.split("&&", maxsplit=1)[0])[1:]
    for name in re.findall(r"\b([A-Z_0-9]+)=", command):
        assert name in VARIABLES, f"{command}: the Makefile does not know {name}"
        assert f"$({name})" in (ROOT / "Makefile").read_text()
    targets = [word for word in words if "=" not in word and not word.startswith("-")][:1]
    done = subprocess.run(["make", "-n", *targets], cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("command", [command for command in ALL if "sievit " in command and not
                                     command.startswith("make")])
def test_sievit_command_exists(command: str) -> None:
    """Every sievit command exists and has the options that are written with it."""
    words = shlex.split(command.split("sievit ", 1)[1].strip("."))
    result = CliRunner().invoke(app, [word for word in words[:1] if not word.startswith("-")] + ["--help"],
                                env={"COLUMNS": "200", "TERM": "dumb"})
    assert result.exit_code == 0, result.output
    for option in [word for word in words[1:] if word.startswith("--")]:
        assert option.split("=")[0] in result.output


def test_make_passes_images_on() -> None:
    """IMAGES becomes one option per picture; without it, and without REPEAT, there is none."""
    for variables, expected in ((["IMAGES=a.jpg b.jpg", "REPEAT=2"], '--image "a.jpg" --image "b.jpg" --repeat 2'),
                                (["IMAGE=my photo.jpg"], '--image "my photo.jpg"'), ([], "")):
        done = subprocess.run(["make", "-n", "sim", *variables], cwd=ROOT, capture_output=True, text=True, check=True,
                              timeout=60)
        (line,) = [line for line in done.stdout.splitlines() if "sievit sim" in line]
        assert line.split("--model deit_t", 1)[1].strip() == expected


@pytest.mark.skipif(not (ROOT / ".venv" / ".installed").exists(), reason="only where 'make' has set up .venv")
def test_make_sim(tmp_path: Path) -> None:
    """The README's main command, on the smallest model and one block, sets nothing up a second time."""
    report = tmp_path / "report.json"
    command = ["make", "sim", "MODEL=vit_micro", "LAYERS=0", "CLUSTERS=2", f"REPORT={report}"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=600, env=environment)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "pip install" not in done.stdout
    content = json.loads(report.read_text())
    assert content["bit_exact"] is True
    assert content["checkpoints"] > 5
