"""Tasks, what becomes of them, and what an executor is."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

from stages.program.main import REPORTED, one_line
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
