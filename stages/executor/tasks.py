"""Tasks, and who runs them: this process, threads of it, or workers of Dask; a ``map`` by these."""

import os
import pickle
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import count
from pathlib import Path
from typing import Any, Final, Generic, Protocol, TypeVar

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


class Run(Protocol):
    """An executor: yields the outcome of each task as it arrives.

    One that fails keeps no other from running.
    """

    def __call__(self, tasks: Iterable[Task[T]], /) -> Iterator[Done[T] | Failure]:
        """Run the tasks."""


def run_tasks(
    tasks: Iterable[Task[T]],
    params: ExecutorParams,
    on_result: Callable[[Task[T], T], None],
    *,
    n_threads: int = 1,
    uses_gpu: bool = False,
) -> list[Failure]:
    """Run all tasks.

    Parameters
    ----------
    on_result
        What is done with the result of a task: called in the calling thread, as each comes.
    n_threads
        Tasks at a time if the settings say ``inline``. A single one runs in the calling thread.
    uses_gpu
        Whether a machine can take as many tasks as it has GPUs, not as it has processors.

    Returns
    -------
    The tasks that failed.

    Raises
    ------
    ConnectionError
        If a cluster cannot be reached, or is lost on the way.
    """
    failures = []
    with executor_of(params, n_threads=n_threads, uses_gpu=uses_gpu) as run:
        for ended in run(tasks):
            if isinstance(ended, Failure):
                failures.append(ended)
            else:
                on_result(ended.task, ended.result)
    return failures


@contextmanager
def executor_of(
    params: ExecutorParams, *, n_threads: int = 1, uses_gpu: bool = False
) -> Iterator[Run]:
    """The executor that the settings name; its workers end with the block."""
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


def check_all_done(failures: Sequence[Failure]) -> None:
    """Refuse to go on without the results of tasks that failed.

    Raises
    ------
    DataError
        Naming the tasks, each with its reason.
    BaseException
        An error of a task that no user can fix, with its traceback.
    """
    if not failures:
        return
    for failure in failures:
        if not isinstance(failure.error, REPORTED):
            raise failure.error
    if len(failures) == 1:
        raise failures[0].error
    named = listed([*map(str, failures)], N_NAMED, "; ")
    raise DataError(f"every task must succeed, got {len(failures)} that did not ({named})")


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
        yield _map_of(run, folder.resolve(), name)


def _map_of(run: Run, folder: Path, name: str) -> Each:
    """A ``map`` by workers, which read the work from a folder."""
    numbers = count(1)

    def do_each(work: Callable[[T], R], items: Iterable[T]) -> list[R]:
        # A file that each reads once: the work may hold more data than all items.
        path = folder / f"{next(numbers)}.pickle"
        path.write_bytes(pickle.dumps(work))
        tasks = [Task(f"{name} {i}", _do, (str(path), item)) for i, item in enumerate(items, 1)]
        ended = list(run(tasks))
        check_all_done([one for one in ended if isinstance(one, Failure)])
        results = {one.task.name: one.result for one in ended if isinstance(one, Done)}
        return [results[task.name] for task in tasks]

    return do_each


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
