"""Work folders, where cells are made: one folder per signature."""

import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from storage.cell.rates import keep_rates
from storage.cell.recorded import is_recorded, recorded_listings
from storage.errors import StoreError
from storage.paths import features_path, masks_path
from storage.store.inspection import open_store
from storage.store.marks import FOLDER
from storage.store.signature import compare

PUBLISHED: Final = "published"
"""Marker file of a work folder whose stores are published."""


@dataclass(frozen=True)
class Unfinished:
    """Work on the same cell under other settings, and how they differ."""

    path: Path
    difference: str

    def __str__(self) -> str:
        return f"unfinished work under other settings is kept in {self.path} ({self.difference})"


def is_work_folder(folder: Path) -> bool:
    """Whether a cell is, or was, made in a folder."""
    return (folder / FOLDER).is_dir()


def find_unfinished(folder: Path, signature: Mapping[str, object]) -> tuple[Unfinished, ...]:
    """Unpublished work beside a work folder, and how its settings differ from ``signature``."""
    found = []
    for other in sorted(folder.parent.iterdir()):
        store_path = other / "features.zarr"
        if other == folder or (other / PUBLISHED).exists() or not store_path.exists():
            continue
        try:
            difference = compare(open_store(store_path).signature, signature)
        except StoreError as error:
            difference = str(error)
        found.append(Unfinished(other, difference or "settings that no longer exist"))
    return tuple(found)


def sweep(work: Path, *, keep: Path) -> list[Path]:
    """Remove published work that DVC has, of all cells but one; how fast it was made is kept.

    Until DVC has an output, it deletes it when it runs the stage again, which then publishes from
    the work folder at once.

    Parameters
    ----------
    work
        Folder of all cells, ``cache/work``.
    keep
        Folder of the cell about to be worked on, ``cache/work/<split>/<model>/<view>``:
        if its output was lost before DVC recorded it, it is published again from there.

    Returns
    -------
    The folders removed. Unfinished work stays, and so does what cannot be removed.
    """
    removed = []
    listings = recorded_listings()
    for marker in sorted(work.glob(f"*/*/*/*/{PUBLISHED}")):
        folder = marker.parent
        if folder.parent == keep or not _is_recorded(folder, listings):
            continue
        with suppress(OSError):  # a full disk, which what follows may mend
            keep_rates(folder, work)
        # Another cell, perhaps on another node, may be sweeping too, or the folder may belong to
        # another user: no reason for this cell to fail.
        with suppress(OSError):
            # Renamed first: a half-removed folder would pass for unfinished work.
            folder.rename(folder.with_name(f".{folder.name}.removed"))
            removed.append(folder)
    for gone in work.glob("*/*/*/.*.removed"):
        shutil.rmtree(gone, ignore_errors=True)
    return removed


def _is_recorded(folder: Path, listings: dict[str, str]) -> bool:
    """Whether DVC has the outputs that were published from a work folder."""
    cell = folder.parts[-4:-1]
    outputs = {"features": features_path(*cell), "masks": masks_path(*cell)}
    published = [path for kind, path in outputs.items() if (folder / f"{kind}.zarr").exists()]
    return all(is_recorded(path, listings) for path in published)
