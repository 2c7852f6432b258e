"""All cells of a split, opened together: what every model says under every view."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import xarray
from jaxtyping import Float32, Int64

from pipeline.entropy.cell_rows import CellRows
from pipeline.vocabulary import PROMPTS
from storage.errors import StoreError
from storage.paths import features_path, masks_path
from storage.split.mask_chunks import MaskChunks, shard_runs
from storage.split.provenance import TOLD_KEYS, cells_digest, content_signature
from storage.store.inspection import naming_damage
from storage.store.opening import open_features, open_masks
from storage.store.signature import compare

SHARED_KEYS: Final = (
    *TOLD_KEYS,
    "images_digest",
    "shard_objects",
    "mask_size_px",
)
"""Entries of their signatures in which the cells of a split agree."""

BLOCK_BYTES: Final = 2**21
"""Decoded masks read at once: what a core's cache holds, and many objects of small masks."""

ReadCell = Callable[[range, str, str], CellRows]


@dataclass(frozen=True)
class OpenCell:
    """The scores and masks of one cell; its signature covers the content of the images too."""

    path: Path
    features: xarray.Dataset
    masks: MaskChunks
    signature: Mapping[str, Any]

    def scores(self, name: str, rows: range) -> Float32[np.ndarray, "object prompt proposal"]:
        """Read ``sam_score`` or ``iou`` of consecutive objects."""
        with naming_damage(self.path):
            values: Float32[np.ndarray, "object prompt proposal"] = self.features[name][
                rows.start : rows.stop
            ].to_numpy()
        return values


@dataclass(frozen=True)
class SplitCells:
    """Cells of the same objects and images, by model and view."""

    models: tuple[str, ...]
    views: tuple[str, ...]
    by_name: Mapping[tuple[str, str], OpenCell]
    object_id: Int64[np.ndarray, " object"]
    signature: Mapping[str, object]

    @property
    def masks(self) -> MaskChunks:
        """Masks of one cell: their sizes are those of all."""
        return next(iter(self.by_name.values())).masks

    @property
    def block_objects(self) -> int:
        """Objects to read at once."""
        return max(1, BLOCK_BYTES // self.masks.object_bytes)

    def runs(self) -> list[range]:
        """The objects in order, a run a shard of masks."""
        return shard_runs(range(len(self.object_id)), self.masks.shard_objects)

    def reader(self, run: range) -> ReadCell:
        """A function that reads blocks of ``run``, each at most ``block_objects`` long.

        Every block's masks come in the same memory. One reader serves one thread.
        """
        scores = {
            key: (cell.scores("sam_score", run), cell.scores("iou", run))
            for key, cell in self.by_name.items()
        }
        # New memory for every chunk would cost half as much again as decompressing it.
        memory = np.empty((self.block_objects, *self.masks.shape[1:]), np.uint8)

        def read_cell(block: range, model: str, view: str) -> CellRows:
            cell = self.by_name[model, view]
            mask_code = memory[: len(block)]
            cell.masks.read_into(block, mask_code)
            part = slice(block.start - run.start, block.stop - run.start)
            sam_score, iou = scores[model, view]
            try:
                return CellRows(mask_code, sam_score[part], iou[part])
            except ValueError as error:
                raise StoreError(f"{cell.path}: {error}") from error

        return read_cell


def open_cells(split: str, *, models: Sequence[str], views: Sequence[str]) -> SplitCells:
    """Open every cell of a split.

    Raises
    ------
    StoreError
        If a store is missing or incomplete, or of other objects, images, prompt sets, mask size,
        family or precision than the first, or of other weights than the model's first.
    """
    by_name: dict[tuple[str, str], OpenCell] = {}
    expected: dict[str, Any] = {}
    for model in models:
        weights: dict[str, Any] = {}
        for view in views:
            cell = _open_cell(split, model, view)
            for keys, known in ((SHARED_KEYS, expected), (("weights",), weights)):
                own = {key: cell.signature.get(key, "none") for key in keys}
                _check_same(cell.path, own, known or own)
                known.update(own)
            by_name[model, view] = cell
    signature = {
        **{key: expected[key] for key in TOLD_KEYS},
        "models": list(models),
        "views": list(views),
        "cells_digest": cells_digest({name: cell.features for name, cell in by_name.items()}),
    }
    object_id = next(iter(by_name.values())).features["object_id"].to_numpy()
    return SplitCells(tuple(models), tuple(views), by_name, object_id, signature)


def _open_cell(split: str, model: str, view: str) -> OpenCell:
    path = features_path(split, model, view)
    features = open_features(path)
    signature = features.attrs["signature"]
    prompts = features["prompt"].to_numpy().tolist()
    if prompts != list(PROMPTS):
        raise StoreError(f"{path}: prompt sets must be {', '.join(PROMPTS)}, got {prompts}")
    path_of_masks = masks_path(split, model, view)
    masks = open_masks(path_of_masks)
    stored = masks.attrs["signature"]
    wanted = {key: signature.get(key, "none") for key in {*stored, *signature}}
    _check_same(path_of_masks, stored, wanted)
    shape = masks["mask_code"].shape
    return OpenCell(
        path,
        features,
        MaskChunks(path_of_masks, shape, signature["shard_objects"]),
        {**content_signature(features), "mask_size_px": list(shape[-2:])},
    )


def _check_same(path: Path, stored: Mapping[str, object], expected: Mapping[str, object]) -> None:
    difference = compare(stored, expected)
    if difference is not None:
        raise StoreError(f"{path} was written under other inputs ({difference})")
