"""Small circuits whose resources and logic depth are known by counting."""

# Amaranth makes the members of components at run time, where a type checker does not see them.
# pyright: reportAttributeAccessIssue=none, reportInvalidTypeForm=none, reportArgumentType=none

from collections.abc import Callable

from amaranth.hdl import Cat, Module, Signal, signed
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out

from rtl.banks import Banks
from rtl.gelu import ByteTable
from rtl.shared import shared_instance


class Parity(wiring.Component):
    """Parity of 16 registered bits, registered: five LUTs in two levels, 17 flip-flops."""

    i: In(16)
    o: Out(1)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        held = Signal(16, reset_less=True)
        m.d.sync += [held.eq(self.i), self.o.eq(held.xor())]
        return m


class Reduce(wiring.Component):
    """Parity of 16 bits without a register: a path passes through it."""

    i: In(16)
    o: Out(1)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.d.comb += self.o.eq(self.i.xor())
        return m


class Product(wiring.Component):
    """A registered product of two registered 16-bit numbers."""

    a: In(signed(16))
    b: In(signed(16))
    o: Out(signed(32))

    def elaborate(self, platform: object) -> Module:
        m = Module()
        a, b = Signal(signed(16), reset_less=True), Signal(signed(16), reset_less=True)
        m.d.sync += [a.eq(self.a), b.eq(self.b), self.o.eq(a * b)]
        return m


class Ram(wiring.Component):
    """A memory with a write and a read port."""

    def __init__(self, width: int, depth: int, **attributes: str) -> None:
        self.width, self.depth, self.attributes = width, depth, attributes
        super().__init__({"write_address": In(range(depth)), "write": In(1), "data": In(width),
                          "read_address": In(range(depth)), "o": Out(width)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.memory = mem = memory.Memory(shape=self.width, depth=self.depth, init=[], attrs=self.attributes)
        write, read = mem.write_port(), mem.read_port()
        m.d.comb += [write.addr.eq(self.write_address), write.en.eq(self.write), write.data.eq(self.data),
                     read.addr.eq(self.read_address), read.en.eq(1), self.o.eq(read.data)]
        return m


class Pair(wiring.Component):
    """Two different small modules."""

    i: In(36)
    o: Out(2)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.parity = parity = Parity()
        m.submodules.ram = ram = Ram(1, 16)
        m.d.comb += [parity.i.eq(self.i[:16]), ram.write_address.eq(self.i), ram.read_address.eq(self.i[4:]),
                     ram.write.eq(self.i[9]), ram.data.eq(self.i[10]), self.o.eq(parity.o | ram.o << 1)]
        return m


PARTS: dict[str, Callable[[], wiring.Component]] = {
    "product": Product,
    "block": lambda: Ram(72, 512),
    "half_block": lambda: Ram(18, 1024),
    "ultra": lambda: Ram(72, 4096, ram_style="ultra"),
    "shallow": lambda: Ram(14, 32),
    "table": ByteTable,
    "banks": lambda: Banks(4, 2, 512, 1),
    "ultra_banks": lambda: Banks(4, 2, 512, 1, ultra_words=1024),
}


class Zoo(wiring.Component):
    """One of everything side by side, equal units under different names, and a path through three modules."""

    i: In(36)
    o: Out(64)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        results = []
        for name, factory in PARTS.items():
            part = factory()
            m.submodules[name] = part
            bits = []
            for _, member, value in part.signature.flatten(part):
                if member.flow == wiring.In:
                    shuffled = Cat(*(self.i[(index * 7 + len(bits)) % 36] for index in range(len(value))))
                    m.d.comb += value.eq(shuffled)
                else:
                    bits.append(value.xor() if not hasattr(value, "as_value") else value.as_value().xor())
            results.append(Cat(bits).xor())
        for name in ("first", "second"):
            m.submodules[name] = part = Parity()
            m.d.comb += part.i.eq(self.i[:16])
            results.append(part.o)
        m.submodules.reduce = reduce = Reduce()
        held = Signal(16, reset_less=True)
        m.d.sync += held.eq(self.i[:16])
        m.d.comb += reduce.i.eq(held)
        results += [reduce.o, *(self._shared(m, index) for index in range(3))]
        m.d.sync += self.o.eq(Cat(results))
        return m

    def _shared(self, m: Module, index: int) -> Signal:
        o = Signal(name=f"shared{index}")
        m.submodules[f"shared{index}"] = shared_instance("zoo_table", lambda: Ram(3, 16), write_address=self.i[:4],
                                                         write=self.i[4], data=self.i[5:8], read_address=self.i[8:12],
                                                         o=Cat(o, Signal(2, name=f"unused{index}")))
        return o
