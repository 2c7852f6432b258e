"""What the cells of ``params.yaml`` ask for, told before anything runs."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.sam.model import build
from pipeline.vocabulary import N_PROPOSALS
from stages.shell.asked import CellName, asked_of, eval_cells, train_cells
from stages.shell.blocks import ExtractParams, PrepareParams, Split
from stages.shell.params import Params
from stages.shell.sources import asked_of_objects, data_set, source_of
from storage.datasets.extent import Extent, estimate_extent, mask_bytes, object_bytes
from storage.errors import StoreError
from storage.paths import features_path, masks_path, objects_path
from storage.split.objects import objects_digest, read_objects
from storage.store.inspection import check_complete, check_identity, open_store
from storage.store.signature import compare


@dataclass(frozen=True)
class ModelSizes:
    """What a store's size depends on, the same for all models of a family."""

    n_channels: int
    mask_side_px: int


@dataclass(frozen=True)
class KnownSplit:
    """Extent of a split, and what its cells say of it once it is prepared.

    Attributes
    ----------
    objects_digest
        None where there are no objects of these settings.
    is_outdated
        Whether there are objects of other settings: with them, every cell will be made anew.
    """

    split: str
    extent: Extent
    objects_digest: str | None
    is_outdated: bool = False


@dataclass(frozen=True)
class SplitPlan:
    """All cells of a split.

    Attributes
    ----------
    n_there
        Cells that are complete on the disk, under these settings.
    n_predictions
        Decoder answers, of three masks each, to prompt sets, in all cells.
    masks_bytes
        At least and at most; 0 of a train split.
    """

    split: str
    extent: Extent
    n_cells: int
    n_there: int
    n_predictions: int
    features_bytes: int
    masks_bytes: tuple[int, int]


def model_sizes(family: str) -> ModelSizes:
    """Token width and mask side, read from the smallest model."""
    model = build(family, "tiny", seed=0)
    return ModelSizes(int(model.hidden_dim), 4 * int(model.sam_image_embedding_size))


def look_at(split: str, place: Split, params: PrepareParams) -> KnownSplit:
    """Read a split's objects store or, where there is none of these settings, its annotations.

    Raises
    ------
    ParamsError
        If the reader does not fit its settings.
    DataError
        If the data set is not there, or breaks a rule of its layout.
    """
    path, asked = objects_path(split), asked_of_objects(split, place, params)
    try:
        table = read_objects(path, asked)
    except StoreError:
        parts = data_set(place).list_parts(source_of(split, place))
        extent = estimate_extent(
            parts, min_area_px=params.min_area_px, max_objects=place.max_objects
        )
        return KnownSplit(split, extent, None, is_outdated=_is_outdated(path, asked))
    extent = Extent(table.n_images, table.n_objects, is_exact=True)
    return KnownSplit(split, extent, objects_digest(table))


def _is_outdated(path: Path, asked: Mapping[str, object]) -> bool:
    """Whether there is a store, of other settings; a damaged one would be made again as it was."""
    try:
        store = open_store(path)
    except StoreError:
        return False
    return compare(store.signature, asked) is not None


def cells_of(split: str, params: Params) -> list[CellName]:
    """Cells of an eval or a train split."""
    if split in params.eval_splits:
        return eval_cells(split, params.models, [params.view(name) for name in params.views])
    return train_cells(split, params.models)


def plan_split(
    cells: Sequence[CellName], known: KnownSplit, params: ExtractParams, sizes: ModelSizes
) -> SplitPlan:
    """Add up the cells of one split."""
    n_objects = known.extent.n_objects
    n_masks = N_PROPOSALS * n_objects * sum(len(c.prompts) for c in cells if c.with_masks)
    low, high = mask_bytes(sizes.mask_side_px)
    return SplitPlan(
        split=known.split,
        extent=known.extent,
        n_cells=len(cells),
        n_there=sum(_is_there(cell, known, params) for cell in cells),
        n_predictions=n_objects * sum(len(cell.prompts) for cell in cells),
        features_bytes=n_objects * sum(_features_bytes(cell, sizes) for cell in cells),
        masks_bytes=(n_masks * low, n_masks * high),
    )


def _features_bytes(cell: CellName, sizes: ModelSizes) -> int:
    """Of an object, uncompressed."""
    dims = {"prompt": len(cell.prompts), "proposal": N_PROPOSALS, "token": N_PROPOSALS + 1}
    return object_bytes("features", {**dims, "channel": sizes.n_channels})


def _is_there(cell: CellName, known: KnownSplit, params: ExtractParams) -> bool:
    """Whether a cell's stores are complete and of these settings; contents are not read."""
    if known.is_outdated:
        return False
    asked = asked_of(params, cell)
    if params.decoder_batch != "auto":
        asked["decoder_batch"] = params.decoder_batch
    if known.objects_digest is not None:
        asked["objects_digest"] = known.objects_digest
    for kind, path in _stores(cell):
        try:
            store = open_store(path)
            check_identity(store, kind, asked)
            check_complete(store)
        except StoreError:
            return False
    return True


def _stores(cell: CellName) -> Iterator[tuple[str, Path]]:
    names = (cell.split, cell.model, cell.view.name)
    yield "features", features_path(*names)
    if cell.with_masks:
        yield "masks", masks_path(*names)
