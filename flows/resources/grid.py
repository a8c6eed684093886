"""Synthesized configurations, which the analytical model is fitted to: ``python -m flows.resources.grid``."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from flows.contracts.files import replacing
from flows.contracts.hardware import HardwareConfig
from flows.resources.synth import SynthesisResult

GRID = Path(__file__).with_name("grid.json")

WIDE: dict[str, Any] = {"stream_bits": 512, "bus_bits": 512}
MEDIUM: dict[str, Any] = {"max_width": 384, "max_hidden": 1536, "score_heads": 6}
LARGE: dict[str, Any] = {"max_width": 768, "max_hidden": 3072, "score_heads": 12}
SMALL: dict[str, Any] = {"max_tokens": 32, "max_width": 64, "max_hidden": 128, "max_patch": 192, "score_heads": 2,
                         "max_classes": 10, "banks": 2, "fifo_words": 128, "image_fifo_words": 128}

NARROW: dict[str, Any] = {"clusters": 1, "row_cycles": 2, "score_heads": 1, "banks": 2, "fifo_words": 128,
                          "image_fifo_words": 128, "lut_fifo_words": 128, "max_classes": 10, "bus_bits": 128}
"""Rows every second cycle, for small devices."""

POINTS: dict[str, tuple[str, dict[str, Any]]] = {
    "small": ("ultrascale+", {"clusters": 1, "multiplier": "dsp48e2", **SMALL}),
    "tiny_4x1": ("ultrascale+", {"clusters": 4, "multiplier": "dsp48e2"}),
    "tiny_1x1": ("7series", {"clusters": 1, "multiplier": "dsp48e1", "bus_bits": 128}),
    "tiny_4x4": ("ultrascale+", {"clusters": 4, "groups": 4, "multiplier": "dsp48e2", **WIDE, "fifo_words": 4096,
                                 "image_fifo_words": 4096}),
    "tiny_1x4_dies": ("ultrascale+", {"clusters": 1, "groups": 4, "crossings": 2, "multiplier": "dsp48e2", **WIDE}),
    "tiny_2x2_xc7": ("7series", {"clusters": 2, "groups": 2, "multiplier": "plain"}),
    "small_8x1": ("ultrascale+", {"clusters": 8, "multiplier": "dsp48e2", **MEDIUM, **WIDE, "fifo_words": 4096}),
    "small_16x2": ("ultrascale+", {"clusters": 16, "groups": 2, "banks": 16, "multiplier": "plain", **MEDIUM,
                                   "stream_bits": 512, "uram_words": 1024}),
    "small_4x1_xc7": ("7series", {"clusters": 4, "multiplier": "dsp48e1", **MEDIUM}),
    "base_8x8": ("ultrascale+", {"clusters": 8, "groups": 8, "multiplier": "dsp48e2", **LARGE, **WIDE}),
    "base_2x1": ("ultrascale+", {"clusters": 2, "multiplier": "plain", **LARGE, "bus_bits": 512}),
    "tiny_narrow_xc7": ("7series", {"multiplier": "dsp48e1", "max_hidden": 320, **NARROW}),
    "small_narrow": ("ultrascale+", {"multiplier": "dsp48e2", **SMALL, **NARROW}),
}
"""Family and hardware fields by name: sizes of DeiT-Tiny, -Small and -Base, one for tests, and what the search finds
for the shipped DeiT-Tiny on PYNQ-Z2 and Arty A7-100T (``tiny_narrow_xc7``)."""


def load_grid() -> list[dict[str, Any]]:
    """The recorded configurations: ``name``, ``family``, ``hardware``, ``units``, ``total``."""
    return json.loads(GRID.read_text())["points"]


def entry_of(name: str, config: HardwareConfig, result: SynthesisResult) -> dict[str, Any]:
    """What is recorded of a configuration."""
    units = [{"name": unit.name, "count": unit.instances, **unit.resources.to_dict(),
              "levels": unit.path.luts if unit.path else 0} for unit in result.units]
    return {"name": name, "family": result.family, "hardware": config.to_dict(), "units": units,
            "total": result.total.to_dict()}


def synthesize_point(name: str, workers: int = 1) -> dict[str, Any]:
    """Synthesize a configuration of the grid."""
    from flows.resources.accelerator import synthesize_accelerator

    family, fields = POINTS[name]
    config = HardwareConfig.from_dict(fields)
    return entry_of(name, config, synthesize_accelerator(config, family, workers))


def main() -> None:
    """Synthesize the configurations named on the command line, or all, and record them."""
    recorded = {entry["name"]: entry for entry in load_grid()} if GRID.is_file() else {}
    for name in sys.argv[1:] or POINTS:
        recorded[name] = synthesize_point(name)
        total = recorded[name]["total"]
        sys.stdout.write(f"{name}: {total}\n")
        sys.stdout.flush()
        points = [_line(recorded[known]) for known in POINTS if known in recorded]
        text = '{"command": "python -m flows.resources.grid", "points": [\n' + ",\n".join(points) + "\n]}\n"
        with replacing(GRID) as part:
            part.write_text(text)


def _line(entry: dict[str, Any]) -> str:
    """An entry of the file: a line per module."""
    units = ",\n  ".join(json.dumps(unit) for unit in entry["units"])
    rest = json.dumps({key: value for key, value in entry.items() if key != "units"})
    return f'{rest[:-1]}, "units": [\n  {units}]}}'


if __name__ == "__main__":
    main()
