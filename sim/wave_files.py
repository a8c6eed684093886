"""What waveform viewers open beside a waveform: a GTKWave save file and a Surfer command file, grouped by unit."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from vcd.gtkw import GTKWSave

from flows.contracts.files import replacing
from sim.wave_hierarchy import read_hierarchy
from sim.wave_units import Group, groups_in

CLOCK_FILE = "clock.json"
"""Beside the waveform: ``first_ps``, when cycle 1 begins, and ``period_ps``."""
BEFORE_CYCLES = 40
"""So much of what comes before a marked cycle is on the screen."""
PIXELS_PER_CYCLE = 12
_GTKWAVE = {"hex": "hex", "unsigned": "dec", "signed": "signed", "binary": "bin"}
_SURFER = {"unsigned": "Unsigned", "signed": "Signed"}
"""What is not named has Surfer's own default: hexadecimal, or a level for a single bit."""


@dataclass(frozen=True)
class Views:
    """Files to open a waveform with.

    Attributes
    ----------
    gtkwave : save file, ``.gtkw``
    surfer : command file, ``.sucl``
    """

    gtkwave: Path
    surfer: Path

    @classmethod
    def of(cls, wave: Path) -> Views:
        """The files that belong to a waveform."""
        return cls(wave.with_suffix(".gtkw"), wave.with_suffix(".sucl"))


def write_views(wave: Path, cycle: int | None = None) -> Views:
    """Write both files beside a waveform of :func:`sim.accelerator.run_frames`.

    Parameters
    ----------
    wave : ``.vcd`` or ``.fst``
    cycle : cycle to show and to put the cursor on, by default none

    Raises
    ------
    SimulationError
        When the waveform cannot be read.
    """
    groups = groups_in(read_hierarchy(wave))
    time = None if cycle is None else time_of(wave, cycle)
    views = Views.of(wave)
    with replacing(views.gtkwave) as part, part.open("w") as file:
        _gtkwave(file, wave, groups, time)
    with replacing(views.surfer) as part:
        part.write_text("\n".join(_surfer(groups, time)) + "\n")
    return views


def time_of(wave: Path, cycle: int) -> tuple[int, int]:
    """When a cycle begins in a waveform, and the clock's period, both in picoseconds."""
    clock = json.loads((wave.parent / CLOCK_FILE).read_text())
    return clock["first_ps"] + (cycle - 1) * clock["period_ps"], clock["period_ps"]


def _gtkwave(file: TextIO, wave: Path, groups: Sequence[Group], time: tuple[int, int] | None) -> None:
    save = GTKWSave(file)
    save.dumpfile(str(wave.resolve()))
    if time is not None:
        at, period = time
        save.timestart(max(0, at - BEFORE_CYCLES * period))
        # The scale is the negative logarithm of the time that a pixel stands for.
        save.zoom_markers(-math.log2(period / PIXELS_PER_CYCLE), at)
    save.treeopen("tb.")
    for group in groups:
        _gtkwave_group(save, group)


def _gtkwave_group(save: GTKWSave, group: Group) -> None:
    with save.group(group.title, closed=group.closed):
        for trace in group.traces:
            save.trace(trace.name + trace.bits, datafmt=_GTKWAVE[trace.format])
        for inner in group.groups:
            _gtkwave_group(save, inner)


def _surfer(groups: Sequence[Group], time: tuple[int, int] | None) -> Iterator[str]:
    """Commands of Surfer's user guide; a comment begins with ``#``.

    An item is added behind the one in focus, so all of them come first, and then their formats, by place in the list:
    hexadecimal, with ``a`` to ``p`` as digits.
    """
    yield "# surfer --command-file FILE WAVEFORM"
    items: list[str | None] = []
    for path, group in _walk(groups, ()):
        yield f"divider_add {'/'.join(path).replace(' ', '_')}"
        items.append(None)
        for trace in group.traces:
            yield f"variable_add {trace.name}"
            items.append(_SURFER.get(trace.format))
    for place, kind in enumerate(items):
        if kind is not None:
            yield f"item_focus {surfer_index(place)}"
            yield f"item_set_format {kind}"
    yield "item_unfocus"
    if time is not None:
        yield f"cursor_set {time[0]}"
        yield "goto_cursor"


def surfer_index(place: int) -> str:
    """The name that Surfer gives to the item at a place of its list."""
    return f"{place:x}".translate(str.maketrans("0123456789abcdef", "abcdefghijklmnop"))


def _walk(groups: Sequence[Group], above: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Group]]:
    for group in groups:
        yield (*above, group.title), group
        yield from _walk(group.groups, (*above, group.title))
