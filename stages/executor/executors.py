"""Tasks, and executors that run them: in this process, in its threads, or by Dask's workers.

``map_by`` applies a function to many items by the same executors.
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
"""Number of attempts of workers at a task before the task counts as failed."""

N_NAMED: Final = 20
"""Largest number of failed tasks, or images, that an error message names."""


@dataclass(frozen=True)
class Task(Generic[T]):
    """A function call that depends on no other task and can run in any process, or twice.

    The function is at the top level of a module, and the arguments can be pickled. The result
    should be small, since it is sent back.
    """

    name: str
    function: Callable[..., T]
    arguments: tuple[Any, ...] = ()

    def run(self) -> T:
        """Call the task's function with its arguments, and return the result."""
        return self.function(*self.arguments)


@dataclass(frozen=True)
class Done(Generic[T]):
    """A task that has succeeded, and its result."""

    task: Task[T]
    result: T


@dataclass(frozen=True)
class Failure:
    """A task that has failed, and its last error.

    Dask's workers have tried the task ``N_TRIES`` times; the executor of this process tries once.
    """

    task: Task[Any]
    error: BaseException

    def __str__(self) -> str:
        return f"{self.task.name}: {one_line(self.error)}"


Run = Callable[[Iterable[Task[Any]]], Iterator[Done[Any] | Failure]]
"""An executor: takes tasks, and yields each outcome when it arrives.

After a failed task, the other tasks still run; but ``run_here`` stops at an error that is not in
``REPORTED``.
"""


def results_of(
    run: Run,
    tasks: Sequence[Task[T]],
    on_result: Callable[[Task[T], T], None] = lambda _task, _result: None,
) -> list[T]:
    """Run tasks, whose names differ, and return their results in the order of the tasks.

    Parameters
    ----------
    on_result
        Called in this thread with each task and its result, when the result arrives.

    Raises
    ------
    DataError
        If several tasks failed; the message names up to ``N_NAMED`` of them with their reasons.
    BaseException
        The error of the only failed task, or the first error that is not in ``REPORTED``, with its
        traceback.
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
    """Yield the executor that the settings name; its workers end with the block.

    Parameters
    ----------
    n_threads
        Number of parallel tasks for the kind ``inline``; 1 runs tasks in the calling thread. Other
        kinds run one task per worker.
    uses_gpu
        Whether tasks use a GPU. Each worker of the kind ``local`` then uses one GPU; with ``auto``,
        there is one worker per GPU. Jobs of SLURM ask for the GPUs of the settings.
    """
    if params.kind == "inline":
        yield partial(run_here, n_threads=n_threads)
        return
    # Imported here: it takes a second, and the default does not need it.
    from stages.executor.workers import dask_executor  # noqa: PLC0415

    with dask_executor(params, uses_gpu=uses_gpu) as run:
        yield run


def run_here(tasks: Iterable[Task[T]], *, n_threads: int) -> Iterator[Done[T] | Failure]:
    """Run tasks in threads of this process, or in the calling thread if ``n_threads`` is 1.

    Outcomes come in the order of the tasks. No task is tried again: it would fail again. An error
    that is not in ``REPORTED`` is raised, and no further task begins.
    """
    return map(_outcome, tasks) if n_threads == 1 else in_threads(_outcome, tasks, n_threads)


def _outcome(task: Task[T]) -> Done[T] | Failure:
    try:
        return Done(task, task.run())
    except REPORTED as error:
        return Failure(task, error)


@contextmanager
def map_by(params: ExecutorParams, name: str) -> Iterator[Each]:
    """Yield a function like ``map`` that runs in threads of this process, or by workers.

    Threads suffice for compiled code that releases the GIL. The results are in the order of the
    items. An error of the mapped function is raised unchanged if threads run it, or if one item
    failed; see ``results_of``. ``name`` is a noun for an item in messages.
    """
    if params.kind == "inline":
        yield in_threads
        return
    # A folder in the project, where all workers see it. Only its owner may write there, since
    # workers execute the function in it.
    with passing_folder(WORK / "each") as folder, executor_of(params) as run:
        yield partial(_by_workers, run, folder.resolve(), name)


def _by_workers(
    run: Run, folder: Path, name: str, work: Callable[[T], R], items: Iterable[T]
) -> list[R]:
    # The function is sent as a file that each process reads once: it may contain more data than all
    # items.
    path, pickled = folder / f"{uuid4().hex}.pickle", pickle.dumps(work)
    path.write_bytes(pickled)
    source = str(path), hashlib.sha256(pickled).hexdigest()
    tasks = [Task(f"{name} {i}", _apply, (*source, item)) for i, item in enumerate(items, 1)]
    return results_of(run, tasks)


def _apply(path: str, sha256: str, item: object) -> Any:  # noqa: ANN401 - the function's result
    return _unpickled(path, sha256)(item)


@lru_cache(maxsize=1)  # read once per process, not once per item
def _unpickled(path: str, sha256: str) -> Callable[[Any], Any]:
    """Unpickle the function in a file whose sha256 must match, since unpickling executes code.

    The sha256 comes with the task from the process that wrote the file. Owner and mode of the file
    would prove less on a shared disk, and NFS shows other owners to root.
    """
    pickled = Path(path).read_bytes()
    if hashlib.sha256(pickled).hexdigest() != sha256:
        raise DataError(f"{path} must be as the stage wrote it, got another file")
    work: Callable[[Any], Any] = pickle.loads(pickled)  # noqa: S301 - the driver's own
    return work


def in_threads(
    work: Callable[[T], R], items: Iterable[T], n_threads: int | None = None
) -> Iterator[R]:
    """Apply a function to items in threads; yield the results in the order of the items.

    By default, there is a thread per processor that this process may use.
    """
    # Not joblib's threads: joblib warns if it is ended early.
    pool = ThreadPoolExecutor(n_threads or len(os.sched_getaffinity(0)))
    try:
        yield from pool.map(work, items)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)  # nobody waits if the block ends early
