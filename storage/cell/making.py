"""A cell in the making: its work folder, resumed after an interruption, published when complete."""

import os
import weakref
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final

import numpy as np
from jaxtyping import Int64

from storage.cell import pieces, shards
from storage.cell.publishing import publish_store
from storage.cell.records import drop_records, keep_records, load_records, shard_damage
from storage.cell.seeding import damaged_shards, seed_shard
from storage.cell.work import PUBLISHED, Unfinished, find_unfinished, lock_folder, remove_partial
from storage.errors import StoreError
from storage.files.manifest import FileRecord
from storage.folders import named_disk_errors, whole_folder
from storage.store.arrays import read_arrays, sizes_of
from storage.store.inspection import Store, check_identity, open_store
from storage.store.signature import digest
from storage.store.writing import check_names, create_store, full_signature

MAX_SWEPT: Final = 10
"""Attempts to lock a work folder that vanishes; sweeps are rare, so more than this is no sweep."""


@dataclass(frozen=True, eq=False)
class CellPlan:
    """What a cell will hold.

    Attributes
    ----------
    object_id
        Ids of the split's objects, in its order.
    n_channels
        Width of a token.
    mask_size_px
        Side of the low-resolution masks; None keeps no masks.
    shard_objects
        Objects that are written and marked done together.
    """

    prompts: tuple[str, ...]
    object_id: Int64[np.ndarray, " object"]
    n_channels: int
    mask_size_px: int | None
    shard_objects: int

    def sizes(self, kind: str) -> dict[str, int]:
        """Sizes of the dimensions without coordinates."""
        if kind == "features":
            return {"channel": self.n_channels}
        assert self.mask_size_px is not None
        return {"y": self.mask_size_px, "x": self.mask_size_px}


class Cell:
    """The stores of a cell in the making, locked for one process until closed.

    A shard is marked only while its data are whole and come from the images whose digest is beside
    the mark: the mark is removed before the data change, and set once they are on disk.

    Attributes
    ----------
    damaged
        What is wrong with finished shards whose files are not as they were written.
    """

    def __init__(self, folder: Path, stores: Mapping[str, Store], lock: int) -> None:
        self.folder = folder
        self._stores = stores
        done = set(range(self._n_shards)) - self._lacking()
        faults = {shard: shard_damage(folder, shard) for shard in sorted(done)}
        self.damaged = {shard: fault for shard, fault in faults.items() if fault is not None}
        # Released on garbage collection too; otherwise the lock blocks the next cell.
        self._release = weakref.finalize(self, os.close, lock)

    @classmethod
    def open(cls, work_root: Path, signature: Mapping[str, object], plan: CellPlan) -> "Cell":
        """Open the work folder of this signature below ``work_root``, or begin one.

        Raises
        ------
        StoreError
            If another process is working on it, what it holds is damaged or of another plan, or the
            folder keeps vanishing.
        """
        wanted = full_signature(signature, plan.shard_objects)
        folder = work_root / digest(wanted)
        lock = _made_and_locked(folder)
        try:
            # No longer marked published: a sweep would remove what is computed from here on.
            (folder / PUBLISHED).unlink(missing_ok=True)
            remove_partial(folder)
            kinds = ("features",) if plan.mask_size_px is None else ("features", "masks")
            stores = {kind: _open_or_create(folder, kind, wanted, plan) for kind in kinds}
            return cls(folder, stores, lock)
        except BaseException:
            os.close(lock)
            raise

    def close(self) -> None:
        """Release the lock."""
        self._release()

    def __enter__(self) -> "Cell":  # noqa: PYI034 - beartype refuses Self here
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def signature(self) -> Mapping[str, object]:
        """What the rows of the cell depend on."""
        return self._stores["features"].signature

    @property
    def unfinished(self) -> tuple[Unfinished, ...]:
        """Work on this cell under other settings, begun but never published."""
        return find_unfinished(self.folder, self._stores["features"].signature)

    def pending(self, images_sha256: Sequence[str]) -> list[int]:
        """Shards to extract: not done, done from other images, damaged or missing a file.

        Parameters
        ----------
        images_sha256
            Digest of each shard's current images, from
            ``storage.split.objects.images_of_shards``.
        """
        stored = shards.shard_images(self._stores["features"])
        changed = {
            shard
            for shard, (old, new) in enumerate(zip(stored, images_sha256, strict=True))
            if old != new
        }
        return sorted(changed | self._lacking() | self.damaged.keys())

    def adopt(self, published: Mapping[str, Path]) -> dict[int, str]:
        """Take the intact shards of the cell's published stores that are lacking here.

        Returns
        -------
        What is wrong with each of the others.

        Raises
        ------
        StoreError
            If a store was written under other inputs: its shards cannot stand beside new ones.
        """
        check_names(f"stores of {self.folder}", published, set(self._stores))
        try:
            stores = {kind: open_store(path) for kind, path in published.items()}
            faults = [damaged_shards(store) for store in stores.values()]
        except StoreError as error:
            return dict.fromkeys(range(self._n_shards), str(error))
        for kind, store in stores.items():
            check_identity(store, kind, self._stores[kind].signature)
        damaged = {shard: text for found in reversed(faults) for shard, text in found.items()}
        for shard in sorted(self._lacking() - damaged.keys()):
            seed_shard(self._stores, stores, shard)
        return damaged

    def write_shard(self, shard: int, rows: Mapping[str, np.ndarray], images_sha256: str) -> None:
        """Write all rows of a shard, then its marks, and drop the pieces kept for it.

        Parameters
        ----------
        rows
            Every array of the stores that has an object dimension, by name.

        Raises
        ------
        StoreError
            If an array is missing, unexpected, or of another dtype or shape than planned.
        OSError
            If the disk is full (the message names the folder); finished shards stay.
        """
        stores = [self._stores[kind] for kind in ("masks", "features") if kind in self._stores]
        names = {name for store in stores for name in shards.data_names(store)}
        check_names(f"rows of shard {shard}", rows, names)
        checked = [shards.checked_rows(store, shard, rows) for store in stores]
        with named_disk_errors(self.folder):
            for store in reversed(stores):  # the mark of features first: it is the one that counts
                shards.clear(store, shard)
            drop_records(self.folder, shard)
            for store, data in zip(stores, checked, strict=True):
                shards.write_data(store, shard, data)
            files = [file for store in stores for file in shards.data_files(store, shard)]
            keep_records(self.folder, shard, files)
            for store in stores:
                shards.mark(store, shard, images_sha256)
        self.damaged.pop(shard, None)
        pieces.drop_pieces(self._pieces, shard)

    def keep_piece(
        self, shard: int, image_index: int, rows: Mapping[str, np.ndarray], *, image_sha256: str
    ) -> None:
        """Keep the rows of one image while its shard cannot be written yet."""
        pieces.keep_piece(self._pieces, shard, image_index, rows, image_sha256=image_sha256)

    def load_piece(
        self, shard: int, image_index: int, *, image_sha256: str
    ) -> dict[str, np.ndarray] | None:
        """Rows that an earlier run kept for this image, if the image is unchanged."""
        return pieces.load_piece(self._pieces, shard, image_index, image_sha256=image_sha256)

    def publish(self, features_path: Path, masks_path: Path | None = None) -> None:
        """Make the finished stores appear at their paths, each whole or not at all.

        The work folder stays until another cell sweeps it (``storage.cell.work.sweep``): DVC takes
        minutes to record an output, and deletes an unrecorded one when it runs the stage again.

        Raises
        ------
        StoreError
            If a shard is not done, or is damaged.
        """
        if self.damaged:
            raise StoreError(f"{self.folder}: every shard must be intact, got {self.damaged}")
        targets = {"features": features_path} | ({"masks": masks_path} if masks_path else {})
        check_names(f"targets of {self.folder}", targets, set(self._stores))
        for kind, target in targets.items():
            publish_store(self._stores[kind], target, self._records(kind))
        (self.folder / PUBLISHED).touch()

    def _lacking(self) -> set[int]:
        """Shards without a mark or a file in one of the stores."""
        return set().union(*map(shards.lacking_shards, self._stores.values()))

    def _records(self, kind: str) -> dict[str, FileRecord]:
        """Records of all files of a store's shards, by their names in the store."""
        found = [load_records(self.folder, shard) or {} for shard in range(self._n_shards)]
        prefix = f"{kind}.zarr/"
        return {
            name.removeprefix(prefix): record
            for records in found
            for name, record in records.items()
            if name.startswith(prefix)
        }

    @property
    def _n_shards(self) -> int:
        return len(shards.shard_images(self._stores["features"]))

    @property
    def _pieces(self) -> Path:
        return self.folder / "pieces"


def _made_and_locked(folder: Path) -> int:
    for _ in range(MAX_SWEPT):
        folder.mkdir(parents=True, exist_ok=True)
        # A sweep may remove the folder before it is locked.
        with suppress(FileNotFoundError):
            return lock_folder(folder)
    raise StoreError(f"{folder} must stay while it is locked, got it removed {MAX_SWEPT} times")


def _open_or_create(
    folder: Path, kind: str, signature: Mapping[str, object], plan: CellPlan
) -> Store:
    path = folder / f"{kind}.zarr"
    sizes = plan.sizes(kind)
    if not path.exists():
        with whole_folder(path) as partial:
            create_store(
                partial,
                kind,
                sizes,
                signature=signature,
                coords={"object_id": plan.object_id, "prompt": plan.prompts},
                shard_objects=plan.shard_objects,
                layout="work",
            )
    store = open_store(path, mode="r+")
    check_identity(store, kind, signature)
    found = sizes_of(store, read_arrays(store))
    wanted = {"object": len(plan.object_id), "prompt": len(plan.prompts), **sizes}
    if {dim: found[dim] for dim in wanted} != wanted:
        raise StoreError(f"{path} must have the sizes {wanted}, got {found}")
    return store
