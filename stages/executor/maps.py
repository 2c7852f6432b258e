"""Applies a function to many items, by the executor of the settings."""

import os
import pickle
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import lru_cache
from itertools import count
from pathlib import Path
from typing import Any, TypeVar

from pipeline.scoring.tasks import Each
from stages.executor.tasks import Done, Failure, Run, Task, check_all_done, executor_of
from stages.settings.blocks import ExecutorParams
from storage.folders import passing_folder
from storage.paths import WORK

T = TypeVar("T")
R = TypeVar("R")


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


def in_threads(work: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
    """Do the same work for each item, some at once on every core; results come in their order."""
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        yield from pool.map(work, items)


def _do(path: str, item: object) -> Any:  # noqa: ANN401 - what the work gives
    return _work(path)(item)


@lru_cache(maxsize=1)  # read once per process, not once per item
def _work(path: str) -> Callable[[Any], Any]:
    work: Callable[[Any], Any] = pickle.loads(Path(path).read_bytes())  # noqa: S301 - our own
    return work
