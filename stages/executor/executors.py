"""Chooses who runs tasks: this process, threads of it, or workers of Dask; a ``map`` by these."""

import os
import pickle
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

from pipeline.scoring.tasks import Each
from stages.executor.tasks import Done, Failure, Run, Task, results_of
from stages.program.main import REPORTED
from stages.settings.blocks import ExecutorParams
from storage.folders import passing_folder
from storage.paths import WORK

T = TypeVar("T")
R = TypeVar("R")


@contextmanager
def executor_of(
    params: ExecutorParams, *, n_threads: int = 1, uses_gpu: bool = False
) -> Iterator[Run]:
    """The executor that the settings name; its workers end with the block.

    Parameters
    ----------
    n_threads
        Tasks at a time if the settings say ``inline``. A single one runs in the calling thread.
    uses_gpu
        Whether a machine can take as many tasks as it has GPUs, not as it has processors.

    Raises
    ------
    ConnectionError
        If a cluster cannot be reached, or is lost on the way.
    """
    if params.kind == "inline":
        yield partial(run_here, n_threads=n_threads)
        return
    # Imported here: it takes a second, and the default does not need it.
    from stages.executor.workers import dask_executor  # noqa: PLC0415

    with dask_executor(params, uses_gpu=uses_gpu) as run:
        yield run


def run_here(tasks: Iterable[Task[T]], *, n_threads: int) -> Iterator[Done[T] | Failure]:
    """Run tasks in threads of this process; a single one is the calling thread.

    What fails here would fail here again: nothing is tried twice. An error that no user can fix
    ends all.
    """
    return map(_ended, tasks) if n_threads == 1 else in_threads(_ended, tasks, n_threads)


def _ended(task: Task[T]) -> Done[T] | Failure:
    try:
        return Done(task, task.run())
    except REPORTED as error:
        return Failure(task, error)


@contextmanager
def map_by(params: ExecutorParams, name: str) -> Iterator[Each]:
    """A ``map`` by threads of this process, or by workers, which end with the block.

    Threads do for compiled code that releases the GIL.

    Parameters
    ----------
    name
        Of an item, as messages call it.

    Raises
    ------
    ConnectionError
        If workers cannot be reached, or are lost on the way.
    DataError
        If items failed as often as they were tried.
    """
    if params.kind == "inline":
        yield in_threads
        return
    # In the project, where all workers see it, and private: workers execute what it holds.
    with passing_folder(WORK / "each") as folder, executor_of(params) as run:
        yield partial(_by_workers, run, folder.resolve(), name)


def _by_workers(
    run: Run, folder: Path, name: str, work: Callable[[T], R], items: Iterable[T]
) -> list[R]:
    # A file that each reads once: the work may hold more data than all items.
    path = folder / f"{uuid4().hex}.pickle"
    path.write_bytes(pickle.dumps(work))
    tasks = [Task(f"{name} {i}", _do, (str(path), item)) for i, item in enumerate(items, 1)]
    return results_of(run, tasks)


def in_threads(
    work: Callable[[T], R], items: Iterable[T], n_threads: int | None = None
) -> Iterator[R]:
    """Do the same work for each item, some at once; results come in their order.

    Parameters
    ----------
    n_threads
        By default, one for each core.
    """
    # Not joblib's: it warns when ended early.
    pool = ThreadPoolExecutor(n_threads or len(os.sched_getaffinity(0)))
    try:
        yield from pool.map(work, items)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)  # nobody waits if the block ends early


def _do(path: str, item: object) -> Any:  # noqa: ANN401 - what the work gives
    return _work(path)(item)


@lru_cache(maxsize=1)  # read once per process, not once per item
def _work(path: str) -> Callable[[Any], Any]:
    work: Callable[[Any], Any] = pickle.loads(Path(path).read_bytes())  # noqa: S301 - our own
    return work
