"""Runs tasks where the settings say: here, in threads, or on workers of Dask."""

import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from contextlib import contextmanager
from functools import partial
from itertools import islice
from typing import Final, TypeVar

from stages.executor.tasks import N_TRIES, Done, Failure, Run, Task
from stages.program.main import REPORTED
from stages.settings.blocks import ExecutorParams
from stages.settings.parsing import ParamsError
from storage.errors import WeightsError

T = TypeVar("T")

LASTING: Final = (ParamsError, WeightsError)
"""What another try on the same machine does not change."""


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
    # Imported here because it takes a second, and the default needs none of it.
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
    # Not joblib's: where it ends early it warns, and it takes tasks though nobody takes results.
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
