"""Chooses who runs tasks: this process, threads of it, or workers of Dask; a ``map`` by these."""

import os
import pickle
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, Final, Generic, TypeVar
from uuid import uuid4

from pipeline.scoring.tasks import Each
from stages.program.main import REPORTED, one_line
from stages.settings.blocks import ExecutorParams
from storage.errors import DataError, listed
from storage.folders import passing_folder
from storage.paths import WORK

T = TypeVar("T")
R = TypeVar("R")

N_TRIES: Final = 3
"""How often workers try a task before it counts as failed."""

N_NAMED: Final = 20
"""Failed tasks, or images, that an error names at most."""


@dataclass(frozen=True)
class Task(Generic[T]):
    """A call that depends on no other and can run anywhere.

    Its function lies at the top of a module and its arguments can be pickled, for it may run in
    another process, on another machine, or twice; its result is small, for it travels back.
    """

    name: str
    """As messages call it."""
    function: Callable[..., T]
    arguments: tuple[Any, ...] = ()

    def run(self) -> T:
        """Result of the call."""
        return self.function(*self.arguments)


@dataclass(frozen=True)
class Done(Generic[T]):
    """A task that has succeeded."""

    task: Task[T]
    result: T


@dataclass(frozen=True)
class Failure:
    """A task that failed, by workers on every try, and its last error."""

    task: Task[Any]
    error: BaseException

    def __str__(self) -> str:
        return f"{self.task.name}: {one_line(self.error)}"


Run = Callable[[Iterable[Task[Any]]], Iterator[Done[Any] | Failure]]
"""An executor: yields the outcome of each task as it arrives; one that fails stops no other."""


def results_of(
    run: Run,
    tasks: Sequence[Task[T]],
    on_result: Callable[[Task[T], T], None] = lambda _task, _result: None,
) -> list[T]:
    """Results of tasks whose names differ, in their order.

    Parameters
    ----------
    on_result
        Called in this thread with each result as it comes.

    Raises
    ------
    DataError
        If tasks failed, naming them, each with its reason; of a single one, its own error.
    BaseException
        An error of a task that no user can fix, with its traceback.
    """
    results: dict[str, T] = {}
    failures = []
    for ended in run(tasks):
        if isinstance(ended, Failure):
            failures.append(ended)
        else:
            on_result(ended.task, ended.result)
            results[ended.task.name] = ended.result
    for failure in failures:
        if len(failures) == 1 or not isinstance(failure.error, REPORTED):
            raise failure.error
    if failures:
        named = listed([*map(str, failures)], N_NAMED, "; ")
        raise DataError(f"every task must succeed, got {len(failures)} that did not ({named})")
    return [results[task.name] for task in tasks]


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
