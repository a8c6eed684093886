"""Selection and token map as one unit under test: what is selected is read back through the map."""

from typing import Any

from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from flows.contracts.hardware import HardwareConfig
from rtl.token_drop import Select, TokenMap


class SelectWithMap(wiring.Component):
    """The ports of :class:`Select`, and ``map_address`` -> ``map_data`` one cycle later."""

    def __init__(self, config: HardwareConfig) -> None:
        self.select, self.map = Select(config), TokenMap(config)
        members = dict(self.select.signature.members)
        del members["map_write"]
        super().__init__({**members, "map_address": In(9), "map_data": Out(Select.MAP)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.select, m.submodules.map = select, places = self.select, self.map
        for name in self.signature.members:
            if name in select.signature.members:
                self._join(m, name, getattr(self, name), getattr(select, name))
        wiring.connect(m, select.map_write, places.write)
        m.d.comb += [places.row.eq(self.map_address), self.map_data.eq(places.place)]
        return m

    def _join(self, m: Module, name: str, outer: Any, inner: Any) -> None:
        member = self.signature.members[name]
        if member.is_signature:
            wiring.connect(m, wiring.flipped(outer), inner)
        elif member.flow == wiring.In:
            m.d.comb += inner.eq(outer)
        else:
            m.d.comb += outer.eq(inner)
