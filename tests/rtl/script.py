"""Cycle by cycle stimulus for units with several ports: what each input holds in each cycle, and what came out."""

from __future__ import annotations

import json
import os
import random
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import cocotb
from cocotb.triggers import RisingEdge

from flows.contracts.hardware import HardwareConfig


def config_env(config: HardwareConfig) -> dict[str, str]:
    """Environment that tells a bench the configuration of its unit."""
    return {"HARDWARE": json.dumps(config.to_dict())}


def bench_config() -> HardwareConfig:
    """The configuration that :func:`config_env` passed on."""
    return HardwareConfig.from_dict(json.loads(os.environ.get("HARDWARE", "{}")))


class Script:
    """Input values by cycle. A port that a cycle does not mention holds its idle value, or noise.

    Parameters
    ----------
    dut : handle of the unit
    idle : value of ports when nothing is said, enables above all
    noise : ports that hold random bits when nothing is said, so that a unit which looks at them is found out
    seed : of the noise
    """

    def __init__(self, dut: Any, *, idle: Mapping[str, int] | None = None, noise: Iterable[str] = (),
                 seed: int = 1) -> None:
        self._dut = dut
        self._idle = dict(idle or {})
        self._noise = {name: len(getattr(dut, name)) for name in noise}
        self._random = random.Random(seed)
        self._cycles: dict[int, dict[str, int]] = defaultdict(dict)

    def at(self, cycle: int, **values: int) -> None:
        """Set ports in one cycle.

        Raises
        ------
        ValueError
            When a port has been given another value for this cycle: a bench must not overwrite its own stimulus.
        """
        for name, value in values.items():
            if self._cycles[cycle].setdefault(name, int(value)) != int(value):
                raise ValueError(f"cycle {cycle}: two values for {name}")

    @property
    def length(self) -> int:
        """The cycle after the last one mentioned."""
        return max(self._cycles, default=-1) + 1

    async def run(self, watch: Iterable[str], *, settle: int) -> dict[str, list[int]]:
        """Play the script and ``settle`` idle cycles; returns for each output its value in every cycle."""
        edge = RisingEdge(self._dut.clk)
        outputs = {name: getattr(self._dut, name) for name in watch}
        seen: dict[str, list[int]] = {name: [] for name in outputs}
        present: dict[str, int] = {}
        for cycle in range(self.length + settle):
            values = {name: self._random.getrandbits(width) for name, width in self._noise.items()}
            values |= self._idle | self._cycles.get(cycle, {})
            for name, value in values.items():
                if present.get(name) != value:
                    getattr(self._dut, name).value = value
                    present[name] = value
            await edge
            for name, handle in outputs.items():
                seen[name].append(int(handle.value))
        return seen


class Responder:
    """A memory beside the unit: whatever stands on its address ports is answered ``latency`` cycles later.

    Parameters
    ----------
    dut : handle of the unit
    addresses : output ports that make up the address
    data : input port that takes the answer
    latency : cycles, at least 1
    answer : maps the values of ``addresses`` to a word
    """

    def __init__(self, dut: Any, addresses: Sequence[str], data: str, latency: int,
                 answer: Callable[..., int]) -> None:
        self._clock = dut.clk
        self._addresses = [getattr(dut, name) for name in addresses]
        self._data = getattr(dut, data)
        self._latency, self._answer = latency, answer
        cocotb.start_soon(self._serve())

    async def _serve(self) -> None:
        edge, pending = RisingEdge(self._clock), deque([0] * (self._latency - 1))
        while True:
            await edge
            pending.append(self._answer(*(int(port.value) for port in self._addresses)))
            self._data.value = pending.popleft()


def valid_outputs(seen: Mapping[str, list[int]], valid: str, *names: str) -> dict[int, tuple[int, ...]]:
    """The values of ``names`` in the cycles in which ``valid`` is 1."""
    return {cycle: tuple(seen[name][cycle] for name in names) for cycle, on in enumerate(seen[valid]) if on}


def check_cycles(got: Mapping[Any, Any], expected: Mapping[Any, Any]) -> None:
    """Compare outputs by cycle (or cycle and port): every value in its place, no other ones, and not all the same.

    Raises
    ------
    AssertionError
        Naming the first difference.
    """
    first = next(iter(expected.values()))
    assert any(value != first for value in expected.values()), "the expected data never change"
    for cycle in sorted(set(got) | set(expected)):
        assert cycle in expected, f"cycle {cycle}: unexpected output {got[cycle]}"
        assert cycle in got, f"cycle {cycle}: no output, expected {expected[cycle]}"
        assert got[cycle] == expected[cycle], f"cycle {cycle}: got {got[cycle]}, expected {expected[cycle]}"
