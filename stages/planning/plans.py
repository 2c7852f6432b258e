"""What the cells of ``params.yaml`` will take, before anything runs."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.sam.families import FamilySizes
from pipeline.vocabulary import N_PROPOSALS
from stages.planning.reasons import Pending, differences_text, pending
from stages.settings.blocks import ExtractParams, PrepareParams, Split
from stages.settings.params import Params
from stages.settings.signatures import (
    CellName,
    eval_cells,
    objects_settings,
    train_cells,
)
from storage.datasets.catalogue import Extent, estimate_extent
from storage.errors import StoreError
from storage.paths import objects_path
from storage.pool.inputs import PreparedSplit
from storage.split.objects import ObjectTable, read_objects
from storage.store.grid import mask_bytes, n_store_files, object_bytes
from storage.store.inspection import open_store
from storage.store.schema import FIXED_COORDINATES


@dataclass(frozen=True)
class KnownSplit:
    """Extent of a split, and what its cells' signatures say of it once it is prepared.

    Attributes
    ----------
    table
        None if no objects were prepared under these settings.
    outdated
        How objects prepared under other settings differ: every cell will be made anew. Empty if
        there are none.
    """

    split: str
    extent: Extent
    table: ObjectTable | None
    outdated: str = ""


@dataclass(frozen=True)
class SplitPlan:
    """All cells of a split.

    Attributes
    ----------
    pending
        Cells that are not complete on disk under these settings, by reason.
    n_predictions
        Answers of the decoder to prompt sets, three masks each, in all cells.
    masks_bytes
        At least and at most; 0 for a train split.
    n_files
        Of all stores together.
    """

    split: str
    extent: Extent
    n_cells: int
    pending: tuple[Pending, ...]
    n_predictions: int
    features_bytes: int
    masks_bytes: tuple[int, int]
    n_files: int

    @property
    def n_there(self) -> int:
        """Cells that are complete on disk under these settings."""
        return self.n_cells - sum(some.n_cells for some in self.pending)


def look_at(split: str, place: Split, params: PrepareParams) -> KnownSplit:
    """Read a split's objects store or, if none has these settings, its annotations.

    Raises
    ------
    ParamsError
        If the reader does not fit its settings.
    DataError
        If the data set is not there, or breaks a rule of its layout.
    """
    path, asked = objects_path(split), objects_settings(split, place, params)
    try:
        table = read_objects(path, asked)
    except StoreError:
        parts = place.data_set.list_parts(place.source)
        extent = estimate_extent(
            parts, min_area_px=params.min_area_px, max_objects=place.max_objects
        )
        return KnownSplit(split, extent, None, outdated=_outdated(path, asked))
    extent = Extent(table.n_images, table.n_objects, is_exact=True)
    return KnownSplit(split, extent, table)


def _outdated(path: Path, asked: Mapping[str, object]) -> str:
    """How a store made under other settings differs; empty if none can be opened."""
    try:
        store = open_store(path)
    except StoreError:
        return ""
    return differences_text(store.signature, asked)


def cells_of(split: str, params: Params) -> list[CellName]:
    """Cells of an eval or a train split."""
    if split in params.eval_splits:
        views = [params.view(name) for name in params.views]
        return eval_cells(split, params.models, views, params.extra_prompts)
    return train_cells(split, params.models)


def plan_split(
    cells: Sequence[CellName], known: KnownSplit, params: ExtractParams, sizes: FamilySizes
) -> SplitPlan:
    """Add up the cells of one split."""
    n_objects = known.extent.n_objects
    n_masks = N_PROPOSALS * n_objects * sum(len(c.prompts) for c in cells if c.with_masks)
    low, high = mask_bytes(sizes.mask_side_px)
    return SplitPlan(
        split=known.split,
        extent=known.extent,
        n_cells=len(cells),
        pending=tuple(_pending(cells, known, params)),
        n_predictions=n_objects * sum(len(cell.prompts) for cell in cells),
        features_bytes=n_objects * sum(features_bytes(cell, sizes) for cell in cells),
        masks_bytes=(n_masks * low, n_masks * high),
        n_files=sum(sum(n_cell_files(cell, n_objects, params.shard_objects)) for cell in cells),
    )


def n_cell_files(cell: CellName, n_objects: int, shard_objects: int) -> list[int]:
    """Files of each store of a published cell, whatever the size of masks and tokens."""
    ones = dict.fromkeys(("channel", "encoder_channel", "y", "x"), 1)
    sizes = {"object": max(n_objects, 1), "prompt": len(cell.prompts), **ones}
    kinds = ("features", "masks") if cell.with_masks else ("features",)
    return [n_store_files(kind, sizes, shard_objects) for kind in kinds]


def features_bytes(cell: CellName, sizes: FamilySizes) -> int:
    """Uncompressed, per object."""
    fixed = {name: len(values) for name, values in FIXED_COORDINATES.items()}
    widths = {"channel": sizes.n_channels, "encoder_channel": sizes.n_encoder_channels}
    return object_bytes("features", {**fixed, **widths, "prompt": len(cell.prompts)})


def _pending(
    cells: Sequence[CellName], known: KnownSplit, params: ExtractParams
) -> Iterator[Pending]:
    if known.outdated:
        yield Pending(len(cells), "all", f"objects will be prepared anew ({known.outdated})")
        return
    split = None if known.table is None else PreparedSplit(known.table, params.shard_objects)
    yield from pending(cells, params, split)
