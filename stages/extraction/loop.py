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
"""Images that are read before the model needs them, besides those that readers are at."""

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
    """What the loop strings together; the steps know where things are, the loop does not."""

    def read(self, piece: Piece) -> T | Failure:
        """Read a piece's image; called from several threads."""

    def compute(self, piece: Piece, given: T) -> Rows:
        """Run the model on what was read."""

    def recall(self, shard: Shard, piece: Piece) -> Rows | None:
        """Rows of the piece that an earlier run kept because its shard failed, if any."""

    def keep(self, shard: Shard, piece: Piece, rows: Rows) -> None:
        """Keep the rows of a piece whose shard has failed."""

    def write(self, shard: Shard, rows: Rows) -> None:
        """Write a whole shard; called from a single other thread."""


_Read = tuple[Shard, Piece, Rows | None, T | Failure | None]
"""A piece under way: rows from an earlier run, or what its image gave."""


def run_shards(
    shards: Iterable[Shard], steps: Steps[T], advance: Callable[[int], None]
) -> tuple[Failure, ...]:
    """Extract the shards. One with a failed image is not written, but its other images are kept.

    Parameters
    ----------
    shards
        Taken one by one, shortly before the images of each are read.
    advance
        Called with how many more objects are done.

    Returns
    -------
    The failures, in the order of the plan.
    """
    failures: list[Failure] = []
    # However the block ends, it waits for the shard that is being written.
    with _readers() as readers, ThreadPoolExecutor(1) as writer:
        todo = ((shard, piece) for shard in shards for piece in shard.pieces)
        read = ahead(readers, lambda job: _read(steps, *job), todo, n=N_AHEAD)
        written: Future[None] | None = None
        for shard, pieces in groupby(read, key=lambda piece: piece[0]):
            done: list[tuple[Piece, Rows]] = []
            failed = _compute(steps, pieces, advance, done)
            failures.extend(failed)
            if written is not None:
                written.result()  # one shard in flight: memory stays flat, errors surface
            finish = _keep_all if failed else _write_all
            written = writer.submit(finish, steps, shard, done)
        if written is not None:
            written.result()
    return tuple(failures)


@contextmanager
def _readers() -> Iterator[ThreadPoolExecutor]:
    """Threads that, when the block ends, finish the images they are at and begin no other."""
    pool = ThreadPoolExecutor(N_READERS)
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def _compute(
    steps: Steps[T],
    pieces: Iterable[_Read[T]],
    advance: Callable[[int], None],
    done: list[tuple[Piece, Rows]],
) -> list[Failure]:
    """Add the rows of a shard's images to ``done``; return the images that failed."""
    failed: list[Failure] = []
    for _, piece, rows, given in pieces:
        if isinstance(given, Failure):
            failed.append(given)
            continue
        if rows is None:
            assert given is not None  # no rows were kept, so the image was read
            done.append((piece, steps.compute(piece, given)))
        else:
            done.append((piece, rows))
        advance(piece.stop - piece.start)
    return failed


def _read(steps: Steps[T], shard: Shard, piece: Piece) -> _Read[T]:
    kept = steps.recall(shard, piece)
    return shard, piece, kept, steps.read(piece) if kept is None else None


def _write_all(steps: Steps[T], shard: Shard, done: list[tuple[Piece, Rows]]) -> None:
    names = done[0][1]
    steps.write(shard, {n: np.concatenate([rows[n] for _, rows in done]) for n in names})


def _keep_all(steps: Steps[T], shard: Shard, done: list[tuple[Piece, Rows]]) -> None:
    for piece, rows in done:
        steps.keep(shard, piece, rows)


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
