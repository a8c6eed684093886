"""This run beside published accelerators; derived and unverified figures are marked."""

from __future__ import annotations

from collections.abc import Sequence

from flows.dashboard import numbers
from flows.dashboard.data import Beside
from flows.dashboard.markup import full, tag, text

COLUMNS = (("clock_mhz", "MHz"), ("dsps", "DSPs"), ("gops", "GOPS"), ("gops_per_dsp", "GOPS/DSP"),
           ("macs_per_dsp_cycle", "MACs/DSP/cycle"), ("utilization", "useful/peak"), ("milliseconds", "ms"),
           ("images_per_second", "images/s"))


def beside_table(rows: Sequence[Beside]) -> str:
    """A row per system, this run first."""
    if not rows:
        return ""
    head = "".join(tag("th", text(title), scope="col", class_="n" if 3 < number < 4 + len(COLUMNS) else None)
                   for number, title in enumerate(
        ("system", "network", "type", "platform", *(title for _, title in COLUMNS), "source")))
    body = "".join(_row(row) for row in rows)
    shown = tag("table", tag("thead", tag("tr", head)), tag("tbody", body), class_="data beside", id="published")
    return (tag("div", shown, class_="scroll", tabindex="0", role="region", aria_label="published accelerators")
            + tag("p", tag("b", "~"), " not verified: not found in the source itself; ", tag("b", "*"),
                  " computed here from the source's figures (hover or focus shows how). Networks, number formats and "
                  "devices differ: figures say what was built, not who is better.", class_="foot"))


def _row(row: Beside) -> str:
    tip = [f"{row.system} ({row.venue})", row.source, *([row.note] if row.note else [])]
    cells = [
        tag("th", tag("span", text(row.system), class_="mark", tabindex="0", data_tip="\n".join(tip)), scope="row"),
        *(tag("td", text(cell)) for cell in (row.model, row.precision, row.platform)),
        *(_figure(row, name) for name, _ in COLUMNS),
        tag("td", text(row.venue if row.here else row.source), class_="src"),
    ]
    classes = " ".join(name for name, on in (("here", row.here), ("unsure", bool(row.unverified))) if on)
    return tag("tr", *cells, class_=classes or None)


def _figure(row: Beside, name: str) -> str:
    value = row.figures.get(name)
    if value is None:
        return tag("td", "–", class_="n none")
    words = numbers.percent(value) if name == "utilization" else f"{value:,.0f}" if value >= 1000 or name == "dsps" \
        else f"{value:.3f}" if name == "gops_per_dsp" else f"{value:.2f}" if name == "macs_per_dsp_cycle" \
        else f"{value:g}" if name == "clock_mhz" else numbers.digits(value, 4).rstrip("0").rstrip(".")
    marks = ("~" if name in row.unverified else "") + words + ("*" if name in row.derived else "")
    tip = [f"{row.system}, {row.model}"]
    if name in row.unverified:
        tip.append("not verified in the source")
    if name in row.derived:
        tip.append(f"computed here: {row.derived[name]}")
    marked = len(tip) > 1
    return tag("td", tag("span", text(marks), class_="mark" if marked else None, tabindex="0" if marked else None,
                         data_tip="\n".join(tip) if marked else None, data_value=full(value)), class_="n")
