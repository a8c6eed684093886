"""Runs the code blocks of a page one after the other, in a folder of their own."""

from __future__ import annotations

import contextlib
import doctest
import io
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from flows.cli import app
from flows.documentation.blocks import ROOT, RUN, Block, Command, commands_of
from tests.docs.match import differs

TIMEOUT = 1500
PACKAGES = ("algo", "boards", "flows", "hls_models", "rtl", "sim", "tests")
_LOOP = """
import json, sys
from typer.testing import CliRunner
from flows.cli import app
for line in sys.stdin:
    result = CliRunner().invoke(app, json.loads(line))
    print(json.dumps([result.exit_code, result.stdout, result.stderr]), flush=True)
"""
_BAR = re.compile(r"^.*% \d+:\d\d:\d\d$\n?", re.MULTILINE)
_PLAIN = re.compile(r"[^|&;<>*$`()]+")


def is_changed_by(blocks: list[Block]) -> bool:
    """Whether a page changes the source tree."""
    files = [remark.text for block in blocks for remark in block.remarks if remark.action in ("file", "append")]
    return any(file.split("/")[0] in PACKAGES for file in files)


class Worker:
    """A process that runs commands of sievit from another source tree, and loads torch only once for all of them.

    It starts with the first command, when the page has made its changes.
    """

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self._folder, self._environment = folder, environment
        self._process: subprocess.Popen[str] | None = None

    def run(self, arguments: list[str]) -> tuple[int, str, str]:
        """Exit status, standard output, standard error."""
        if self._process is None:
            self._process = subprocess.Popen([sys.executable, "-c", _LOOP], cwd=self._folder, env=self._environment,
                                             stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps(arguments) + "\n")
        self._process.stdin.flush()
        status, printed, complaints = json.loads(self._process.stdout.readline())
        return status, printed, complaints

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.communicate(timeout=60)


class Session:
    """A reader who has followed a page up to some block.

    Parameters
    ----------
    folder : working directory; the caller makes it the process's
    slow : also run what is marked slow
    literal : run every command as its own process, as a reader's shell does, not those of sievit within this one
    tree : work in a copy of the source tree, for pages that change it; sievit then runs in a worker of its own
    """

    def __init__(self, folder: Path, *, slow: bool = False, literal: bool = False, tree: bool = False) -> None:
        self.folder, self.slow, self.literal = folder, slow, literal
        self._waiting: list[Block] = []
        if tree:
            for package in PACKAGES:
                shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
            shutil.copy(ROOT / "pyproject.toml", folder)
        self._worker: Worker | None = None
        self.names: dict[str, Any] = {"__name__": "__main__"}
        self.ran: list[str] = []
        tools = folder / ".tools"
        tools.mkdir(exist_ok=True)
        script = tools / "sievit"
        script.write_text(f"#!/bin/sh\nexec {shlex.quote(sys.executable)} -m flows.cli \"$@\"\n")
        script.chmod(0o755)
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
        self.environment = {
            **inherited, "PATH": f"{tools}:{Path(sys.executable).parent}:{os.environ['PATH']}",
            "PYTHONPATH": str(folder if tree else ROOT),
            "TERM": "dumb", "COLUMNS": "120"}
        if tree:
            self._worker = Worker(folder, self.environment)

    def run(self, block: Block) -> None:
        """Run a block, or make a file of it, as its language and remarks say.

        What only prepares waits until there is something to prepare for.
        """
        if block.remark("run") is not None:
            self._waiting.append(block)
            return
        if self._does_something(block):
            waiting, self._waiting = self._waiting, []
            for each in [*waiting, block]:
                self._run(each)

    def close(self) -> None:
        """End the worker, if there is one."""
        if self._worker is not None:
            self._worker.close()

    def _does_something(self, block: Block) -> bool:
        if block.remark("file") or block.remark("append"):
            return True
        if block.language in ("sh", "console"):
            return any(self._wanted(block, command.text) for command in commands_of(block))
        return block.language in RUN and self._wanted(block, "")

    def _run(self, block: Block) -> None:
        if (file := block.remark("file") or block.remark("append")) is not None:
            path = self.folder / file.text
            path.parent.mkdir(parents=True, exist_ok=True)
            before = f"{path.read_text()}\n\n" if file.action == "append" else ""
            path.write_text(before + block.text)
        elif block.language in ("sh", "console"):
            for command in commands_of(block):
                if self._wanted(block, command.text):
                    self._command(block, command)
        elif block.language in ("python", "pycon") and self._wanted(block, ""):
            (self._python if block.language == "python" else self._doctest)(block)

    def _wanted(self, block: Block, command: str) -> bool:
        needs = block.remark("needs", command)
        return (block.remark("skip", command) is None
                and (self.slow or block.remark("slow", command) is None)
                and (needs is None or needs.text.split()[0] in os.environ))

    def _command(self, block: Block, command: Command) -> None:
        where = f"{block.page}:{block.line}: {command.text}"
        self.ran.append(command.text)
        status, printed, complaints = self._execute(command.text)
        if block.remark("fails", command.text) is not None:
            assert status != 0, f"{where}\nsucceeded, but the page says that it fails"
            printed += _BAR.sub("", complaints)
        else:
            assert status == 0, f"{where}\nended with {status}\n{printed[-2000:]}\n{complaints[-2000:]}"
        if command.output:
            problem = differs(command.output, printed)
            assert problem is None, f"{where}\n{problem}\n\nall of it:\n{printed}"

    def _execute(self, text: str) -> tuple[int, str, str]:
        """Exit status, standard output, standard error."""
        if text.startswith("make ") and _PLAIN.fullmatch(text):
            text = self.made(text)
        if text.startswith("sievit ") and _PLAIN.fullmatch(text) and self._worker is not None:
            return self._worker.run(shlex.split(text)[1:])
        if text.startswith("sievit ") and _PLAIN.fullmatch(text) and not self.literal:
            result = CliRunner().invoke(app, shlex.split(text)[1:], env={"TERM": "dumb", "COLUMNS": "120"})
            if result.exception is not None and not isinstance(result.exception, SystemExit):
                raise result.exception
            return result.exit_code, result.stdout, result.stderr
        done = subprocess.run(["bash", "-euo", "pipefail", "-c", text], cwd=self.folder, env=self.environment,
                              capture_output=True, text=True, check=False, timeout=TIMEOUT)
        return done.returncode, done.stdout, done.stderr

    def made(self, text: str) -> str:
        """What a make command runs once everything is set up; the target itself is not in this folder."""
        words = shlex.split(text)[1:]
        command = ["make", "--no-print-directory", "-n", f"VENV={self.folder}/.tools"]
        plan = subprocess.run([*command, *words], cwd=ROOT, env=self.environment, capture_output=True, text=True,
                              check=True, timeout=60)
        start = f"{self.folder}/.tools/bin/"
        lines = [line for line in plan.stdout.splitlines() if line.startswith((f"{start}sievit ", "echo "))]
        assert lines, f"{text}: the Makefile runs nothing of sievit\n{plan.stdout}"
        return " && ".join(line.removeprefix(start) for line in lines)

    def _python(self, block: Block) -> None:
        self.ran.append(block.text)
        with contextlib.redirect_stdout(io.StringIO()):
            exec(compile(block.text, f"{block.page}:{block.line}", "exec"), self.names)

    def _doctest(self, block: Block) -> None:
        self.ran.append(block.text)
        test = doctest.DocTestParser().get_doctest(block.text, self.names, block.page, block.page, block.line)
        report = io.StringIO()
        runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
        runner.run(test, out=report.write, clear_globs=False)
        self.names.update(test.globs)
        assert test.examples, f"{block.page}:{block.line}: no examples in the block"
        assert runner.failures == 0, report.getvalue()
