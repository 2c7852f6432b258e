"""The shards of a work folder by their marks, and whether their files are as these say."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Final

from storage.errors import StoreError
from storage.files.manifest import FileRecord, record_of
from storage.folders import remove_left
from storage.store.marks import Mark, load_mark

UNDONE: Final = "not done"
CHANGED: Final = "other images"
"""Why shards are computed; any other reason is damage."""

Identity = tuple[int, int, int]
"""Inode, bytes and time of change of a file: a file that is replaced has another one."""


class MarkedShards:
    """Opens no store: a folder that was never begun has none of its shards done."""

    def __init__(self, folder: Path, n_shards: int) -> None:
        self.folder = folder
        self.indices = range(n_shards)
        self._read: dict[Path, tuple[Identity, FileRecord]] = {}

    def fault(
        self, shard: int, images_sha256: str | None = None, *, sizes_only: bool = False
    ) -> str | None:
        """Why a shard has to be computed; None if it is whole, and from these images if given."""
        return self._fault(load_mark(self.folder, shard), images_sha256, sizes_only=sizes_only)

    def lacking(
        self,
        images_sha256: Sequence[str],
        *,
        among: Collection[int] | None = None,
        sizes_only: bool = False,
    ) -> dict[int, str]:
        """Why each shard that has to be computed is: not done, from other images, or damaged.

        Parameters
        ----------
        images_sha256
            Digest of each shard's current images, from
            ``storage.split.objects.images_of_shards``.
        among
            Shards to look at; None looks at all.
        sizes_only
            Read no file: finds what is missing or cut short.
        """
        images = dict(zip(self.indices, images_sha256, strict=True))
        faults = {
            shard: self.fault(shard, images[shard], sizes_only=sizes_only)
            for shard in (self.indices if among is None else sorted(among))
        }
        return {shard: fault for shard, fault in faults.items() if fault is not None}

    def whole(self, images_sha256: Mapping[int, str]) -> list[Mark]:
        """Marks of the shards that are done.

        Raises
        ------
        StoreError
            If one of them is damaged, or not of these images.
        """
        marks = {shard: load_mark(self.folder, shard) for shard in self.indices}
        faults = {s: self._fault(mark, images_sha256.get(s)) for s, mark in marks.items()}
        damaged = {shard: fault for shard, fault in faults.items() if fault not in {None, UNDONE}}
        if damaged:
            raise StoreError(f"{self.folder}: every shard must be intact, got {damaged}")
        return [mark for mark in marks.values() if mark is not None]

    def is_replaced(self) -> bool:
        """Whether a file was replaced since it was compared with its mark."""
        return any(_identity(path) != known for path, (known, _) in self._read.items())

    def kinds(self) -> set[str]:
        """Names of the processors and GPUs that made its shards, or ``UNKNOWN``."""
        marks = [load_mark(self.folder, shard) for shard in self.indices]
        return {kind for mark in marks if mark is not None for kind in mark.kinds}

    def tidy(self) -> None:
        """Remove what dead processes of this machine left half-written."""
        remove_left(self.folder)

    def _fault(
        self, mark: Mark | None, images_sha256: str | None, *, sizes_only: bool = False
    ) -> str | None:
        if mark is None:
            return UNDONE
        if images_sha256 not in {None, mark.images_sha256}:
            return CHANGED
        return self._damage(mark, sizes_only=sizes_only)

    def _damage(self, mark: Mark, *, sizes_only: bool) -> str | None:
        for name, record in mark.files.items():
            path = self.folder / name
            identity = _identity(path)
            if identity is None:
                return f"{name} is missing"
            if sizes_only and identity[1] == record.n_bytes:
                continue
            if (found := self._record(path, identity)) != record:
                return (
                    f"{name} must have {record.n_bytes} bytes with sha256 {record.sha256[:12]}, "
                    f"got {found.n_bytes} with {found.sha256[:12]}"
                )
        return None

    def _record(self, path: Path, identity: Identity) -> FileRecord:
        """Record of a file, which is read once until it is replaced."""
        if path not in self._read or self._read[path][0] != identity:
            self._read[path] = (identity, record_of(path))
        return self._read[path][1]


def _identity(path: Path) -> Identity | None:
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns
