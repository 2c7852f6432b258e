"""Tasks, and who runs them: this process, threads of it, or workers of Dask."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Generic, Protocol, TypeVar

from stages.program.main import REPORTED, one_line
from stages.settings.blocks import ExecutorParams
from storage.errors import DataError, listed

T = TypeVar("T")

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
        # An error that no user can fix is named with its type.
        kind = "" if isinstance(self.error, REPORTED) else f"{type(self.error).__name__}: "
        return f"{self.task.name}: {kind}{one_line(self.error)}"


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
    if n_threads == 1:
        yield from map(_ended, tasks)
        return
    # Not joblib's: it warns when ended early.
    pool = ThreadPoolExecutor(n_threads)
    try:
        for future in as_completed([pool.submit(_ended, task) for task in tasks]):
            yield future.result()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)  # nobody waits if the block ends early


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
