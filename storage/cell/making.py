"""A cell in the making: its work folder, resumed after an interruption, published when complete.

Any number of processes on any hosts may be at it, without a lock.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from jaxtyping import Int64

from storage.cell import pieces, shards
from storage.cell.marked import MarkedShards
from storage.cell.publishing import publish_store
from storage.cell.seeding import damaged_shards, seed_shard
from storage.cell.work import PUBLISHED, Unfinished, find_unfinished
from storage.errors import StoreError
from storage.files.manifest import FileRecord
from storage.folders import first_folder, put_files
from storage.store.arrays import check_same_images, read_arrays, read_images, sizes_of
from storage.store.inspection import Store, check_identity, open_store
from storage.store.marks import FOLDER, Mark, Receipt, put_mark
from storage.store.signature import digest, in_full
from storage.store.writing import check_names, create_store, full_signature

MAX_REPLACED: Final = 10
"""Attempts to publish a cell to which others write: as a rule the same bytes, once."""


class _ReplacedError(Exception):
    """A file was replaced after it was compared with its mark."""


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
    """The stores of a cell in the making.

    A shard is whole while its files are as its mark records them: data and mark appear whole, data
    first, and a shard that is whole is never written again.
    """

    def __init__(self, stores: Mapping[str, Store], marked: MarkedShards) -> None:
        self.folder = marked.folder
        self.marked = marked
        self._stores = stores

    @classmethod
    def open(
        cls,
        work_root: Path,
        signature: Mapping[str, object],
        plan: CellPlan,
        marked: MarkedShards | None = None,
    ) -> "Cell":
        """Open the work folder of this signature below ``work_root``, or begin one.

        Parameters
        ----------
        marked
            Its shards as known already: files that they have read are not read again.

        Raises
        ------
        StoreError
            If what it holds is damaged or of another plan.
        """
        wanted = full_signature(signature, plan.shard_objects)
        marked = marked or marked_shards(
            work_root, signature, plan.shard_objects, len(plan.object_id)
        )
        (marked.folder / FOLDER).mkdir(parents=True, exist_ok=True)
        kinds = ("features",) if plan.mask_size_px is None else ("features", "masks")
        stores = {kind: _open_or_create(marked.folder, kind, wanted, plan) for kind in kinds}
        return cls(stores, marked)

    @property
    def signature(self) -> Mapping[str, object]:
        """What the rows of the cell depend on."""
        return self._stores["features"].signature

    @property
    def unfinished(self) -> tuple[Unfinished, ...]:
        """Work on this cell under other settings, begun but never published."""
        return find_unfinished(self.folder, in_full(self._stores["features"].signature))

    def lacking(self, images_sha256: Sequence[str]) -> dict[int, str]:
        """Why each shard that has to be computed is, see ``MarkedShards.lacking``."""
        return self.marked.lacking(images_sha256)

    def begin(self) -> None:
        """Say that there is work in the folder which is not published: no sweep may remove it."""
        (self.folder / PUBLISHED).unlink(missing_ok=True)

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
            if "masks" in stores:
                check_same_images(stores["masks"], read_images(stores["features"]))
        except StoreError as error:
            return dict.fromkeys(self.marked.indices, str(error))
        for kind, store in stores.items():
            check_identity(store, kind, in_full(self._stores[kind].signature))
        damaged = {shard: text for found in reversed(faults) for shard, text in found.items()}
        for shard in self.marked.indices:
            if shard not in damaged and self.marked.fault(shard) is not None:
                seed_shard(self._stores, stores, shard)
        return damaged

    def write_shard(
        self,
        shard: int,
        rows: Mapping[str, np.ndarray],
        images_sha256: str,
        receipt: Receipt | None = None,
    ) -> None:
        """Write all rows of a shard, then its mark, and drop the pieces kept for it.

        Nothing is written where another process has done the shard meanwhile.

        Parameters
        ----------
        rows
            Every array of the stores that has an object dimension, by name.

        Raises
        ------
        StoreError
            If an array is missing, unexpected, or of another dtype or shape than planned.
        OSError
            If the disk is full (the message names the file); finished shards stay.
        """
        stores = self._stores.values()
        names = {name for store in stores for name in shards.data_names(store)}
        check_names(f"rows of shard {shard}", rows, names)
        checked = [(store, shards.checked_rows(store, shard, rows)) for store in stores]
        if self.marked.fault(shard, images_sha256) is not None:
            self.begin()
            files: dict[Path, bytes] = {}
            for store, data in checked:
                files |= shards.encoded(store, shard, data)
            put_files(files)
            records = {
                path.relative_to(self.folder).as_posix(): FileRecord.of(data)
                for path, data in files.items()
            }
            put_mark(self.folder, shard, Mark(images_sha256, records, receipt))
        pieces.drop_pieces(self._pieces, shard)

    def keep_piece(
        self, shard: int, image_index: int, rows: Mapping[str, np.ndarray], *, origin: str
    ) -> None:
        """Keep the rows of one image while its shard cannot be written yet.

        Parameters
        ----------
        origin
            What they were computed from, and on what.
        """
        self.begin()
        pieces.keep_piece(self._pieces, shard, image_index, rows, origin=origin)

    def load_piece(
        self, shard: int, image_index: int, *, origin: str
    ) -> dict[str, np.ndarray] | None:
        """Rows that an earlier run kept for this image, if they are of this origin."""
        return pieces.load_piece(self._pieces, shard, image_index, origin=origin)

    def publish(
        self,
        features_path: Path,
        masks_path: Path | None = None,
        *,
        images_sha256: Sequence[str] | None = None,
    ) -> None:
        """Make the finished stores appear at their paths, each whole or not at all.

        The work folder stays until another cell sweeps it (``storage.cell.work.sweep``): DVC takes
        minutes to record an output, and deletes an unrecorded one when it runs the stage again.

        Parameters
        ----------
        images_sha256
            Digest of each shard's current images; by default, any will do.

        Raises
        ------
        StoreError
            If a shard is not done, is damaged or of other images, or is replaced meanwhile.
        """
        targets = {"features": features_path} | ({"masks": masks_path} if masks_path else {})
        check_names(f"targets of {self.folder}", targets, set(self._stores))
        for _ in range(MAX_REPLACED):
            try:
                marks = self.marked.whole(dict(enumerate(images_sha256 or [])))
                for kind, target in targets.items():
                    publish_store(self._stores[kind], target, marks, self._check_unchanged)
            except _ReplacedError:
                continue
            put_files({self.folder / PUBLISHED: b""})
            return
        raise StoreError(
            f"{self.folder}: files must stay as they are while the cell is published, got some "
            f"replaced {MAX_REPLACED} times by another process"
        )

    def _check_unchanged(self) -> None:
        if self.marked.is_replaced():
            raise _ReplacedError

    @property
    def _pieces(self) -> Path:
        return self.folder / "pieces"


def marked_shards(
    work_root: Path, signature: Mapping[str, object], shard_objects: int, n_objects: int
) -> MarkedShards:
    """Shards of the cell of this signature below ``work_root``, begun or not."""
    folder = work_root / digest(full_signature(signature, shard_objects))
    return MarkedShards(folder, -(-n_objects // shard_objects))


def _open_or_create(
    folder: Path, kind: str, signature: Mapping[str, object], plan: CellPlan
) -> Store:
    path = folder / f"{kind}.zarr"
    sizes = plan.sizes(kind)
    if not path.exists():
        with first_folder(path) as partial:
            create_store(
                partial,
                kind,
                sizes,
                signature=signature,
                coords={"object_id": plan.object_id, "prompt": plan.prompts},
                shard_objects=plan.shard_objects,
                layout="work",
            )
    store = open_store(path)
    check_identity(store, kind, signature)
    found = sizes_of(store, read_arrays(store))
    wanted = {"object": len(plan.object_id), "prompt": len(plan.prompts), **sizes}
    if {dim: found[dim] for dim in wanted} != wanted:
        raise StoreError(f"{path} must have the sizes {wanted}, got {found}")
    return store
