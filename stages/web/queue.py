"""One queue for the model: all who ask wait their turn, and who leaves makes room."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Final, TypeVar

T = TypeVar("T")

MOST_WAITING: Final = 200


class QueueFullError(RuntimeError):
    """Too many are waiting."""


class ModelQueue:
    """Jobs that run one after the other, in a thread of their own."""

    def __init__(self, *, most_waiting: int = MOST_WAITING) -> None:
        self._most_waiting = most_waiting
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="model")
        self._jobs: dict[Future[Any], str] = {}

    def __len__(self) -> int:
        return len(self._jobs)

    def ahead(self, ticket: str) -> int:
        """Number of jobs before the first one of a ticket; of all, if it has none."""
        tickets = list(self._jobs.values())
        return tickets.index(ticket) if ticket in tickets else len(tickets)

    async def run(self, job: Callable[[], T], ticket: str = "") -> T:
        """What a job returns, once its turn has come.

        Cancelled while it waits, the job never runs; while it runs, its result is dropped.

        Raises
        ------
        QueueFullError
            If too many jobs are waiting.
        """
        if len(self) >= self._most_waiting:
            raise QueueFullError(
                f"queue must be shorter than {self._most_waiting} requests, got {len(self)}"
            )
        future = self._thread.submit(job)
        self._jobs[future] = ticket
        # Called at once if the job is done already.
        future.add_done_callback(lambda done: self._jobs.pop(done, None))
        return await asyncio.wrap_future(future)

    def close(self) -> None:
        """Drop the jobs that wait; the one that runs comes to its end."""
        self._thread.shutdown(wait=True, cancel_futures=True)
