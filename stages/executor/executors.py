"""Tasks, and executors that run them: this process, its threads, or workers of Dask.

A function is applied to many items by the same executors, see ``map_by``.
"""

import hashlib
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

    Its function lies at the top of a module and its arguments can be pickled: it may run in another
    process, on another machine, or twice. Its result is small, for it travels back.
    """

    name: str
    """What messages call the task."""
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
    """Results of tasks, whose names differ, in the order of the tasks.

    Parameters
    ----------
    on_result
        Called in this thread with each result as it comes.

    Raises
    ------
    DataError
        If several tasks failed, naming each with its reason. The error of a single failed task is
        raised as it is.
    BaseException
        An error of a task that no user can fix, with its traceback.
    """
    results: dict[str, T] = {}
    failures = []
    for outcome in run(tasks):
        if isinstance(outcome, Failure):
            failures.append(outcome)
        else:
            on_result(outcome.task, outcome.result)
            results[outcome.task.name] = outcome.result
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
        Tasks at a time if the settings say ``inline``; 1 is the calling thread.
    uses_gpu
        Whether a machine takes as many tasks as it has GPUs, not as it has processors.

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
    """Run tasks in threads of this process, with 1 in the calling thread.

    A failed task is not tried again: it would fail again here. An error that no user can fix ends
    all tasks.
    """
    return map(_outcome, tasks) if n_threads == 1 else in_threads(_outcome, tasks, n_threads)


def _outcome(task: Task[T]) -> Done[T] | Failure:
    try:
        return Done(task, task.run())
    except REPORTED as error:
        return Failure(task, error)


@contextmanager
def map_by(params: ExecutorParams, name: str) -> Iterator[Each]:
    """A ``map`` by threads of this process, or by workers, which end with the block.

    Threads are enough for compiled code that releases the GIL.

    Parameters
    ----------
    name
        What messages call an item.

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
    # In the project, where all workers see it, and private: workers execute the function in it.
    with passing_folder(WORK / "each") as folder, executor_of(params) as run:
        yield partial(_by_workers, run, folder.resolve(), name)


def _by_workers(
    run: Run, folder: Path, name: str, work: Callable[[T], R], items: Iterable[T]
) -> list[R]:
    # A file that each process reads once: the function may hold more data than all items.
    path, pickled = folder / f"{uuid4().hex}.pickle", pickle.dumps(work)
    path.write_bytes(pickled)
    source = str(path), hashlib.sha256(pickled).hexdigest()
    tasks = [Task(f"{name} {i}", _apply, (*source, item)) for i, item in enumerate(items, 1)]
    return results_of(run, tasks)


def _apply(path: str, sha256: str, item: object) -> Any:  # noqa: ANN401 - the function's result
    return _unpickled(path, sha256)(item)


@lru_cache(maxsize=1)  # read once per process, not once per item
def _unpickled(path: str, sha256: str) -> Callable[[Any], Any]:
    """The function in a file.

    Unpickling runs what the file says. The digest came with the task from the driver: on a shared
    disk, an owner and a mode would say less, and NFS shows other owners to root.

    Raises
    ------
    DataError
        If another file is there.
    """
    pickled = Path(path).read_bytes()
    if hashlib.sha256(pickled).hexdigest() != sha256:
        raise DataError(f"{path} must be as the stage wrote it, got another file")
    work: Callable[[Any], Any] = pickle.loads(pickled)  # noqa: S301 - the driver's own
    return work


def in_threads(
    work: Callable[[T], R], items: Iterable[T], n_threads: int | None = None
) -> Iterator[R]:
    """Apply a function to items in threads; results come in the order of the items.

    Parameters
    ----------
    n_threads
        By default, a thread per core.
    """
    # Not joblib's: it warns when ended early.
    pool = ThreadPoolExecutor(n_threads or len(os.sched_getaffinity(0)))
    try:
        yield from pool.map(work, items)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)  # nobody waits if the block ends early
