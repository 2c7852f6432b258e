"""What the cells of ``params.yaml`` take, what they lack and why, before anything runs."""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pipeline.sam.families import row_of
from pipeline.vocabulary import N_PROPOSALS
from stages.filling.job import possible_jobs
from stages.filling.run_cell import fitting
from stages.settings.blocks import ExtractParams
from stages.settings.params import Params
from stages.settings.signatures import (
    LIBRARIES,
    CellName,
    cell_settings,
    eval_cells,
    objects_settings,
    train_cells,
)
from storage.datasets.catalogue import Extent, estimate_extent
from storage.errors import StoreError, counted, listed, shown
from storage.files.addresses import files_at
from storage.paths import objects_path
from storage.pool.cell import of_rows, settings_of
from storage.pool.inputs import PreparedSplit
from storage.split.objects import read_objects
from storage.store.grid import mask_bytes, n_store_files, object_bytes
from storage.store.inspection import CELL_KEYS, open_store, read_description
from storage.store.opening import check_complete, read_images
from storage.store.schema import FIXED_COORDINATES
from storage.store.signature import change, compare, differences, versions

MISSING: Final = "missing"
DIGEST: Final = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class CellPlan:
    """A cell, the size of its split, and what it lacks.

    Attributes
    ----------
    why
        Why it is to be made; empty if it is complete on disk under the present settings.
    n_shards, n_objects
        What is lacking.
    """

    name: CellName
    extent: Extent
    why: str = ""
    n_shards: int = 0
    n_objects: int = 0


def cells_of(split: str, params: Params) -> list[CellName]:
    """Cells of an eval or a train split."""
    if split in params.eval_splits:
        views = [params.view(name) for name in params.views]
        return eval_cells(split, params.models, views, params.extra_prompts)
    return train_cells(split, params.models, params.train_prompts)


def all_cells(params: Params) -> list[CellName]:
    """Cells of all splits of the settings."""
    splits = (*params.eval_splits, *params.train_splits)
    return [name for split in splits for name in cells_of(split, params)]


def prepared_as_set(split: str, params: Params) -> PreparedSplit:
    """Read a split and check it against the settings.

    Raises
    ------
    StoreError
        If it is not prepared as they say.
    """
    asked = objects_settings(split, params.splits[split], params.prepare)
    return PreparedSplit(read_objects(objects_path(split), asked), params.extract.shard_objects)


def plan_split(split: str, params: Params) -> list[CellPlan]:
    """Plan the cells of a split by its objects or, if none have these settings, its annotations.

    Raises
    ------
    ParamsError
        If the reader does not fit its settings.
    DataError
        If the data set is not there, or breaks a rule of its layout.
    """
    cells = cells_of(split, params)
    try:
        prepared = prepared_as_set(split, params)
    except StoreError:
        extent, anew = _estimated(split, params), _outdated(split, params)
        lacking = -(-extent.n_objects // params.extract.shard_objects), extent.n_objects
        reasons = (anew or reason_to_run(cell, params.extract, None) for cell in cells)
        return [
            CellPlan(cell, extent, why, *(lacking if why else ()))
            for cell, why in zip(cells, reasons, strict=True)
        ]
    return [plan_cell(cell, prepared, prepared.names, params) for cell in cells]


def plan_cell(
    name: CellName, split: PreparedSplit, own: Collection[str], params: Params
) -> CellPlan:
    """Plan a cell of a prepared split.

    No worker is asked what it computes on: of two devices, the one that has done most counts. What
    DVC's cache alone has of the cell's outputs does not count as there.

    Parameters
    ----------
    own
        Names of the shards that count.
    """
    extent = Extent(split.table.n_images, split.table.n_objects, is_exact=True)
    why = reason_to_run(name, params.extract, split)
    if not why:
        return CellPlan(name, extent)
    jobs = possible_jobs(name, params.splits[name.split], params.extract, split)
    lacking = min((job.cell(split).lacking() for job in jobs.values()), key=len)
    n_done = len(split.shards) - len(lacking)
    if n_done and why.startswith(MISSING):
        why = f"{n_done} of {counted(len(split.shards), 'shard')} done"
    is_there = all(path.exists() for path in name.outputs.values())
    found = fitting(jobs, split, name.outputs) if is_there else None
    todo = [one for one in lacking if one in own and not (found and one in found[0].names)]
    return CellPlan(name, extent, why, len(todo), split.n_objects(todo))


def cell_bytes(cell: CellName, n_objects: int, family: str) -> tuple[int, int, int]:
    """Bytes of features, uncompressed, and of masks, at least and at most."""
    sizes = row_of(family, cell.model)
    fixed = {name: len(values) for name, values in FIXED_COORDINATES.items()}
    widths = {"channel": sizes.n_channels, "encoder_channel": sizes.n_encoder_channels}
    dims = {**fixed, **widths, "prompt": len(cell.prompts)}
    n_masks = N_PROPOSALS * len(cell.prompts) * n_objects if cell.with_masks else 0
    low, high = mask_bytes(sizes.mask_side_px)
    return n_objects * object_bytes("features", dims), n_masks * low, n_masks * high


def n_cell_files(cell: CellName, n_objects: int, shard_objects: int) -> int:
    """Files of a published cell, whatever the size of masks and tokens."""
    ones = dict.fromkeys(("channel", "encoder_channel", "y", "x"), 1)
    sizes = {"object": max(n_objects, 1), "prompt": len(cell.prompts), **ones}
    return sum(n_store_files(kind, sizes, shard_objects) for kind in cell.outputs)


def _estimated(split: str, params: Params) -> Extent:
    place = params.splits[split]
    parts = place.data_set.list_parts(place.source)
    return estimate_extent(
        parts, min_area_px=params.prepare.min_area_px, max_objects=place.max_objects
    )


def _outdated(split: str, params: Params) -> str:
    """How objects prepared under other settings differ; empty if there are none."""
    try:
        stored = open_store(objects_path(split)).signature
    except StoreError:
        return ""
    asked = objects_settings(split, params.splits[split], params.prepare)
    changes = differences_text(stored, asked)
    return f"objects will be prepared anew ({changes})" if changes else ""


def differences_text(stored: Mapping[str, object], asked: Mapping[str, object]) -> str:
    """Entries of a signature that differ, as ``key: old -> new``; for a digest, the key alone.

    Of lists, what comes or goes.

    >>> old = {"prompts": ["center", "p1"], "view": "gnoise", "weights": "0" * 64}
    >>> differences_text(old, {"prompts": ["center", "box"], "view": "vflip", "weights": "1" * 64})
    'prompts: box added, p1 dropped, view: gnoise -> vflip, weights'
    """
    return ", ".join(
        _difference(key, old, new) for key, (old, new) in differences(stored, asked).items()
    )


def _difference(key: str, old: object, new: object) -> str:
    if key == "objects_digest":
        return "other objects"
    return key if DIGEST.fullmatch(str(old)) else f"{key}: {change(old, new, _text)}"


def reason_to_run(cell: CellName, params: ExtractParams, split: PreparedSplit | None) -> str:
    """Why a cell must be made; empty if it is complete under these settings, objects and images.

    Of its contents, the digests of images alone are read.

    Parameters
    ----------
    split
        The split of the cell, if it is prepared.
    """
    asked = cell_settings(params, cell)
    if params.decoder_batch != "auto":
        asked["decoder_batch"] = params.decoder_batch
    absent = [kind for kind, path in cell.outputs.items() if not path.exists()]
    if len(absent) == len(cell.outputs):
        return MISSING if split is None else _missing(cell, asked, params.device, split)
    if absent:
        return f"{absent[0]} missing"
    faults = (_fault(path, cell, asked, split) for path in cell.outputs.values())
    return next(filter(None, faults), "")


def _fault(
    path: Path, cell: CellName, asked: dict[str, object], split: PreparedSplit | None
) -> str:
    """Why a store is not that of a cell under these settings; empty if it is."""
    of_split = {} if split is None else {"objects_digest": split.objects_digest}
    try:
        # Before the rest is looked at: stores of earlier versions have other arrays.
        signature = read_description(files_at(path))[2]
    except StoreError:
        return "damaged"
    if other := _other(signature, cell, asked | of_split):
        return other
    try:
        store = open_store(path)
        arrays = check_complete(store)
        is_same = (
            split is None
            or store.kind == "masks"
            or (read_images(store, arrays) == split.images_sha256)
        )
    except StoreError:
        return "incomplete"
    return "" if is_same else "other images"


def _missing(cell: CellName, asked: Mapping[str, object], device: str, split: PreparedSplit) -> str:
    """Whether the pool has shards of a cell without stores that other settings made.

    Parameters
    ----------
    device
        That of shards to be computed, or ``auto``: stores of another one would stay.
    """
    wanted = (
        of_rows(asked) | versions(*LIBRARIES) | ({} if device == "auto" else {"device": device})
    )
    kept = {"stores": list(cell.outputs), "model": wanted["model"], "view": cell.view.name}
    others = {
        differences_text(settings, wanted)
        for settings in settings_of(split.names)
        if not compare(settings, kept)
    }
    changes = min(others - {""}, default="")
    return f"{MISSING}, done under other settings ({changes})" if changes else MISSING


def _other(stored: Mapping[str, object], cell: CellName, asked: Mapping[str, object]) -> str:
    """How a store differs from the expected one; empty if it does not."""
    place = "/".join(str(stored.get(key, "none")) for key in CELL_KEYS)
    if place != str(cell):
        return f"a store of {_text(place)} lies in its place"
    return differences_text(stored, asked)


def names_text(some: Sequence[CellName], cells: Sequence[CellName]) -> str:
    """Models and views of some cells if those are all their combinations, else each cell."""
    models, views = _models_and_views(some)
    if len(some) < len(models) * len(views):
        return listed([f"{cell.model}/{cell.view.name}" for cell in some])
    every = _models_and_views(cells)
    parts = [names for names, known in zip((models, views), every, strict=True) if names != known]
    return " in ".join(", ".join(names) for names in parts) or "all"


def _models_and_views(cells: Sequence[CellName]) -> tuple[list[str], list[str]]:
    return (
        list(dict.fromkeys(cell.model for cell in cells)),
        list(dict.fromkeys(cell.view.name for cell in cells)),
    )


def _text(value: object) -> str:
    return shown(value).strip("'")
