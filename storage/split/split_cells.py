"""Opens the cells of a split (one per model and view) and its entropies, and checks them.

A cell must match its path, the settings, and the objects and images of its split. Two cells are not
compared with each other: a difference would not show which of them is wrong. Reading raises a
``StoreError`` if a chunk is damaged.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from jaxtyping import Float32, UInt8

from pipeline.proposals import ProposalScores
from pipeline.views import entropy_views
from pipeline.vocabulary import IMAGE_STATISTICS, OBJECT_SCORE, TRAIN_PROMPTS
from storage.errors import StoreError, counted, hidden, listed
from storage.files.addresses import map_stores
from storage.paths import (
    CACHE,
    entropy_path,
    features_path,
    located,
    masks_path,
    objects_path,
    remedy,
)
from storage.split.object_table import ObjectTable, read_objects_of
from storage.split.sharded_table import ShardedTable, names_of_rows
from storage.store.chunk_grid import MASK_CODE
from storage.store.inspection import Store, check_identity
from storage.store.mask_chunks import MaskChunks
from storage.store.opening import (
    check_same_images,
    images_digest,
    naming_damage,
    open_complete,
    open_entropy,
    read_array,
    read_images,
)
from storage.store.schema import ROWS_VERSION
from storage.store.signature import digest, head_version

if TYPE_CHECKING:
    import xarray

Expected = Mapping[tuple[str, str], Mapping[str, Any]]
"""For each cell by (model, view), the entries that its signature must have under the settings."""

EXTRACTION_KEYS: Final = ("extract_version", "family", "precision")
"""Keys of signature entries that must be equal in all cells used together, also across splits."""

INHERITED_KEYS: Final = (*EXTRACTION_KEYS, "objects_digest")
"""Keys of a cell's signature entries that stores computed from the cell copy."""


@dataclass(frozen=True, eq=False)
class OpenCell:
    """The open stores of a cell (split, model, view), or of a model's embeddings."""

    stores: Mapping[str, Store]
    """By kind: ``features`` and, if the cell was opened with them, ``masks``; or ``embeddings``."""
    images_sha256: Sequence[str]
    """For each shard, the digest of its images, if it was read when the cell was opened."""

    def __str__(self) -> str:
        return str(self.store)

    @property
    def store(self) -> Store:
        """The store of features or embeddings."""
        return next(iter(self.stores.values()))

    @cached_property
    def shard_names(self) -> tuple[str, ...]:
        """Names of the shards, in the order of the rows."""
        inputs = [str(sha256) for sha256 in read_array(self.store, "input_sha256")]
        return tuple(names_of_rows(inputs, self.store.shard_rows))

    @property
    def signature(self) -> Mapping[str, Any]:
        """Signature of the features: all that the rows depend on, but for the images' content."""
        return self.store.signature

    @property
    def content_digest(self) -> str:
        """Digest of all that the cell's rows depend on, including the content of the images.

        Stored signatures leave that content out, so that repairing an image recomputes the shards
        of that image alone.
        """
        images = images_digest(self.images_sha256)
        return digest({**self.signature, "schema_version": ROWS_VERSION, "images_digest": images})

    @property
    def n_channels(self) -> int:
        """Number of channels of a token in the cell's features."""
        return int(self.store.arrays["iou_token"].shape[-1])

    @property
    def has_object_score(self) -> bool:
        """Whether the cell's features have object scores."""
        return OBJECT_SCORE in self.store.arrays

    def scores(
        self, name: str, rows: range | None = None
    ) -> Float32[np.ndarray, "object prompt proposal"]:
        """Read an array such as ``sam_score`` for the objects ``rows``, or for all objects."""
        selection = slice(None) if rows is None else slice(rows.start, rows.stop)
        return read_array(self.store, name, selection)

    def iou_at_cut(
        self, prompt: str = TRAIN_PROMPTS[0]
    ) -> Float32[np.ndarray, "object proposal cut"]:
        """Read the IoU of each proposal of a prompt set at each cut, in a cell of ``identity``.

        Raises a ValueError if the cell has no such prompt set, a KeyError if it is of another view.
        """
        return read_array(
            self.store, "iou_at_cut", (slice(None), self.signature["prompts"].index(prompt))
        )

    def proposals(self, prompt: str = TRAIN_PROMPTS[0]) -> ProposalScores:
        """Read SamScore and IoU of each proposal, for the prompt set ``prompt`` and ``refined``.

        Raises a ValueError if the cell has no such prompt set.
        """
        names = self.signature["prompts"]
        judged, refined = names.index(prompt), names.index(TRAIN_PROMPTS[1])
        iou, sam_score = self.scores("iou"), self.scores("sam_score")
        return ProposalScores(
            # Copies: views would keep the arrays of all other prompt sets in memory.
            iou=iou[:, judged].copy(),
            sam_score=sam_score[:, judged].copy(),
            refined_iou=iou[:, refined].copy(),
            refined_sam_score=sam_score[:, refined].copy(),
        )

    def blocks(self, prompt: str, names: Sequence[str]) -> Iterator[dict[str, np.ndarray]]:
        """Yield the named arrays under one prompt set, a block of consecutive objects at a time.

        Optional arrays that the cell lacks are left out.

        A block has the objects of one chunk of tokens, so that each chunk is decompressed once and
        memory holds one chunk. Raises a ValueError if the cell has no such prompt set.
        """
        column, tokens = self.signature["prompts"].index(prompt), self.store.arrays["mask_token"]
        for start in range(0, tokens.shape[0], tokens.chunks[0]):
            rows = slice(start, start + tokens.chunks[0])
            place = dict.fromkeys(IMAGE_STATISTICS, rows)
            yield {
                name: read_array(self.store, name, place.get(name, (rows, column)))
                for name in names
                if name in self.store.arrays
            }

    @cached_property
    def mask_chunks(self) -> MaskChunks:
        """Reader of the cell's masks; the cell must have been opened with masks."""
        masks = self.stores["masks"]
        shape = masks.arrays[MASK_CODE].shape
        return MaskChunks(masks.files, shape, masks.shard_rows, masks.manifest)

    def mask_code(self, row: int) -> UInt8[np.ndarray, "prompt proposal y x"]:
        """Read the mask codes of the object in a row, in a cell that was opened with masks."""
        code = np.empty((1, *self.mask_chunks.shape[1:]), np.uint8)
        self.mask_chunks.read_into(range(row, row + 1), code)
        first: UInt8[np.ndarray, "prompt proposal y x"] = code[0]
        return first


@dataclass(frozen=True, eq=False)  # a key of the cache of scores in mask_blocks
class SplitCells:
    """The open cells of one split, by (model, view); all have the same objects and images."""

    split: str
    table: ObjectTable
    by_name: Mapping[tuple[str, str], OpenCell]

    @property
    def models(self) -> tuple[str, ...]:
        """Names of the models, in the order of the settings."""
        return tuple(dict.fromkeys(model for model, _ in self.by_name))

    @property
    def views(self) -> tuple[str, ...]:
        """Names of the views, in the order of the settings."""
        return tuple(dict.fromkeys(view for _, view in self.by_name))

    @property
    def signature(self) -> dict[str, object]:
        """Entries of the signature of a store that is computed from all of these cells."""
        shared = next(iter(self.by_name.values())).signature
        return {
            **{key: shared[key] for key in INHERITED_KEYS},
            "models": list(self.models),
            "views": list(self.views),
            "cells_digest": self.digest(self.views),
        }

    def digest(self, views: Sequence[str]) -> str:
        """Digest of the content of all cells of the named views; the order of views is ignored."""
        return digest(
            {
                f"{model}/{view}": cell.content_digest
                for (model, view), cell in self.by_name.items()
                if view in views
            }
        )

    @property
    def identity(self) -> dict[str, OpenCell]:
        """Cells of the view ``identity`` (the unchanged images), by model."""
        return {model: self.by_name[model, "identity"] for model in self.models}

    @property
    def head_origin(self) -> dict[str, str]:
        """Entries that the card of heads for these cells must have, from ``head_origin``."""
        return head_origin({model: cell.signature for model, cell in self.identity.items()})


def head_origin(signatures: Mapping[str, Mapping[str, object]]) -> dict[str, str]:
    """Entries that a card of heads must have, from the signature of each model's cell.

    They are ``family``, ``precision``, ``extract_version`` (see ``head_version``), and
    ``weights_<model>`` for each model: heads work only on tokens of the models, weights and
    precision that they learned from.
    """
    shared = next(iter(signatures.values()))
    return {
        **{key: str(shared[key]) for key in EXTRACTION_KEYS},
        "extract_version": head_version(shared["extract_version"]),
        **{f"weights_{model}": str(entries["weights"]) for model, entries in signatures.items()},
    }


def open_cells(
    split: str, expected: Expected, *, with_masks: bool = False, cache: str | Path = CACHE
) -> SplitCells:
    """Open cells of a split, and check them against the settings and the split's objects.

    Raises a StoreError if a store is missing or incomplete, its signature contradicts its path or
    ``expected``, it was made from other objects or images than the split has now, or masks differ
    in size.

    Parameters
    ----------
    expected
        For each cell to open, by (model, view), the entries that its signature must have, among
        them ``shard_objects``, the same for all.
    with_masks
        Whether the masks of the cells are opened, too.
    cache
        Folder or address of the cache with these cells and the split's objects.
    """
    (shard_objects,) = {entries["shard_objects"] for entries in expected.values()}
    prepared = ShardedTable(read_objects_of(split, cache), shard_objects)
    of_split = {"split": split, "objects_digest": prepared.table.digest}
    in_full = [
        {**entries, **of_split, "model": model, "view": view}
        for (model, view), entries in expected.items()
    ]
    opened = partial(_open_cell, cache=cache, with_masks=with_masks)
    by_name = dict(zip(expected, map_stores(opened, in_full, cache), strict=True))
    for cell in by_name.values():
        _check_images(cell, prepared.images_sha256, located(objects_path(split), cache))
    # Without the number of prompt sets, which may differ between views.
    shapes = {
        (n_objects, *shape)
        for cell in by_name.values()
        if with_masks
        for n_objects, _, *shape in [cell.mask_chunks.shape]
    }
    if len(shapes) > 1:
        raise StoreError(f"masks of {split} must be of one shape, got {sorted(shapes)}")
    return SplitCells(split, prepared.table, by_name)


def read_entropies(cells: SplitCells) -> "xarray.Dataset":
    """Read the entropy store of the split of ``cells``, from which it must be computed.

    Raises a StoreError if the store is missing, incomplete or damaged, or was computed from other
    cells.
    """
    path = entropy_path(cells.split)
    local_paths = {name: features_path(cells.split, *name) for name in cells.by_name}
    is_elsewhere = any(str(cells.by_name[name]) != str(local_paths[name]) for name in local_paths)
    elsewhere = f"python -m stages.entropy {cells.split}"
    if not path.exists() and is_elsewhere:
        raise StoreError(
            f"{path} must be a Zarr store, got none; `{elsewhere}` "
            "makes it from masks where USAM_CACHE says, and needs none here; "
            f"`dvc pull {path}` gets it from a remote"
        )
    signature = cells.signature
    entropy = open_entropy(path, expected={key: signature[key] for key in INHERITED_KEYS})
    recorded_digest = entropy.attrs["signature"].get("cells_digest", "none")
    cells_digest = cells.digest(entropy_views(cells.views))
    if recorded_digest != cells_digest:
        raise StoreError(
            f"{path} must be computed from the cells of these models and views "
            f"(cells_digest: {recorded_digest} -> {cells_digest})"
            + (f"; `{elsewhere}` makes it" if is_elsewhere else remedy(path))
        )
    with naming_damage(path):
        return entropy.load()


def _open_cell(expected: Mapping[str, Any], *, cache: str | Path, with_masks: bool) -> OpenCell:
    name = (expected["split"], expected["model"], expected["view"])
    paths = {"features": features_path(*name), "masks": masks_path(*name)}
    stores = {
        kind: open_complete(located(path, cache), kind, expected)
        for kind, path in paths.items()
        if with_masks or kind == "features"
    }
    # Read here, in the thread that opens the cell: Python 3.11 computes one cached property at a
    # time.
    return joined(stores, read_images(stores["features"]))


def joined(stores: Mapping[str, Store], images_sha256: Sequence[str]) -> OpenCell:
    """Join open stores of a cell, by kind; features or embeddings come first.

    ``images_sha256`` is ``read_images`` of the features, and used only if there are masks. Raises a
    StoreError if the stores are not of the same cell and images: DVC checks out each separately.
    """
    (main, *_) = stores.values()
    for kind, store in stores.items():
        # One run writes all stores, so versions and device must be equal, too.
        check_identity(store, kind, {**dict.fromkeys(store.signature, "none"), **main.signature})
    if "masks" in stores:
        check_same_images(stores["masks"], images_sha256)
    return OpenCell(stores, images_sha256)


def _check_images(cell: OpenCell, images_sha256: Sequence[str], objects: str | Path) -> None:
    """Raise a StoreError if a cell was extracted from other image files than the split has now.

    ``images_sha256`` has a digest for each shard, of the images of the split. ``objects`` is the
    place of the split's objects store, for the message.
    """
    differing = [
        str(shard)
        for shard, (extracted, present) in enumerate(
            zip(cell.images_sha256, images_sha256, strict=True)
        )
        if extracted != present
    ]
    if differing:
        raise StoreError(
            f"{cell} must be extracted from the images of {hidden(str(objects))}, got others in "
            f"{len(differing)} of {counted(len(images_sha256), 'shard')} ({listed(differing)})"
        )
