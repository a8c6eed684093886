"""The hardware configurations that a search looks at."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from typing import Any

from boards.board import Board
from flows.compile import config_for
from flows.contracts.artifact import SparseVit
from flows.contracts.errors import ConfigError
from flows.contracts.hardware import HardwareConfig, powers_of_two

MULTIPLIERS = {"7series": ("dsp48e1", "plain"), "ultrascale+": ("dsp48e2", "plain"), "versal": ("dsp48e2", "plain")}
"""Multipliers by family. A DSP58 of Versal multiplies 27x24 bits and takes the packed operand of a DSP48E2, 27 bits."""

CLUSTERS = (1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16)
GROUPS = (1, 2, 4, 8)
BANKS = (4, 8, 16)
STREAMS = (256, 512)
BUSES = (128, 256, 512)
URAM_WORDS = (0, 1024, 4096)
"""Depths from which memories become UltraRAM, for boards that have it."""
SHALLOW, DEEP = 512, 4096
"""Depths of the program's FIFO: a few bursts, or enough to bridge steps that need their weights fast."""

SMALL: dict[str, tuple[Any, ...]] = {
    "clusters": (1, 2), "groups": (1,), "row_cycles": (1, 2, 4), "banks": (2, 4), "stream_bits": (256,),
    "fifo_words": (128,), "image_fifo_words": (128,), "lut_fifo_words": (0, 128)}
"""For devices on which nothing else fits: rows every few cycles, two banks, FIFOs of two bursts."""


def bytes_per_cycle(board: Board) -> float:
    """What one port of the board's memory delivers in a cycle of the target clock."""
    return board.memory.usable_gbs * 1000 / board.clock_mhz


def buses(board: Board) -> tuple[int, ...]:
    """Widths of ``m_axi_gmem``: up to the first that takes all the memory gives, none wider than its port."""
    rate = bytes_per_cycle(board)
    chosen = []
    for bits in BUSES:
        if bits > max(board.memory.port_bits, BUSES[0]):
            break
        chosen.append(bits)
        if bits / 8 >= rate:
            break
    return tuple(chosen)


def configurations(artifact: SparseVit, board: Board, fixed: Mapping[str, Any] | None = None,
                   *, small: bool = False) -> Iterator[HardwareConfig]:
    """All configurations to consider; sizes follow the network, the clock is the board's target.

    Parameters
    ----------
    artifact : the network
    board : gives multipliers, width of the bus and clock
    fixed : fields with a given value
    small : those of :data:`SMALL`, for when no other fits

    Raises
    ------
    ConfigError
        When the fixed fields allow no configuration.
    """
    given = dict(fixed or {})
    # Checks the fixed fields, and gives the sizes.
    base = config_for(artifact, **{"clusters": 1, "clock_mhz": board.clock_mhz, **given})
    axes: dict[str, tuple[Any, ...]] = {
        "clusters": CLUSTERS, "groups": GROUPS, "banks": BANKS, "stream_bits": STREAMS,
        "score_heads": tuple(sorted({1, base.score_heads})), "bus_bits": buses(board),
        "fifo_words": (SHALLOW, DEEP), "uram_words": URAM_WORDS if board.device.uram else (0,),
        "multiplier": MULTIPLIERS[board.family]}
    axes |= SMALL if small else {}
    axes |= {name: (value,) for name, value in given.items() if name in axes}
    seen = False
    for values in itertools.product(*axes.values()):
        fields = dict(zip(axes, values, strict=True))
        if "banks" not in given and not small and not _sensible_banks(fields["clusters"], fields["banks"]):
            continue
        try:
            yield base.replace(**fields, **({} if small else _image_fifo(base, fields, given)))
        except ConfigError:
            continue  # fields that do not go together, as few banks and a wide stream
        seen = True
    if not seen:
        raise ConfigError("no hardware configuration has " + ", ".join(f"{name} {value}" for name, value in
                                                                      sorted(given.items())))


def _sensible_banks(clusters: int, banks: int) -> bool:
    """Banks for all clusters to work on different columns; few clusters may do with few."""
    return banks == (16 if clusters > 8 else 8) or (clusters <= 4 and banks == 4)


def _image_fifo(base: HardwareConfig, fields: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, int]:
    """The deep variant also holds a whole image, so that the next one loads while the current one runs."""
    if "image_fifo_words" in given:
        return {}
    words = base.max_tokens * -(-base.max_patch * 8 // fields["stream_bits"])
    deep = next((depth for depth in powers_of_two(256, 8192) if depth >= words), 8192)
    return {"image_fifo_words": deep if fields["fifo_words"] > SHALLOW else 256}
