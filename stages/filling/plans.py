"""Plans the cells of ``params.yaml``: why a cell must be made, its missing shards, their bytes."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pipeline.embeddings import level_names
from pipeline.heads.objectives import sample_for_trials
from pipeline.sam.families import FAMILIES
from pipeline.vocabulary import N_PROPOSALS
from stages.extraction.cells import on_devices
from stages.filling.fill_cells import fitting
from stages.settings.blocks import ExtractParams
from stages.settings.params import Params, check_size
from stages.settings.signatures import (
    cell_settings,
    embedding_cells,
    eval_cells,
    objects_settings,
    train_cells,
)
from stages.training.data import group_index
from storage.errors import DataError, StoreError, counted
from storage.files.addresses import files_at
from storage.images.videos import address_in
from storage.paths import objects_path
from storage.split.cell_name import CellName
from storage.split.object_table import read_objects
from storage.split.sharded_table import ShardedTable
from storage.store.chunk_grid import mask_bytes, row_bytes
from storage.store.inspection import Store, read_description
from storage.store.opening import open_complete, read_array, read_images
from storage.store.schema import FIXED_COORDINATES, SCHEMA, cell_specs
from storage.store.signature import compare

MISSING: Final = "missing"


@dataclass(frozen=True)
class FillPlan:
    """The shards of one cell that must be computed, as numbers, and the reason.

    Attributes
    ----------
    why
        Reason why the cell must be made; empty if its stores are complete under the settings.
    n_shards, n_images, n_objects
        Numbers of missing shards, and of the images and objects in them; embeddings have no
        objects.
    """

    name: CellName
    why: str = ""
    n_shards: int = 0
    n_images: int = 0
    n_objects: int = 0


def cells_of(split: str, params: Params) -> list[CellName]:
    """List the cells that the settings ask for of one split.

    Embeddings come first, so that cells of the view ``identity`` can be decoded from them.
    """
    cells: list[CellName] = []
    if split in params.embeddings.splits:
        cells += embedding_cells(split, params.embeddings.models)
    if split in params.eval_splits:
        views = [params.view(name) for name in params.views]
        cells += eval_cells(split, params.models, views, params.extra_prompts)
    if split in params.train_splits:
        cells += train_cells(split, params.models, params.train_prompts, params.train_views)
    return cells


def all_cells(params: Params) -> list[CellName]:
    """List the cells that the settings ask for, of all splits, in the order of ``used_splits``."""
    return [name for split in params.used_splits for name in cells_of(split, params)]


def prepared_as_set(split: str, params: Params) -> ShardedTable:
    """Read the objects of a split in shards; refuse objects prepared under other settings."""
    settings = objects_settings(split, params.splits[split], params.prepare)
    return ShardedTable(read_objects(objects_path(split), settings), params.extract.shard_objects)


def plan_split(split: str, params: Params) -> tuple[list[FillPlan], list[str]]:
    """Plan the cells of a split from its prepared objects.

    Returns
    -------
    A plan per cell, in the order of ``cells_of``, and notes on the split for the user.

    Raises
    ------
    StoreError
        If the split is not prepared under these settings; the message has the command.
    DataError
        If a train split has too few images or videos for heads to learn from, or
        ``tune.max_objects`` leaves none.
    """
    prepared = prepared_as_set(split, params)
    group = group_index(prepared.table)
    is_train = split in params.train_splits
    note = check_size(
        split, int(group[-1]) + 1, is_eval=split in params.eval_splits, is_train=is_train
    )
    if is_train and params.tune.n_trials and params.tune.max_objects is not None:
        try:  # with several models, all numbers are as many times larger
            sample_for_trials(group, params.tune.max_objects, 1, params.tune.seed)
        except ValueError as error:
            raise DataError(str(error)) from error
    plans = [plan_cell(cell, prepared, params) for cell in cells_of(split, params)]
    return plans, [note for note in (note, _images_note(split, params)) if note]


def _images_note(split: str, params: Params) -> str:
    """Text of a note that the images of a split are missing; empty if they are there."""
    images = Path(params.splits[split].images)
    try:
        if images.is_dir() or address_in(images):
            return ""
        fault = f"images must be in the folder {images}, got no such folder"
    except DataError as error:
        fault = str(error)
    return (
        f"note: {split}: {fault}; complete cells stay complete, but no other cell can be computed "
        "until its images are there"
    )


def plan_cell(name: CellName, split: ShardedTable, params: Params) -> FillPlan:
    """Find out whether a cell of a prepared split must be made, why, and its missing shards.

    Shards in outputs of the same settings are not missing. Workers are not asked for their device:
    of two devices, the one with more shards in the pool counts. Outputs that are only in DVC's
    cache count as missing.
    """
    why = reason_to_run(name, params.extract, split)
    if not why:
        return FillPlan(name)
    cells = on_devices(name, params.extract, split)
    lacking = min((cell.lacking() for cell in cells.values()), key=len)
    rows = name.rows(split)
    n_done = len(rows.shards) - len(lacking)
    if n_done and why == MISSING:
        why = f"{n_done} of {counted(len(rows.shards), 'shard')} done"
    is_there = all(path.exists() for path in name.outputs.values())
    fit = fitting(cells, name.outputs) if is_there else None
    adopted = frozenset(fit[0].shard_names if fit else ())
    todo = [shard for shard in lacking if shard not in adopted]
    n_objects = 0 if name.is_embeddings else rows.count_rows(todo)
    return FillPlan(name, why, len(todo), rows.count_images(todo), n_objects)


def cell_bytes(
    cell: CellName, n_images: int, n_objects: int, params: ExtractParams
) -> tuple[int, int, int, int]:
    """Bytes that some images and objects of a cell take on the disk.

    Returns
    -------
    Bytes of the features, uncompressed; fewest and most bytes of the compressed masks, which are 0
    for a cell without masks; bytes of the embeddings, uncompressed. A cell has features or
    embeddings, so the others are 0.
    """
    family = FAMILIES[params.family]
    fixed = {name: len(values) for name, values in FIXED_COORDINATES.items()}
    dims = {**fixed, **family.sizes, "prompt": len(cell.prompts)}
    if cell.is_embeddings:
        levels = [SCHEMA["embeddings"][name] for name in level_names(params.precision)]
        return 0, 0, 0, n_images * row_bytes(levels, dims)
    n_masks = N_PROPOSALS * len(cell.prompts) * n_objects if cell.with_masks else 0
    low, high = mask_bytes(family.mask_side_px)
    specs = cell_specs(
        "features",
        cell.view.name,
        cell.prompts,
        has_object_score=family.has_object_score,
    )
    features = row_bytes(specs.values(), dims)
    return n_objects * features, n_masks * low, n_masks * high, 0


def reason_to_run(cell: CellName, params: ExtractParams, split: ShardedTable) -> str:
    """Reason why a cell must be made; empty if it is complete for its settings, objects and images.

    Reasons are a missing or damaged store, or a change of settings, objects or images. Of the
    stores' arrays, only the digests of images are read.
    """
    absent = [kind for kind, path in cell.outputs.items() if not path.exists()]
    if absent:
        return MISSING if len(absent) == len(cell.outputs) else f"{absent[0]} {MISSING}"
    settings, rows = cell_settings(params, cell), cell.rows(split)
    if params.decoder_batch != "auto" and not cell.is_embeddings:
        settings["decoder_batch"] = params.decoder_batch
    faults = (_fault(kind, path, settings, rows) for kind, path in cell.outputs.items())
    return next(filter(None, faults), "")


def _fault(kind: str, path: Path, settings: dict[str, object], rows: ShardedTable) -> str:
    """Reason why a store is not valid under the settings of its cell; empty if it is valid."""
    try:
        # Compared before the arrays are checked: stores of earlier versions have other arrays.
        signature = read_description(files_at(path))[2]
        if changes := compare(signature, settings | {f"{rows.dim}s_digest": rows.digest}):
            return changes
        store = open_complete(path, kind, {})
        return "" if kind == "masks" or _are_same_images(store, rows) else "other images"
    except StoreError:
        return "damaged"


def _are_same_images(store: Store, rows: ShardedTable) -> bool:
    if rows.dim == "object":
        return read_images(store) == rows.images_sha256
    of_images = rows.table.image_sha256
    return [*map(str, read_array(store, "image_sha256"))] == [*map(str, of_images)]
