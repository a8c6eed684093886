"""The printed table."""

from __future__ import annotations

import io

from rich.console import Console

from flows.compile import compile_program, config_for, summary
from flows.contracts.artifact import TokenDrop
from tests.factory import random_artifact


def test_summary_lists_every_step() -> None:
    """Names, slots, bounds and totals; upper bounds are marked."""
    artifact = random_artifact(depth=2, drop={0: TokenDrop("threshold", threshold=9)})
    program = compile_program(artifact, config_for(artifact))
    text = io.StringIO()
    Console(file=text, width=140).print(summary(program))
    lines = text.getvalue().splitlines()
    for entry in program.manifest["steps"]:
        line = next(line for line in lines if f" {entry['name']} " in line)
        assert f" {entry['slots']:,} " in line and ("<= 17" in line) == (not entry["static"])
    total = next(line for line in lines if " total " in line)
    assert f" {program.manifest['totals']['expected_cycles']:,} " in total
