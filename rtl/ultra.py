"""Which memories become UltraRAM, or are made of LUTs."""

from __future__ import annotations

import re

__all__ = ["memory_attributes", "without_contents"]

_CONTENTS = re.compile(
    r'(\(\* ram_style = "ultra" \*\)\n +reg [^\n]*;\n) +initial begin\n(?: +[^\n]* = [^\n]*;\n)* +end\n')


def memory_attributes(depth: int, ultra_words: int, lut_words: int = 0) -> dict[str, str]:
    """Attributes of a memory: deep ones are marked for UltraRAM, 72 bits by 4096 words a block, shallow ones for LUTs.

    Parameters
    ----------
    depth : words of the memory
    ultra_words : smallest depth that is marked for UltraRAM, 0 for none
    lut_words : largest depth that is marked for LUTs
    """
    if depth <= lut_words:
        return {"ram_style": "distributed"}
    return {"ram_style": "ultra"} if ultra_words and depth >= ultra_words else {}


def without_contents(verilog: str) -> str:
    """Drop the initial contents, all zero, of memories marked for UltraRAM: it cannot have any."""
    return _CONTENTS.sub(r"\1", verilog)
