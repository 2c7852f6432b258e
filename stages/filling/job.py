"""One cell to fill, as it travels to whoever computes; nothing here knows a model."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

from pipeline.extraction.plan import decoder_batch
from pipeline.sam.families import SIZES
from stages.settings.blocks import ExtractParams, Split
from stages.settings.signatures import CellName, cell_settings
from storage.cell.making import Cell, CellPlan, marked_shards
from storage.cell.marked import MarkedShards
from storage.paths import work_dir
from storage.split.objects import ObjectTable, images_of_shards, objects_digest, read_objects_of
from storage.store.arrays import images_digest
from storage.store.signature import versions

DEVICES: Final = ("cuda", "cpu")
"""Devices whose numbers differ."""


@dataclass(frozen=True)
class Prepared:
    """A prepared split, and the digests that its cells are held to."""

    table: ObjectTable
    objects_digest: str
    images_sha256: list[str]
    """Digest of each shard's images."""

    @property
    def images_digest(self) -> str:
        """Digest of all images."""
        return images_digest(self.images_sha256)


@dataclass(frozen=True)
class CellJob:
    """A cell on a device.

    Attributes
    ----------
    objects_digest, images_digest
        Of the split as whoever asks sees it.
    """

    name: CellName
    place: Split
    params: ExtractParams
    device: str
    objects_digest: str
    images_digest: str

    def __str__(self) -> str:
        return str(self.name)

    def __hash__(self) -> int:
        return hash((str(self.name), self.objects_digest))

    @property
    def decoder_batch(self) -> int:
        """Prompt sets per decoder call."""
        return decoder_batch(
            self.params.decoder_batch,
            device=self.device,
            mask_size_px=SIZES[self.params.family].mask_side_px,
        )

    def open(self, table: ObjectTable, marked: MarkedShards | None = None) -> Cell:
        """Open the cell in its work folder, or begin it.

        Parameters
        ----------
        marked
            Its shards as known already: files that they have read are not read again.

        Raises
        ------
        StoreError
            If what is there is damaged or of another plan.
        """
        name, sizes = self.name, SIZES[self.params.family]
        plan = CellPlan(
            prompts=name.prompts,
            object_id=table.object_id,
            n_channels=sizes.n_channels,
            mask_size_px=sizes.mask_side_px if name.with_masks else None,
            shard_objects=self.params.shard_objects,
        )
        return Cell.open(self.work, self.signature, plan, marked)

    def marked(self, split: Prepared) -> MarkedShards:
        """Shards of the cell, begun or not."""
        return marked_shards(
            self.work, self.signature, self.params.shard_objects, split.table.n_objects
        )

    def progress(self, split: Prepared) -> tuple[int, int]:
        """How many of its shards are done, and how many there are; no file of theirs is read."""
        marked = self.marked(split)
        n_shards = len(marked.indices)
        return n_shards - len(marked.lacking(split.images_sha256, sizes_only=True)), n_shards

    @property
    def work(self) -> Path:
        """Folder of the cell's work under any settings."""
        return work_dir(self.name.split, self.name.model, self.name.view.name)

    @cached_property
    def signature(self) -> dict[str, object]:
        """All that the rows depend on."""
        return cell_settings(self.params, self.name) | {
            "objects_digest": self.objects_digest,
            "device": self.device,
            "decoder_batch": self.decoder_batch,
            # Pillow and OpenCV read and augment; the other threads compute.
            **versions("torch", "sam2", "numpy", "opencv-python-headless", "pillow"),
        }


def prepared(split: str, shard_objects: int) -> Prepared:
    """Read a split.

    Raises
    ------
    StoreError
        If it is not prepared, or its store is damaged.
    """
    table = read_objects_of(split)
    return Prepared(table, objects_digest(table), images_of_shards(table, shard_objects))
