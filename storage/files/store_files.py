"""Reads the files of a store in a folder or at an address."""

import asyncio
import os
from collections.abc import Coroutine, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final, TypeVar

import zarr
from zarr.abc.store import RangeByteRequest, Store
from zarr.buffer import default_buffer_prototype
from zarr.storage import MemoryStore

from storage.errors import StoreError, hidden
from storage.extras import absent
from storage.files.manifest import FileRecord, record_of

T = TypeVar("T")

AWAY: Final = "; if the server was away, run it again"
"""End of the message about an address whose reading failed midway."""

Failures = tuple[type[Exception], ...]


@contextmanager
def named_failures(where: str, failures: Failures, advice: str = "") -> Iterator[None]:
    """Context that turns errors of the types ``failures`` into a ``StoreError``.

    ``FileNotFoundError`` and ``StoreError`` are not changed. ``where`` begins the message,
    ``advice`` ends it.
    """
    try:
        yield
    except (FileNotFoundError, StoreError):
        raise
    except failures as error:
        reason = f"{where} must be readable, got: {_reason(error)}{advice}"
        raise StoreError(hidden(reason)) from error


def _reason(error: BaseException) -> str:
    """First line of the root cause's message, found by ``__cause__``.

    Of a failed clone, DVC's own error says only "SCM error". If a module of an extra is missing,
    the result says how to install the extra. A cause without a message gives the name of its type.
    """
    while error.__cause__ is not None:
        error = error.__cause__
    extra = absent(error.name or "") if isinstance(error, ModuleNotFoundError) else None
    if extra is not None:
        return extra
    return next((line for line in str(error).splitlines() if line), type(error).__name__)


@dataclass(frozen=True)
class Files:
    """The files of one store, read by their names relative to the store.

    Attributes
    ----------
    where
        Path or address, as errors show it: without passwords and tokens.
    target
        A folder, or a Zarr store object that reads an address.
    failures
        Types of the errors of an address that the methods turn into a ``StoreError``. Errors of a
        folder stay ``OSError``.
    """

    where: str
    target: Path | Store
    failures: Failures = ()

    def __str__(self) -> str:
        return self.where

    @property
    def folder(self) -> Path | None:
        """The folder of the files; None for an address."""
        return self.target if isinstance(self.target, Path) else None

    def naming(self) -> AbstractContextManager[None]:
        """Context that turns reading errors into a ``StoreError`` with the path or address."""
        return named_failures(self.where, self.failures, AWAY if "://" in self.where else "")

    def read(self, name: str) -> bytes | None:
        """Read all bytes of a file; None if the file is missing."""
        if isinstance(self.target, Path):
            path = self.target / name
            return path.read_bytes() if path.is_file() else None
        with self.naming():
            data = run_in_zarr_loop(self.target.get(name, default_buffer_prototype()))
        return None if data is None else data.to_bytes()

    def sizes(self, names: Iterable[str]) -> dict[str, int]:
        """Sizes in bytes by file name; missing files are left out."""
        if isinstance(self.target, Path):
            paths = {name: self.target / name for name in names}
            return {name: path.stat().st_size for name, path in paths.items() if path.is_file()}
        with self.naming():
            return run_in_zarr_loop(_sizes(self.target, names))

    def record(self, name: str) -> FileRecord:
        """Measure the size and sha256 of a file; a file in a folder is read in pieces.

        A missing file is a StoreError at an address, an OSError in a folder.
        """
        if isinstance(self.target, Path):
            return record_of(self.target / name)
        data = self.read(name)
        if data is None:
            raise StoreError(f"{self}/{name} must be there, got none")
        return FileRecord.of(data)

    def names(self) -> list[str]:
        """Sorted names of all files of the store."""
        if isinstance(self.target, Path):
            files = (path for path in self.target.rglob("*") if path.is_file())
            return sorted(path.relative_to(self.target).as_posix() for path in files)
        with self.naming():
            return sorted(run_in_zarr_loop(_names(self.target)))


@dataclass(frozen=True)
class FileRange:
    """The bytes ``start`` to ``stop`` (exclusive) of a file in a store."""

    files: Files
    name: str
    start: int
    stop: int

    def __str__(self) -> str:
        return f"{self.files}/{self.name}"


def read_ranges(ranges: Sequence[FileRange]) -> list[bytes | memoryview]:
    """Read the bytes of each range; at addresses, all requests are sent at once.

    A range beyond the end of a file in a folder gives fewer bytes. A missing file is a StoreError
    at an address, an OSError in a folder.
    """
    distant = [span for span in ranges if span.files.folder is None]
    answers = iter(run_in_zarr_loop(_ranges(distant)) if distant else ())
    return [_from_disk(span) if span.files.folder else next(answers) for span in ranges]


def run_in_zarr_loop(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine in zarr's event loop, to which zarr's clients of servers are bound."""
    return asyncio.run_coroutine_threadsafe(coroutine, _event_loop(os.getpid())).result()


@cache
def _event_loop(_process: int) -> asyncio.AbstractEventLoop:
    """Find zarr's event loop, which has no public name, by a store that records who calls it.

    ``_process`` is a key of the cache: a forked process has another loop.
    """
    loops: list[asyncio.AbstractEventLoop] = []

    class LoopStore(MemoryStore):
        async def get(self, *_arguments: Any, **_options: Any) -> None:  # noqa: ANN401 - of any get
            loops.append(asyncio.get_running_loop())

    zarr.create_group(LoopStore())
    return loops[0]


def _from_disk(span: FileRange) -> bytes:
    assert span.files.folder is not None
    with (span.files.folder / span.name).open("rb", buffering=0) as file:
        file.seek(span.start)
        return file.read(span.stop - span.start)


async def _ranges(ranges: Sequence[FileRange]) -> list[bytes | memoryview]:
    async def fetch_range(span: FileRange) -> bytes | memoryview:
        assert not isinstance(span.files.target, Path)
        request = RangeByteRequest(span.start, span.stop)
        with span.files.naming():
            data = await span.files.target.get(span.name, default_buffer_prototype(), request)
        if data is None:
            raise StoreError(f"{span} must be there, got no such file")
        # Not copied: a copy of masks takes a third as long as their transfer.
        return memoryview(data.as_buffer_like())

    return await asyncio.gather(*map(fetch_range, ranges))


async def _sizes(store: Store, names: Iterable[str]) -> dict[str, int]:
    async def size(name: str) -> tuple[str, int | None]:
        try:
            return name, await store.getsize(name)
        except FileNotFoundError:
            return name, None

    sizes = await asyncio.gather(*map(size, names))
    return {name: n_bytes for name, n_bytes in sizes if n_bytes is not None}


async def _names(store: Store) -> list[str]:
    return [name async for name in store.list()]
