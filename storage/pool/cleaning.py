"""Finds and removes files of the pool that no cell needs."""

import json
import shutil
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from storage.folders import begun_files
from storage.paths import POOL
from storage.pool.cell import LEVEL, MASKS, NPZ, SETTINGS, names_in

DESCRIBED: Final = ("family", "model", "view", "precision", "device")
"""Keys of the settings that describe the shards of a folder to the user."""


@dataclass(frozen=True)
class Removable:
    """Files in one folder of the pool that may be removed.

    Attributes
    ----------
    n_unused
        Number of shards that no cell of the current settings uses. If settings change back, they
        are computed again.
    files
        Files of these shards, and files of masks or levels without an ``.npz`` file, which a killed
        process left.
    """

    folder: Path
    n_unused: int
    files: tuple[Path, ...]

    @property
    def n_bytes(self) -> int:
        """Bytes that removing frees: files that a store or DVC's cache links, too, free none."""
        sizes = [file.stat() for file in self.files]
        return sum(size.st_size for size in sizes if size.st_nlink == 1)

    @property
    def description(self) -> str:
        """Text for messages: the settings ``DESCRIBED`` of the shards, and their folder."""
        with suppress(OSError, ValueError, RecursionError, AttributeError):
            settings = json.loads((self.folder / SETTINGS).read_bytes())
            words = [str(settings[key]) for key in DESCRIBED if key in settings]
            return f"{' '.join(words)} in {self.folder}"
        return str(self.folder)


def find_removable(used: Mapping[Path, Collection[str]], pool: Path = POOL) -> list[Removable]:
    """Find files of the pool that may go, by folder.

    These are shards that no cell uses, and files of masks or levels without an ``.npz`` file.
    Shards that are being written stay. A folder in which nothing is left is listed, too, without
    files. ``used`` has the names of the shards of the cells in the settings, by folder in the pool.
    """
    removable = []
    for folder in sorted(path for path in pool.glob("*") if path.is_dir()):
        begun = {name.removesuffix(NPZ) for name in begun_files(folder)}
        present = names_in(folder)
        unused = present - {*used.get(folder, ())}
        staying = (present - unused) | (begun - present)
        files = tuple(
            file
            for file in sorted(folder.rglob("*"), key=lambda path: (path.suffix != NPZ, path))
            if file.suffix in {NPZ, MASKS, LEVEL} and file.name.partition(".")[0] not in staying
        )
        if files or not (present or begun):
            removable.append(Removable(folder, len(unused), files))
    return removable


def remove(folders: Iterable[Removable]) -> None:
    """Remove the files, ``.npz`` files first, and the folders in which no shard is left."""
    for removable in folders:
        for file in removable.files:
            file.unlink(missing_ok=True)
        if not begun_files(removable.folder) | names_in(removable.folder):
            shutil.rmtree(removable.folder, ignore_errors=True)
