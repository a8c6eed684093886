"""Results of jobs, kept by content: a second run reads them, and one that was interrupted goes on where it stopped."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flows.contracts.files import replacing
from flows.sweep.engine import Engine, Job


@dataclass(frozen=True)
class Work:
    """A job's task, and the file of each result that it gives.

    Attributes
    ----------
    task : what the job takes; it gives a list of results
    files : as many files, made by :func:`flows.cache.cached`
    """

    task: Any
    files: tuple[Path, ...]


def kept(file: Path) -> Any:
    """A result, or None when there is none."""
    try:
        return json.loads(file.read_text())
    except (OSError, ValueError):
        return None


def carry_out(engine: Engine, job: Job, works: Sequence[Work], share: Callable[[float], None]) -> int:
    """Run jobs and keep each result as soon as it is there.

    Parameters
    ----------
    engine : where they run
    job : takes a task and gives a list of results
    works : what is still to be done
    share : called with the finished share

    Returns
    -------
    int
        Number of results.
    """
    results = 0
    for done, (index, values) in enumerate(engine(job, [work.task for work in works]), 1):
        for file, value in zip(works[index].files, values, strict=True):
            with replacing(file) as part:
                part.write_text(json.dumps(value))
            results += 1
        share(done / len(works))
    return results
