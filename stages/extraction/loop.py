"""The loop of an extraction: reading ahead and writing behind overlap with the models."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from typing import Final, Protocol, TypeVar, runtime_checkable

import numpy as np

from pipeline.extraction.plan import Piece, Shard
from pipeline.extraction.predictions import Rows

N_READERS: Final = 2
N_AHEAD: Final = 2
"""Images read ahead of the model, besides those being read."""

T = TypeVar("T")
J = TypeVar("J")
R = TypeVar("R")


@dataclass(frozen=True)
class Failure:
    """An image that could not be extracted, and why."""

    piece: Piece
    reason: str


@runtime_checkable
class Steps(Protocol[T]):
    """The steps that the loop calls; only they know where things are stored."""

    def read(self, piece: Piece) -> T | Failure:
        """Read a piece's image; called from several threads."""

    def compute(self, piece: Piece, given: T) -> Rows:
        """Run the model on what was read."""

    def write(self, shard: Shard, rows: Rows) -> None:
        """Write a whole shard; called from a single other thread."""


def run_shards(
    shards: Iterable[Shard], steps: Steps[T], advance: Callable[[int], None]
) -> tuple[Failure, ...]:
    """Extract the shards; one with a failed image is not written.

    Parameters
    ----------
    shards
        Taken one by one, shortly before the images of each are read.
    advance
        Called with how many more objects are done.

    Returns
    -------
    The failures, in the order of the shards.
    """
    failures: list[Failure] = []
    # However the block ends, it waits for the shard that is being written.
    with _readers() as readers, ThreadPoolExecutor(1) as writer:
        todo = ((shard, piece) for shard in shards for piece in shard.pieces)
        read = ahead(readers, lambda job: (*job, steps.read(job[1])), todo, n=N_AHEAD)
        written: Future[None] | None = None
        for shard, pieces in groupby(read, key=lambda piece: piece[0]):
            rows: list[Rows] = []
            failed: list[Failure] = []
            for _, piece, given in pieces:
                if isinstance(given, Failure):
                    failed.append(given)
                elif not failed:
                    rows.append(steps.compute(piece, given))
                    advance(piece.stop - piece.start)
            failures.extend(failed)
            if written is not None:
                written.result()  # one shard in flight: memory stays flat, errors surface
            written = None if failed else writer.submit(_write, steps, shard, rows)
        if written is not None:
            written.result()
    return tuple(failures)


@contextmanager
def _readers() -> Iterator[ThreadPoolExecutor]:
    """Threads that finish their current images when the block ends, and begin no others."""
    pool = ThreadPoolExecutor(N_READERS)
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def _write(steps: Steps[T], shard: Shard, rows: list[Rows]) -> None:
    steps.write(shard, {name: np.concatenate([part[name] for part in rows]) for name in rows[0]})


def ahead(
    pool: ThreadPoolExecutor, work: Callable[[J], R], jobs: Iterable[J], *, n: int
) -> Iterator[R]:
    """Results of ``work`` in the order of the jobs, up to ``n`` of them begun in advance."""
    begun: deque[Future[R]] = deque()
    for job in jobs:
        begun.append(pool.submit(work, job))
        if len(begun) > n:
            yield begun.popleft().result()
    while begun:
        yield begun.popleft().result()
