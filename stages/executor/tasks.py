"""Tasks, and who runs them: this process, threads of it, or workers of Dask."""

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any, Final, Generic, Protocol, TypeVar

from stages.program.main import REPORTED, one_line
from stages.settings.blocks import ExecutorParams
from stages.settings.parsing import ParamsError
from storage.errors import DataError, WeightsError

T = TypeVar("T")

N_TRIES: Final = 3
"""How often a task is tried before it counts as failed."""

LASTING: Final = (ParamsError, WeightsError)
"""Errors that another try on the same machine would repeat."""

N_NAMED: Final = 20
"""Failed tasks that an error names at most."""


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
    """A task that failed on every try, and its last error."""

    task: Task[Any]
    error: BaseException

    def __str__(self) -> str:
        # An error that no user can fix is named with its type.
        kind = "" if isinstance(self.error, REPORTED) else f"{type(self.error).__name__}: "
        return f"{self.task.name}: {kind}{one_line(self.error)}"


class Run(Protocol):
    """An executor: yields the outcome of each task as it arrives.

    Tasks are taken from the iterable as there is use for them. One that fails is tried again, and
    keeps no other from running.
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
    """Run all tasks, each until it succeeds, but at most ``N_TRIES`` times.

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
    The tasks that failed each time.

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

    Settings and weights that are wrong are not tried again; an error that no user can fix ends all.
    """
    if n_threads == 1:
        yield from map(_tried, tasks)
        return
    # Not joblib's: it warns when ended early, and takes tasks though nobody collects results.
    pool, todo = ThreadPoolExecutor(n_threads), iter(tasks)
    try:
        running = {pool.submit(_tried, task) for task in islice(todo, 2 * n_threads)}
        while running:
            ended, running = wait(running, return_when=FIRST_COMPLETED)
            yield from (future.result() for future in ended)
            running |= {pool.submit(_tried, task) for task in islice(todo, len(ended))}
    finally:
        pool.shutdown(wait=False, cancel_futures=True)  # nobody waits if the block ends early


def _tried(task: Task[T]) -> Done[T] | Failure:
    for tries in range(1, N_TRIES + 1):
        try:
            return Done(task, task.run())
        except REPORTED as error:  # any other is a bug: its traceback says more than 3 tries
            failure = Failure(task, error)
            if isinstance(error, LASTING):
                break
            if tries < N_TRIES:
                print(f"note: try {tries} of {N_TRIES} of {failure}", file=sys.stderr)
    return failure


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
    named = "; ".join(map(str, failures[:N_NAMED]))
    more = f"; and {len(failures) - N_NAMED} more" if len(failures) > N_NAMED else ""
    raise DataError(
        f"every task must succeed within {N_TRIES} tries, got {len(failures)} that did not "
        f"({named}{more})"
    )
