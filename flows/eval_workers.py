"""Many images through float, fake-quantized and integer network, in parallel processes.

Images are cut into chunks of a fixed size, each evaluated on one thread: which process does it, and how many there
are, does not change a bit of the result.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from flows.contracts.artifact import SparseVit
from flows.contracts.errors import SimulationError
from flows.contracts.hardware import HardwareConfig
from flows.contracts.images import LabelledImages, open_images
from flows.contracts.preprocess import code_table, crop, pixel_patches
from flows.golden_speed import THREADS
from sim.golden.network import Golden

CHUNK = 8
Classify = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True, eq=False)
class Task:
    """What every process has to know; can be pickled.

    Attributes
    ----------
    images : data pack or folder
    artifact : the integer network
    prepared, ranges : of :mod:`algo.export`, for the float and the fake-quantized network; None leaves these out
    hls : hardware whose HLS models compute the integers; None takes the golden model
    """

    images: Path
    artifact: SparseVit
    prepared: Any = None
    ranges: Any = None
    hls: HardwareConfig | None = None


@dataclass(eq=False)
class Answers:
    """Logits ``(images, classes)`` by network (``float``, ``fake``, ``integer``), and the tokens ``(images, blocks)``
    that the integer network has alive after each block; and the processor time in seconds that it took.
    """

    logits: dict[str, np.ndarray] = field(default_factory=dict)
    tokens: np.ndarray = field(default_factory=lambda: np.empty((0, 0), np.int64))
    integer_seconds: float = 0.0


class Evaluator:
    """All networks of a task in this process."""

    def __init__(self, task: Task) -> None:
        self.images: LabelledImages = open_images(task.images)
        self.size, self.patch = task.artifact.image_size, task.artifact.patch
        self.table = code_table(task.artifact.mean, task.artifact.std, task.artifact.input_scale)
        self.integer = _integer_network(task)
        self.others: dict[str, Classify] = {}
        if task.prepared is not None:
            from algo.accuracy import fake_network, float_network  # torch only where it is needed

            self.others = {"float": float_network(task.prepared),
                           "fake": fake_network(task.prepared, task.ranges)}

    def run(self, indices: Sequence[int]) -> Answers:
        """Evaluate some images."""
        pixels = np.stack([crop(self.images.image(index), self.size, resize=self.images.resize) for index in indices])
        logits = {name: classify(pixels) for name, classify in self.others.items()}
        patches = [pixel_patches(image, self.table, self.patch) for image in pixels]
        begin = time.process_time()
        results = [self.integer(image) for image in patches]
        seconds = time.process_time() - begin
        logits["integer"] = np.stack([result for result, _ in results])
        return Answers(logits, np.array([tokens for _, tokens in results]), seconds)


def _integer_network(task: Task) -> Callable[[np.ndarray], tuple[np.ndarray, list[int]]]:
    """Patches to logits and the tokens alive after each block."""
    if task.hls is not None:
        from flows.hls_flow import HlsNetwork

        return HlsNetwork(task.artifact, task.hls).run
    golden = Golden(task.artifact)

    def run(patches: np.ndarray) -> tuple[np.ndarray, list[int]]:
        result = golden.run(patches)
        return result.logits, result.tokens

    return run


def evaluate(task: Task, indices: Sequence[int], workers: int | None = None,
             progress: Callable[[float], None] | None = None) -> Answers:
    """Evaluate images; the result does not depend on ``workers``.

    Parameters
    ----------
    indices : of the images, at least one
    workers : processes; one per core by default
    progress : called with the finished share

    Raises
    ------
    SimulationError
        When a process dies.
    """
    chunks = [list(indices[start:start + CHUNK]) for start in range(0, len(indices), CHUNK)]
    workers = min(workers or cores(), len(chunks))
    parts = []
    with _mapped(task, chunks, workers) as answers:
        for part in answers:
            parts.append(part)
            if progress:
                progress(len(parts) / len(chunks))
    return Answers({name: np.concatenate([part.logits[name] for part in parts]) for name in parts[0].logits},
                   np.concatenate([part.tokens for part in parts]), sum(part.integer_seconds for part in parts))


def cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def _mapped(task: Task, chunks: list[list[int]], workers: int) -> Iterator[Iterator[Answers]]:
    """Answers of all chunks in order."""
    if workers == 1:
        with _one_thread(torch=task.prepared is not None):
            yield map(Evaluator(task).run, chunks)
        return
    # new processes see one thread from the start: NumPy's matrix product cannot change it later
    before = {name: os.environ.get(name) for name in THREADS}
    os.environ |= dict.fromkeys(THREADS, "1")
    pool = ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_begin, initargs=(task,))
    try:
        yield pool.map(_run, chunks)
    except BrokenProcessPool:
        raise SimulationError("a worker process ended early, perhaps for lack of memory; use fewer --workers") from None
    finally:
        pool.shutdown(cancel_futures=True)
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextmanager
def _one_thread(*, torch: bool) -> Iterator[None]:
    if not torch:
        yield
        return
    from algo.export import one_thread

    with one_thread():
        yield


_evaluator: list[Evaluator] = []
"""The networks of a worker process."""


def _begin(task: Task) -> None:
    if task.prepared is not None:
        import torch

        torch.set_num_threads(1)
    _evaluator[:] = [Evaluator(task)]


def _run(indices: list[int]) -> Answers:
    return _evaluator[0].run(indices)
