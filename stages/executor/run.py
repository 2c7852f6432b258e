"""Runs tasks where the settings say."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from itertools import islice
from typing import Final, TypeVar

from stages.executor.tasks import N_TRIES, Failure, Task, note_failure
from stages.shell.blocks import ExecutorParams
from stages.shell.edge import REPORTED
from stages.shell.parsing import ParamsError
from storage.errors import WeightsError

T = TypeVar("T")

LOOK_S: Final = 5.0
"""Longest time between two looks at how many workers there are."""

LASTING: Final = (ParamsError, WeightsError)
"""What another try on the same machine does not change."""

OnResult = Callable[[Task[T], T], None]
"""What is done with the result of a task: called in the calling thread, as each comes."""


def run_tasks(
    tasks: Iterable[Task[T]],
    params: ExecutorParams,
    on_result: OnResult[T],
    *,
    n_threads: int = 1,
    uses_gpu: bool = False,
) -> list[Failure]:
    """Run all tasks, each until it succeeds, but at most ``N_TRIES`` times.

    Where this process runs them, settings and weights that are wrong are not tried again. A task
    that fails keeps no other from running. Tasks are taken from the iterable as workers have
    use for them.

    Parameters
    ----------
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
    if params.kind == "inline":
        if n_threads == 1:
            return _run_here(tasks, on_result)
        with _threads(n_threads) as pool:
            return run_on(pool, tasks, on_result, n_workers=lambda: n_threads)
    # Imported here because it takes a second, and the default needs none of it.
    from stages.executor.clusters import named_deaths, workers_of  # noqa: PLC0415

    with workers_of(params, uses_gpu=uses_gpu) as workers:
        failures = run_on(workers.pool, tasks, on_result, n_workers=workers.count)
    return [named_deaths(failure) for failure in failures]


def run_on(
    pool: Executor,
    tasks: Iterable[Task[T]],
    on_result: OnResult[T],
    *,
    n_workers: Callable[[], int],
) -> list[Failure]:
    """Run tasks on the workers of a pool, with one more per worker handed over than it runs.

    Parameters
    ----------
    n_workers
        How many there are now; they may come and go, so that it is asked again and again.

    Raises
    ------
    ConnectionError
        If the pool has lost its workers for good.
    """
    failures: list[Failure] = []
    running: dict[Future[T], tuple[Task[T], int]] = {}
    todo = iter(tasks)

    def submit(task: Task[T], tries: int) -> None:
        running[pool.submit(task.run)] = (task, tries)

    while True:
        for task in islice(todo, max(0, 2 * max(1, n_workers()) - len(running))):
            submit(task, 1)
        if not running:
            return failures
        done, _ = wait(running, timeout=LOOK_S, return_when=FIRST_COMPLETED)
        for future in done:
            task, tries = running.pop(future)
            if future.cancelled():
                raise ConnectionError("the scheduler of the workers must stay up, got no answer")
            error = future.exception()
            if error is None:
                on_result(task, future.result())
            elif tries == N_TRIES:
                failures.append(Failure(task, error))
            else:
                note_failure(Failure(task, error), tries)
                submit(task, tries + 1)


def _run_here(tasks: Iterable[Task[T]], on_result: OnResult[T]) -> list[Failure]:
    failures = []
    for task in tasks:
        for tries in range(1, N_TRIES + 1):
            try:
                result = task.run()
            except REPORTED as error:  # any other is a bug: its traceback says more than 3 tries
                if tries == N_TRIES or isinstance(error, LASTING):
                    failures.append(Failure(task, error))
                    break
                note_failure(Failure(task, error), tries)
            else:
                on_result(task, result)
                break
    return failures


@contextmanager
def _threads(n: int) -> Iterator[ThreadPoolExecutor]:
    """Threads that nobody waits for if the block ends early."""
    pool = ThreadPoolExecutor(n)
    try:
        yield pool
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
