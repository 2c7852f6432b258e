"""Tasks, and the executor that runs them in this process or in its threads."""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

from stages.program.main import REPORTED, one_line
from storage.errors import DataError, listed

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
