"""How many of what each unit is made of: lanes, widths, depths and ways, which the model's coefficients multiply.

A feature is a number of bits that a LUT or a flip-flop each would hold in a straightforward mapping, so most
coefficients are near one; ``base`` is what does not depend on sizes.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, field

from flows.contracts.hardware import BLOCK, ROW_BITS, WORD_BITS, HardwareConfig, ceil_div
from flows.contracts.numerics import ROW_SUM_BITS
from flows.contracts.program import CLUSTER, SLOT, column_parameter_words
from flows.contracts.resources import Resources
from flows.resources.memories import LUT_DEPTH, ULTRA_DEPTH, block_rams, memory_of

OPERAND_BITS = 9
ACC_BITS = 32 * BLOCK + ROW_SUM_BITS
ROW_BLOCK_WORDS = 512
"""Words of a 72-bit wide block RAM: deeper memories of whole rows are several of them behind a multiplexer."""

CROSSING_WORDS = 16
"""Words that a write waits in on the far side of a crossing (:class:`rtl.crossing.WriteCrossing`)."""
WRITES = ("norm_write", "residual_write")
"""Members of a group's interface that cross with back-pressure."""
OWN = ("valid", "kv", "moved", "placed", "part")
"""Those with other values in every group."""
FIRST = ("capture", "recip", "logit", "parameters_taken", "available", "norm_storing", "total")
"""Those of the first group alone: no other one's are used."""
ADDRESS_COLUMNS = 16
"""Column numbers above that are multiplied by the tokens of a column in a slice, for addresses."""

DSPS = {"plain": 256, "dsp48e2": 128, "dsp48e1": 128}
"""Slices of a cluster's array."""


@dataclass(frozen=True)
class Ram:
    """A memory: width, depth, read ports (each takes a copy), and whether it is marked for UltraRAM or for LUTs."""

    width: int
    depth: int
    ports: int = 1
    ultra: bool = False
    luts: bool = False

    def cascade(self, target: str) -> float:
        """LUTs behind a memory that is several blocks deep."""
        if self.ultra:
            return self.width * mux_luts(ceil_div(self.depth, ULTRA_DEPTH))
        if self.luts:
            return self.width * mux_luts(ceil_div(self.depth, LUT_DEPTH))
        if not memory_of(self.width, self.depth, target).bram36:
            return 0
        deep = ceil_div(self.depth, ROW_BLOCK_WORDS)
        tall = block_rams(self.width, self.depth) < deep * self.width / 72  # fewer blocks, as deep as the memory
        return 0 if tall else self.width * mux_luts(deep)


@dataclass(frozen=True)
class Unit:
    """A part of the accelerator.

    Attributes
    ----------
    count : how many there are
    lut, ff : features of one, by name
    dsp : slices of one
    memories : of one
    """

    count: int = 1
    lut: dict[str, float] = field(default_factory=dict)
    ff: dict[str, float] = field(default_factory=dict)
    dsp: float = 0
    memories: tuple[Ram, ...] = ()

    def hard(self, target: str) -> Resources:
        """DSP slices and memories of one unit."""
        total = Resources(dsp=self.dsp)
        for ram in self.memories:
            total += memory_of(ram.width, ram.depth, target, ultra=ram.ultra, luts=ram.luts) * ram.ports
        return total


def mux_luts(ways: int) -> int:
    """Six-input LUTs of a bit of a multiplexer: each takes three ways away."""
    return ceil_div(ways - 1, 3)


def bits(value: int) -> int:
    """Bits of an address below ``value``."""
    return max(1, (value - 1).bit_length())


def slot_bits(config: HardwareConfig) -> int:
    """Bits of a SLOT header."""
    return sum(width for _, width in SLOT) + config.clusters * sum(width for _, width in CLUSTER)


def ultra(config: HardwareConfig, depth: int) -> bool:
    """Whether the RTL marks a memory of that depth for UltraRAM."""
    return 0 < config.uram_words <= depth


def units_of(config: HardwareConfig, target: str) -> dict[str, Unit]:
    """All units of an accelerator; those of the token groups are called ``group.`` something."""
    units = _shared_units(config, target)
    if config.groups > 1:
        units["exchange"] = _exchange(config)
    if config.resident_words:
        store = Ram(config.stream_bits, config.resident_words, ultra=ultra(config, config.resident_words))
        units["program_store"] = Unit(
            lut={"base": 1, "stream": config.stream_bits, "cascade": store.cascade(target)},
            ff={"base": 1, "stream": config.stream_bits}, memories=(store, Ram(config.stream_bits, 8)))
    if config.crossings:
        units["crossing"] = _crossing_writes(config)
    return units | {f"group.{name}": unit for name, unit in _group_units(config, target).items()}


def _shared_units(config: HardwareConfig, target: str) -> dict[str, Unit]:
    stream, slot, clusters = config.stream_bits, slot_bits(config), config.clusters
    entry = max(stream, config.bus_bits)
    depths = [words * stream // entry for words in (config.fifo_words, config.image_fifo_words)]
    luts = config.lut_fifo_words * stream // entry
    fifos = tuple(Ram(entry, depth - 1, ultra=ultra(config, depth), luts=depth <= luts) for depth in depths)
    narrow = int(config.bus_bits < stream) * stream
    wide = int(config.bus_bits > stream) * stream
    rows = max(stream // ROW_BITS, config.groups)
    kv_depth = config.kv_cols * config.max_tokens // rows
    kv = Ram(ROW_BITS * rows, kv_depth, ultra=ultra(config, kv_depth))
    select = (config.token_blocks, max(1, min(16, config.max_width // BLOCK)) << bits(config.token_blocks))
    logits = Ram(WORD_BITS, 2 << bits(config.class_cols))
    return {
        "top": Unit(lut={"base": 1}, ff={"base": 1}),
        "control": Unit(lut={"base": 1}, ff={"base": 1}, memories=(Ram(9, 32),)),
        "axi_read": Unit(
            lut={"base": 1, "narrow": narrow, "wide": wide,
                 "cascade": sum(fifo.cascade(target) for fifo in fifos)},
            # LUTs as memory have no register at the output.
            ff={"base": 1, "narrow": narrow, "wide": wide, "output": entry * sum(fifo.luts for fifo in fifos)},
            memories=fifos),
        "axi_write": Unit(lut={"base": 1, "bus": config.bus_bits}, ff={"base": 1, "bus": config.bus_bits}),
        "decoder": Unit(lut={"base": 1, "slot": slot, "stream": stream, "clusters": clusters},
                        ff={"base": 1, "slot": slot, "stream": stream}),
        "sequencer": Unit(lut={"base": 1, "slot": slot, "clusters": clusters}, ff={"base": 1, "slot": slot}),
        "core": Unit(lut={"base": 1, "stream": stream, "groups": config.groups - 1},
                     ff={"base": 1, "stream": stream, "crossing": _crossing_registers(config)}),
        "key_value": Unit(
            lut={"base": 1, "choice": stream * mux_luts(rows * ROW_BITS // stream), "row": config.groups * ROW_BITS,
                 "cascade": kv.cascade(target)},
            ff={"base": 1, "stream": stream, "row": config.groups * ROW_BITS}, dsp=2, memories=(kv,)),
        "token_drop": Unit(lut={"base": 1, **_lanes(config)}, ff={"base": 1, **_lanes(config)},
                           dsp=BLOCK // config.row_cycles + 1,
                           memories=(Ram(336, select[0]), Ram(128, select[1]), Ram(25, 16))),
        "image_loader": Unit(lut={"base": 1, "stream": stream}, ff={"base": 1, "stream": stream}, dsp=1),
        "logits": Unit(lut={"base": 1, "cascade": logits.cascade(target)}, ff={"base": 1}, memories=(logits,)),
    }


def _crossing_registers(config: HardwareConfig) -> int:
    """Register slices between the shared part and the groups, those of writes aside. What is the same for all groups
    counts once, as synthesis makes one register of equal ones.
    """
    if not config.crossings:
        return 0
    width = _interface(config.replace(crossings=1, clock_mhz=200.0))
    own, first = sum(width.get(name, 0) for name in OWN), sum(width.get(name, 0) for name in FIRST)
    broadcast = sum(width.values()) - own - first - sum(width[name] for name in (*WRITES, "group"))
    return config.crossings * (broadcast + first + config.groups * own)


def _crossing_writes(config: HardwareConfig) -> Unit:
    """Writes that cross: registers and a FIFO for each group."""
    width = _interface(config.replace(crossings=1, clock_mhz=200.0))
    words = [width[name] - 2 for name in WRITES]  # without valid and ready
    return Unit(config.groups, lut={"base": 1}, ff={"base": 1, "word": config.crossings * sum(words)},
                memories=tuple(Ram(word, CROSSING_WORDS) for word in words))


@functools.cache
def _interface(config: HardwareConfig) -> dict[str, int]:
    """Bits of a group's interface by member, from the RTL."""
    from rtl.crossing import crossing_bits
    from rtl.group import Group

    return crossing_bits(Group(config).signature)


def _exchange(config: HardwareConfig) -> Unit:
    """Rows that change their group, and the joined parts of the fused token."""
    row, groups = WORD_BITS + 19, config.groups
    part = 16 * 41
    return Unit(lut={"choice": groups * row * mux_luts(groups), "sum": (groups - 1) * part},
                ff={"row": groups * row, "sum": (groups - 1) * part})


def _group_units(config: HardwareConfig, target: str) -> dict[str, Unit]:
    clusters, groups = config.clusters, config.groups
    tokens, stream = config.group_tokens, config.stream_bits
    words = column_parameter_words(config)
    several = int(groups > 1)
    depth = config.residual_cols * tokens
    residual = Ram(WORD_BITS, depth, ultra=ultra(config, depth))
    return {
        "banks": _banks(config, target),
        "operands": Unit(groups, lut={"base": 1, "operand": clusters * OPERAND_BITS * BLOCK},
                         ff={"base": 1, "operand": clusters * OPERAND_BITS * BLOCK, "capture": clusters * 137}),
        "row_max": Unit(groups, lut={"base": 1, "ports": clusters + 1}, ff={"base": 1, "ports": clusters + 1},
                        memories=(Ram(8, config.score_heads * tokens, clusters + 1),)),
        # The table of GELU is the same module as that of the exponential.
        "exp": Unit(groups, lut={"base": 1, "clusters": clusters}, ff={"base": 1, "clusters": clusters}),
        "clusters": _cluster(config),
        "drain": Unit(groups, lut={"base": 1, "choice": 2 * ACC_BITS * mux_luts(clusters), **_lanes(config)},
                      ff={"base": 1, **_lanes(config)}, dsp=DRAIN_DSPS[target] // config.row_cycles),
        "column_queue": Unit(groups, lut={"base": 1}, ff={"base": 1, "earlier": (words - 1) * stream},
                             memories=(Ram(768, 4), Ram(28, 4))),
        "residual": Unit(groups, lut={"base": 1, "several": several, "cascade": residual.cascade(target),
                                      **_lanes(config)},
                         ff={"base": 1, "several": several, **_lanes(config)}, dsp=_residual_dsps(config, target),
                         memories=(residual, Ram(68, tokens))),
        "norm_pass": Unit(groups, lut={"base": 1, **_lanes(config)}, ff={"base": 1, **_lanes(config)},
                          dsp=NORM_DSPS[target] // config.row_cycles,
                          memories=(Ram(WORD_BITS, 2 * config.residual_cols, 3), Ram(58, tokens), Ram(26, tokens))),
        "glue": Unit(groups, lut={"base": 1, "clusters": clusters}, ff={"base": 1, "clusters": clusters}),
    }


DRAIN_DSPS = {"xcup": 2 * BLOCK + BLOCK, "xc7": 2 * BLOCK + 2 * BLOCK}
"""Requantizer and softmax division; the sums of the latter are wider than the 25 bits of a DSP48E1."""
NORM_DSPS = {"xcup": 3 * BLOCK, "xc7": 4 * BLOCK}
"""Width times x, inverse square root, and gamma; a factor of the second is wider than 25 bits."""


def _residual_dsps(config: HardwareConfig, target: str) -> int:
    """Fused token, squares, inverse square root; long columns times their number for addresses."""
    addresses = 2 if config.residual_cols > ADDRESS_COLUMNS else 0
    return 2 * BLOCK // config.row_cycles + {"xcup": 7, "xc7": 10}[target] + addresses


def _lanes(config: HardwareConfig) -> dict[str, float]:
    """Share of the arithmetic on 16 lanes that is there; the rest of a unit is ``base``."""
    return {"lanes": 1 / config.row_cycles}


def _cluster(config: HardwareConfig) -> Unit:
    """Weights in parts pass a multiplexer and a register; a part's sums are words of their own."""
    cycles, array = config.row_cycles, BLOCK * ROW_BITS
    features: dict[str, float] = {"base": 1, config.multiplier: 1 / cycles, "stream": config.stream_bits}
    lut = features | ({"choice": array / cycles * mux_luts(cycles)} if cycles > 1 else {})
    ff = features | ({"choice": array / cycles} if cycles > 1 else {})
    accumulators = Ram(32 * BLOCK // cycles + ROW_SUM_BITS, cycles * (config.group_tokens + 1))
    return Unit(config.groups * config.clusters, lut=lut, ff=ff, dsp=DSPS[config.multiplier] // cycles,
                memories=(accumulators,))


def _banks(config: HardwareConfig, target: str) -> Unit:
    """The memories X, A and S with their crossbars."""
    memories: list[Ram] = []
    deep, address, dsps = 0.0, 0, 0
    for columns, wide in ((config.x_cols, config.banks), (config.act_cols, config.rows_per_word),
                          (config.score_cols, config.banks)):
        depth = columns // config.banks * config.group_tokens
        bank = Ram(ROW_BITS, depth, ultra=ultra(config, depth))
        memories += [bank] * config.banks
        deep += config.banks * bank.cascade(target)
        address += config.banks * bits(depth)
        # A bank reads a column of its own; banks that are written together share the place.
        dsps += (config.banks + config.banks // wide) * (columns // config.banks > ADDRESS_COLUMNS)
    words = 3 * config.banks * ROW_BITS
    readers = 3 * config.clusters * ROW_BITS
    return Unit(config.groups,
                lut={"base": 1, "crossbar": readers * mux_luts(config.banks), "write": words, "address": address,
                     "cascade": deep, "select": config.clusters * address},
                ff={"base": 1, "words": words, "readers": readers, "address": address}, dsp=dsps,
                memories=tuple(memories))
