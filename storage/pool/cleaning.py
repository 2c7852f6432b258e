"""Removes shards from the pool that were published and that no current cell uses."""

import json
import shutil
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from storage.folders import begun_files
from storage.paths import POOL
from storage.pool.cell import FEATURES, MASKS, names_in
from storage.pool.publishing import PUBLISHED


@dataclass
class Cleaned:
    """What cleaning removed and kept.

    Attributes
    ----------
    n_shards
        Shards that were removed.
    n_bytes
        Bytes freed: a file that a store or DVC's cache also links still takes space.
    unpublished
        Shards that no current cell uses and that were never published, by their folder.
    """

    n_shards: int = 0
    n_bytes: int = 0
    unpublished: dict[Path, int] = field(default_factory=dict)


def clean(asked: Mapping[Path, Collection[str]], pool: Path = POOL) -> Cleaned:
    """Remove published shards, except some; also masks whose features are not there.

    Parameters
    ----------
    asked
        Names of the shards that present cells ask for, by their folder.
    """
    cleaned = Cleaned()
    for folder in sorted(path for path in pool.glob("*") if path.is_dir()):
        begun = {name.removesuffix(FEATURES) for name in begun_files(folder)}
        there, published = names_in(folder), _published(folder)
        free = there - {*asked.get(folder, ())}
        gone = free & published
        for file in sorted(folder.iterdir()):
            name = file.name.partition(".")[0]
            if file.suffix in {FEATURES, MASKS} and (name in gone or name not in there | begun):
                cleaned.n_bytes += _remove(file)
        cleaned.n_shards += len(gone)
        if free - gone:
            cleaned.unpublished[folder] = len(free - gone)
        if not names_in(folder) | begun:
            shutil.rmtree(folder, ignore_errors=True)
    return cleaned


def _published(folder: Path) -> set[str]:
    """Names of a folder's published shards, without those of a damaged list."""
    found: set[str] = set()
    for path in folder.glob(f"{PUBLISHED}/*.json"):
        with suppress(ValueError):
            found.update(json.loads(path.read_bytes()))
    return found


def _remove(file: Path) -> int:
    """Remove a file; bytes that this frees."""
    known = file.stat()
    file.unlink()
    return known.st_size if known.st_nlink == 1 else 0
