"""Job folders for the C++ test bench: what the cocotb test bench reads, and what has to come out.

``memory.bin`` (programs, images and output buffers) and ``job.json`` (where they lie) are those of
:func:`sim.accelerator.run_frames`. ``records.bin`` holds, frame by frame and image by image, every word that must be
written to a memory, sorted by step, unit, column and token; ``job.json`` says how many.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from flows.compile import Program, image_words
from flows.contracts.files import replacing
from sim.accelerator import Frame, lay_out
from sim.compare import parts_of
from sim.golden.network import Result
from sim.probes import RECORD, UNITS


@dataclass(frozen=True, eq=False)
class Vector:
    """A program with images, and what the golden model says of them.

    Attributes
    ----------
    program : compiled network
    patches : int8 ``(N, P)`` of each image
    golden : result with checkpoints of each image
    """

    program: Program
    patches: tuple[np.ndarray, ...]
    golden: tuple[Result, ...]

    @property
    def frame(self) -> Frame:
        """Program and images as the hardware reads them."""
        first, *others = (image_words(self.program, patches).tobytes() for patches in self.patches)
        return Frame(self.program.stream.tobytes(), first, self.golden[0].logits.size, tuple(others))


def write_job(folder: Path, vectors: Sequence[Vector]) -> None:
    """Write a job folder.

    Parameters
    ----------
    folder : made if need be
    vectors : all for the same hardware
    """
    config = vectors[0].program.config
    frames = [vector.frame for vector in vectors]
    memory, places = lay_out(frames, config)
    records = [[expected_records(vector.program, golden) for golden in vector.golden] for vector in vectors]
    jobs = [{**place.job(frame), "classes": frame.classes, "records": [len(part) for part in parts]}
            for frame, place, parts in zip(frames, places, records, strict=True)]
    job = {"frames": jobs, "watchdog": 0, "max_cycles": 0, "config_hash": config.config_hash()}
    contents = {"memory.bin": memory, "job.json": json.dumps(job, indent=1).encode(),
                "records.bin": b"".join(part.tobytes() for parts in records for part in parts)}
    for name, content in contents.items():
        with replacing(folder / name) as part:
            part.write_bytes(content)


def expected_records(program: Program, golden: Result) -> np.ndarray:
    """Every word that a run of one image writes: :data:`sim.probes.RECORD`, sorted, ``cycle`` 0."""
    steps = [entry["name"] for entry in program.manifest["steps"]]
    parts = [_records(index, part.unit, part.first_column, part.values, part.lane)
             for index, step in enumerate(steps)
             for part in parts_of(step, golden.checkpoints, program.config, golden.unused)]
    found = np.concatenate(parts)
    return found[np.lexsort([found[name] for name in ("token", "column", "unit", "step")])]


def _records(step: int, unit: str, first_column: int, values: np.ndarray, lane: str) -> np.ndarray:
    columns, tokens = values.shape[:2]
    records = np.zeros((columns, tokens), RECORD)
    records["step"], records["unit"] = step, UNITS[unit]
    records["column"] = np.arange(first_column, first_column + columns)[:, None]
    records["token"] = np.arange(tokens)
    data = np.ascontiguousarray(values.astype(lane)).view(np.uint8)
    records["data"][..., :data.shape[-1]] = data
    return records.reshape(-1)
