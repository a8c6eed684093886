"""The command ``sievit boards``."""

from __future__ import annotations

import dataclasses
from typing import Annotated, Any

import typer
from rich.console import Group
from rich.markup import escape
from rich.table import Table

from boards.board import Board
from flows.cli_base import AsJson, app, errors, print_json, screen
from flows.contracts.resources import KINDS, Resources


@app.command(name="boards")
def list_boards(
    name: Annotated[str | None, typer.Argument(help="Show all facts of this board, with their sources. A name, or a "
                                                    ".yaml file of your own.")] = None,
    as_json: AsJson = False,
) -> None:
    """List the boards, or show one of them."""
    with errors():
        from boards.catalog import board_names, load_board

        boards = [load_board(name)] if name else [load_board(known) for known in board_names()]
        if as_json:
            facts = [dataclasses.asdict(board) for board in boards]
            print_json(facts[0] if name else facts)
        else:
            screen.print(board_facts(boards[0]) if name else board_table(boards))


def board_table(boards: list[Board]) -> Table:
    """One row per board; resources are those for the accelerator."""
    table = Table()
    table.add_column("board")
    table.add_column("part", overflow="fold")
    for title in ("LUT", "FF", "DSP", "BRAM36", "URAM", "dies", "GB/s", "MHz"):
        table.add_column(title, justify="right")
    table.add_column("shell")
    for board in boards:
        resources = board.resources
        table.add_row(board.name, board.part, *(f"{getattr(resources, kind):,}" for kind in KINDS),
                      str(len(board.slrs)), f"{board.memory.usable_gbs:g}", f"{board.clock_mhz:g}", board.shell)
    table.caption = "Resources for the accelerator, usable GB/s of one memory port, target clock (not routed)"
    return table


def board_facts(board: Board) -> Group:
    """Everything known of a board: facts, resources by die, and sources."""
    facts = Table(title=escape(f"{board.name}: {board.title}"), title_justify="left", show_header=False)
    for label, value in _facts(board).items():
        facts.add_row(label, escape(value))
    return Group(facts, _resource_table(board), _memory_table(board), _source_table(board))


def _facts(board: Board) -> dict[str, str]:
    rows: dict[str, Any] = {
        "part": f"{board.part} ({board.family}, speed grade {board.speed_grade})",
        "shell": board.shell, "board part": board.board_part, "platform": board.platform,
        "clock target": f"{board.clock_mhz:g} MHz",
        "processors": board.processor_mhz and f"{board.processor_mhz:g} MHz",
        "port of m_axi_gmem": board.ps_port,
        "address of s_axi_control": board.control_base and f"{board.control_base:#x}",
        "oscillator": board.clock_pin and f"{board.clock_input_mhz:g} MHz, {board.clock_standard}, pin " +
        " and ".join(pin for pin in (board.clock_pin, board.clock_pin_n) if pin),
    }
    return {label: value for label, value in rows.items() if value}


def _resource_table(board: Board) -> Table:
    table = Table(title="resources", title_justify="left")
    table.add_column("")
    for kind in KINDS:
        table.add_column(kind, justify="right")

    def add(label: str, resources: Resources) -> None:
        table.add_row(label, *(f"{getattr(resources, kind):,}" for kind in KINDS))

    add("device", board.device)
    if len(board.slrs) > 1:
        for index, slr in enumerate(board.slrs):
            add(f"for the accelerator in SLR{index}", slr)
    return table


def _memory_table(board: Board) -> Table:
    table = Table(title="memories, the accelerator's first", title_justify="left")
    for title in ("memory", "ports", "data rate", "size", "peak, all ports", "port", "usable, one port"):
        table.add_column(title)
    for memory in board.memories:
        table.add_row(memory.name, str(memory.ports), f"{memory.rate_mts:g} MT/s x {memory.data_bits} bits",
                      f"{memory.gigabytes:g} GB", f"{memory.peak_gbs:g} GB/s", f"{memory.port_bits} bits",
                      f"{memory.usable_gbs:g} GB/s")
    return table


def _source_table(board: Board) -> Table:
    table = Table(title="sources", title_justify="left", show_header=False)
    for label, text in board.sources.items():
        table.add_row(escape(label), escape(" ".join(text.split())))
    return table
