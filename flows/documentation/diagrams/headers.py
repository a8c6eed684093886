"""Bit fields of the program's headers."""

from __future__ import annotations

from flows.contracts import program
from flows.documentation.svg import Drawing

PACKETS = ("HELLO", "STEP", "SLOT", "CLUSTER", "WRITE")
ROW = 64
"""Bits drawn in a row."""
UNIT = 15.0
"""Width of a bit."""
LETTER = 5.8


def draw_headers() -> str:
    """Fields of every header, 64 bits a row, bit 0 on the left."""
    title = "Headers of the program, bit 0 on the left"
    rows = sum(-(-program.fields_width(getattr(program, name)) // ROW) for name in PACKETS)
    drawing = Drawing(ROW * UNIT + 40, 40 + 38 * rows + 30 * len(PACKETS), title)
    drawing.text(20, 22, title, size=15, bold=True)
    y = 40.0
    for name in PACKETS:
        fields = getattr(program, name)
        width = program.fields_width(fields)
        drawing.text(20, y + 14, f"{name}, {width} bits", bold=True)
        y += 20
        low = 0
        for field, bits in fields:
            _field(drawing, field, bits, low, y)
            low += bits
        y += 38 * -(-width // ROW) + 10
    return drawing.done()


def _field(drawing: Drawing, name: str, bits: int, low: int, y: float) -> None:
    """A field, in two parts where a row ends within it."""
    while bits:
        part = min(bits, ROW - low % ROW)
        x, top = 20 + low % ROW * UNIT, y + 38 * (low // ROW)
        unused = name.startswith("pad")
        drawing.box(x, top, part * UNIT, 28, "none" if unused else "control", hint=f"{name}: {bits} bits")
        if not unused and len(name) * LETTER < part * UNIT:  # the table below names all of them
            drawing.text(x + part * UNIT / 2, top + 18, name, size=10.5, anchor="middle")
        low, bits = low + part, bits - part
