"""Tasks, what an executor is, and what is said of tasks that fail."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Generic, Protocol, TypeVar

from stages.program.main import REPORTED, one_line
from storage.errors import DataError

T = TypeVar("T")

N_TRIES: Final = 3
"""How often a task is tried before it counts as failed."""

N_NAMED: Final = 20
"""Failed tasks that an error names at most."""


@dataclass(frozen=True)
class Task(Generic[T]):
    """A call that depends on no other, wherever it is made.

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
    """A task that was tried as often as it may be, and why it failed the last time."""

    task: Task[Any]
    error: BaseException

    def __str__(self) -> str:
        # An error that no user can fix is named with its type.
        kind = "" if isinstance(self.error, REPORTED) else f"{type(self.error).__name__}: "
        return f"{self.task.name}: {kind}{one_line(self.error)}"


class Run(Protocol):
    """An executor: what becomes of each task, as it comes.

    Tasks are taken from the iterable as there is use for them. One that fails is tried again, and
    keeps no other from running.
    """

    def __call__(self, tasks: Iterable[Task[T]], /) -> Iterator[Done[T] | Failure]:
        """Run the tasks."""


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
