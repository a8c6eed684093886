"""Banked activation memory: 16-byte words, one column per bank and slot, read by any number of clusters."""

from amaranth.hdl import Module, Mux, Signal, Value
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import In, Out

from flows.contracts.hardware import BLOCK
from rtl.choose import choose
from rtl.ultra import memory_attributes

__all__ = ["Banks", "ColumnWrite"]

WORD = 8 * BLOCK


class ColumnWrite(wiring.Signature):
    """A write of one token's 16 channels of a column.

    Members
    -------
    enable : :py:`Out(1)`
    column : :py:`Out(range(columns))`
    token : :py:`Out(range(max_tokens))`
    data : :py:`Out(width)`
    """

    def __init__(self, columns: int, max_tokens: int, width: int = WORD) -> None:
        super().__init__({
            "enable": Out(1),
            "column": Out(range(max(columns, 2))),
            "token": Out(range(max_tokens)),
            "data": Out(width),
        })


class Banks(wiring.Component):
    """``banks`` memories; column ``c`` is in bank ``c mod banks``, row ``c div banks``.

    Each cluster names a column per slot. Two clusters may name the same column; the compiler never lets two clusters
    name different columns of one bank in the same slot.

    Parameters
    ----------
    columns : int
        Columns of 16 channels; a multiple of ``banks``.
    banks : int
        A power of two, at least 2.
    wide : int
        Columns of a wide write, a power of two up to ``banks``.
    max_tokens : int
    clusters : int
        Readers.
    ultra_words : int
        See :func:`rtl.ultra.memory_attributes`.

    Members
    -------
    select_valid : :py:`In(clusters)`
        Which readers name a column.
    select_column : :py:`In(ArrayLayout(range(columns), clusters))`
    select : :py:`In(1)`
        Take over the named columns; the tokens of the new columns may be requested from the next cycle on.
    token : :py:`In(range(max_tokens))`
        Token to read now, the same for all banks.
    data : :py:`Out(ArrayLayout(128, clusters))`
        What each reader's column holds for that token.
    write : :py:`In(ColumnWrite(columns, max_tokens))`
    wide_write : :py:`In(ColumnWrite(columns / wide, max_tokens, 128 * wide))`
        Writes neighbouring columns, ``wide * column`` lowest; wins over ``write``.

    Latency
    -------
    ``LATENCY`` = 4 cycles from ``token`` to ``data``; a write is visible to a ``token`` presented 2 cycles later.

    Throughput
    ----------
    A token a cycle, and a write a cycle, into any column.
    """

    LATENCY = 4
    SELECT = 2
    """Cycles from a stable ``select_column`` until ``select`` may use it."""

    def __init__(self, columns: int, banks: int, max_tokens: int, clusters: int, wide: int = 2,
                 ultra_words: int = 0) -> None:
        if columns % banks:
            raise ValueError(f"columns must be a multiple of banks, not {columns} of {banks}")
        self.columns, self.banks, self.max_tokens, self.clusters = columns, banks, max_tokens, clusters
        self.wide, self.ultra_words = wide, ultra_words
        super().__init__({
            "select_valid": In(clusters),
            "select_column": In(data.ArrayLayout(range(columns), clusters)),
            "select": In(1),
            "token": In(range(max_tokens + 1)),
            "data": Out(data.ArrayLayout(WORD, clusters)),
            "write": In(ColumnWrite(columns, max_tokens)),
            "wide_write": In(ColumnWrite(columns // wide, max_tokens, wide * WORD)),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        bank_bits = self.banks.bit_length() - 1
        outputs = [self._bank(m, bank, bank_bits) for bank in range(self.banks)]
        self._crossbar(m, outputs, bank_bits)
        return m

    def _bank(self, m: Module, bank: int, bank_bits: int) -> Value:
        depth = self.columns // self.banks * self.max_tokens
        m.submodules[f"bank{bank}"] = mem = memory.Memory(
            shape=WORD, depth=depth, init=[], attrs=memory_attributes(depth, self.ultra_words))
        read, write = mem.read_port(), mem.write_port()

        # First word of the column that the next slot reads from this bank: an and-or over the readers, then a
        # multiplication by a constant, each registered; the column is known many cycles before it is used.
        row = Signal(range(self.columns // self.banks), name=f"row{bank}", reset_less=True)
        base = Signal(range(depth), name=f"base{bank}", reset_less=True)
        named: Value | int = 0
        for reader in range(self.clusters):
            column = self.select_column[reader]
            hit = self.select_valid[reader] & (column[:bank_bits] == bank)
            named = named | Mux(hit, column[bank_bits:], 0)
        current = Signal(range(depth), name=f"current{bank}", reset_less=True)
        address = Signal(range(depth), name=f"address{bank}", reset_less=True)
        output = Signal(WORD, name=f"output{bank}", reset_less=True)
        m.d.sync += [
            row.eq(named),
            base.eq(row * self.max_tokens),
            current.eq(Mux(self.select, base, current)),
            address.eq(current + self.token),
            output.eq(read.data),
        ]
        m.d.comb += [read.addr.eq(address), read.en.eq(1)]
        self._write(m, bank, bank_bits, write, depth)
        return output

    def _write(self, m: Module, bank: int, bank_bits: int, port: memory.WritePort, depth: int) -> None:
        wide, single = self.wide_write, self.write
        wide_bits = bank_bits - (self.wide.bit_length() - 1)
        wide_hit = wide.enable & (wide.column[:wide_bits] == bank // self.wide) if wide_bits else wide.enable
        single_hit = single.enable & (single.column[:bank_bits] == bank)
        enable = Signal(name=f"write_enable{bank}")
        address = Signal(range(depth), name=f"write_address{bank}", reset_less=True)
        word = Signal(WORD, name=f"write_data{bank}", reset_less=True)
        row = Mux(wide_hit, wide.column[wide_bits:], single.column[bank_bits:])
        m.d.sync += [
            enable.eq(wide_hit | single_hit),
            address.eq(row * self.max_tokens + Mux(wide_hit, wide.token, single.token)),
            word.eq(Mux(wide_hit, wide.data.word_select(bank % self.wide, WORD), single.data)),
        ]
        m.d.comb += [port.addr.eq(address), port.en.eq(enable), port.data.eq(word)]

    def _crossbar(self, m: Module, outputs: list[Value], bank_bits: int) -> None:
        for reader in range(self.clusters):
            # The choice follows its slot's words through the same number of registers.
            choice = Signal(bank_bits, name=f"choice{reader}", reset_less=True)
            m.d.sync += choice.eq(Mux(self.select, self.select_column[reader][:bank_bits], choice))
            for stage in range(self.LATENCY - 1):
                delayed = Signal(bank_bits, name=f"choice{reader}_{stage}", reset_less=True)
                m.d.sync += delayed.eq(choice)
                choice = delayed
            result = Signal(WORD, name=f"data{reader}", reset_less=True)
            m.d.sync += result.eq(choose(outputs, choice))
            m.d.comb += self.data[reader].eq(result)
