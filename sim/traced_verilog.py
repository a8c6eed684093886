"""Verilog for waveforms: names that every viewer can address, and without the temporaries of the conversion."""

from __future__ import annotations

import re

_ESCAPED = re.compile(r"\\(\S+)(?=\s)")
_PLAIN = re.compile(r"[A-Za-z_][\w$]*")
_TEMPORARY = re.compile(r"^(\s*)((?:wire|reg)\s+(?:signed\s+)?(?:\[[^\]]*\]\s*)?(?:\\\$\S+|_\d+_)(?:\s.*)?;)\s*$",
                        re.MULTILINE)


def for_waveform(text: str) -> str:
    """The same circuit with other names inside, and with fewer signals to record.

    Fields of structures have names with dots and brackets (``\\current.drop``), which viewers take for levels of the
    hierarchy; they become ``current__drop``, as fields of ports are called. What Yosys has made up (``\\$123``,
    ``_12_``) is not traced: it is half of the bytes, and no one looks for it.

    Parameters
    ----------
    text : Verilog of an Amaranth design, in which hierarchical names of plain identifiers stay as they are
    """
    return _rename_fields(_TEMPORARY.sub(r"\1/*verilator tracing_off*/ \2 /*verilator tracing_on*/", text))


def _rename_fields(text: str) -> str:
    names = dict.fromkeys(name for name in _ESCAPED.findall(text) if name[0] != "$" and re.search(r"[.\[]", name))
    taken = set(_PLAIN.findall(text))
    renamed: dict[str, str] = {}
    for name in names:
        plain = re.sub(r"[.\[\]]+", "__", name).rstrip("_")
        while plain in taken:
            plain += "_"
        taken.add(plain)
        renamed[name] = plain
    return _ESCAPED.sub(lambda match: renamed.get(match[1], match[0]), text)
