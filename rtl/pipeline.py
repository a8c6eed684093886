"""Register stages of a path that never stalls."""

from types import SimpleNamespace
from typing import Any

from amaranth.hdl import Module, Signal, Value
from amaranth.lib import data

__all__ = ["Pipeline"]


class Pipeline:
    """Registers of a path that never stalls, one call of :meth:`stage` per clock cycle of it.

    Everything in flight is named in every stage, so a value that is used one cycle too late is an attribute error and
    not a wrong result. Data registers have no reset; only the valid bits have one.

    Parameters
    ----------
    m : module that holds the registers
    valid : the input's valid bit

    Attributes
    ----------
    valid : valid bit after the stages so far
    latency : number of stages so far
    """

    def __init__(self, m: Module, valid: Value) -> None:
        self._m = m
        self.valid: Value = valid
        self.latency = 0

    def stage(self, **values: Any) -> Any:
        """Register values, lists of values and views; returns a namespace of the registers under the same names."""
        self.latency += 1
        valid = Signal(name=f"valid_{self.latency}")
        self._m.d.sync += valid.eq(self.valid)
        self.valid = valid
        return SimpleNamespace(**{
            name: self._registers(value, f"{name}_{self.latency}") for name, value in values.items()})

    def _registers(self, value: Any, name: str) -> Any:
        if isinstance(value, list):
            return [self._registers(item, f"{name}_{index}") for index, item in enumerate(value)]
        shape = value.shape() if isinstance(value, data.View) else Value.cast(value).shape()
        register = Signal(shape, name=name, reset_less=True)
        self._m.d.sync += register.eq(value)
        return register
