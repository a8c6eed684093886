"""Where the jobs of a sweep run: in this process, in several, or on the workers of a Dask cluster."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import get_context
from typing import Any

from flows.contracts import errors
from flows.contracts.errors import ConfigError, SievitError, SimulationError
from flows.golden_speed import THREADS

Job = Callable[[Any], Any]
Engine = Callable[[Job, Sequence[Any]], Iterator[tuple[int, Any]]]
"""Runs a function on tasks and yields index and result of each, in any order. Both have to be picklable."""

LOCAL = "local"
"""Value of ``--dask`` that starts a cluster on this machine."""
CONNECT_SECONDS = 10


@contextmanager
def open_engine(workers: int = 1, dask: str | None = None) -> Iterator[Engine]:
    """An engine, as long as the context is open.

    Parameters
    ----------
    workers : processes of this machine; 1 runs everything in this one
    dask : address of a Dask scheduler, or ``local`` for a cluster of ``workers`` processes

    Raises
    ------
    ConfigError
        When Dask is not installed or its scheduler does not answer.
    SimulationError
        While results are taken: when a worker dies. Errors of jobs are raised as they are.
    """
    if dask is not None:
        with _cluster(dask, workers) as engine:
            yield engine
    elif workers == 1:
        yield _serial
    else:
        with _one_thread_each():
            pool = ProcessPoolExecutor(workers, mp_context=get_context("spawn"))
            try:
                yield lambda job, tasks: _pooled(pool, job, tasks)
            finally:
                pool.shutdown(cancel_futures=True)


def _serial(job: Job, tasks: Sequence[Any]) -> Iterator[tuple[int, Any]]:
    for index, task in enumerate(tasks):
        yield index, job(task)


def _pooled(pool: ProcessPoolExecutor, job: Job, tasks: Sequence[Any]) -> Iterator[tuple[int, Any]]:
    futures = {pool.submit(guarded, job, task): index for index, task in enumerate(tasks)}
    try:
        for future in as_completed(futures):
            yield futures[future], _opened(future.result())
    except BrokenProcessPool:
        raise SimulationError("a worker process ended early, perhaps for lack of memory; use fewer --workers") from None
    finally:
        for future in futures:
            future.cancel()


@contextmanager
def _cluster(address: str, workers: int) -> Iterator[Engine]:
    """Workers import sievit themselves, and keep what they export and compile in their own cache."""
    try:
        import distributed  # an optional package
    except ImportError:
        raise ConfigError("--dask needs the package distributed: pip install 'sievit[sweep]'") from None
    with _one_thread_each():
        try:
            cluster = _local_cluster(workers) if address == LOCAL else None
            client = distributed.Client(address if cluster is None else cluster, timeout=CONNECT_SECONDS)
        except (OSError, TimeoutError, ValueError) as error:
            raise ConfigError(f"--dask {address}: no scheduler answers there ({str(error) or type(error).__name__}); "
                              f"give tcp://host:port, or {LOCAL}") from None
        try:
            yield lambda job, tasks: _distributed(client, job, tasks)
        finally:
            client.close()
            if cluster is not None:
                cluster.close()


def _local_cluster(workers: int) -> Any:
    import distributed

    options: dict[str, Any] = {"processes": True, "threads_per_worker": 1, "dashboard_address": None}
    return distributed.LocalCluster(n_workers=workers, silence_logs=logging.ERROR, **options)


def _distributed(client: Any, job: Job, tasks: Sequence[Any]) -> Iterator[tuple[int, Any]]:
    import distributed

    futures = {client.submit(guarded, job, task, pure=False): index for index, task in enumerate(tasks)}
    try:
        for future in distributed.as_completed(futures):
            yield futures[future], _opened(future.result())
    except distributed.KilledWorker as error:
        raise SimulationError(f"a Dask worker ended early, perhaps for lack of memory ({error.task})") from None
    finally:
        client.cancel(list(futures))


def guarded(job: Job, task: Any) -> tuple[str, Any]:
    """The result of a job, or the class and text of its error: exceptions with arguments of their own do not travel."""
    try:
        return "", job(task)
    except SievitError as error:
        name = next(kind.__name__ for kind in type(error).__mro__ if hasattr(errors, kind.__name__))
        return name, str(error)


def _opened(answer: tuple[str, Any]) -> Any:
    kind, value = answer
    if kind:
        raise getattr(errors, kind)(value)
    return value


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """New processes see one thread from the start: NumPy's matrix product cannot change it later."""
    before = {name: os.environ.get(name) for name in THREADS}
    os.environ |= dict.fromkeys(THREADS, "1")
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
