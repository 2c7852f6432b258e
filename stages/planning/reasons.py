"""Why cells would run: missing, incomplete, or made under other settings than those asked for."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from stages.settings.blocks import ExtractParams
from stages.settings.signatures import LIBRARIES, CellName, cell_settings
from storage.errors import EarlierSchemaError, StoreError, counted, listed, shown
from storage.pool.cell import OF_A_SPLIT, folders_with, read_settings
from storage.pool.inputs import PreparedSplit
from storage.store.inspection import CELL_KEYS, open_store
from storage.store.opening import check_complete, read_images
from storage.store.signature import change, differences, versions

MISSING: Final = "missing"
DIGEST: Final = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Pending:
    """Cells of a split that would run for the same reason."""

    n_cells: int
    names: str
    """``all``, or some models and views."""
    reason: str


def pending(
    cells: Sequence[CellName], params: ExtractParams, split: PreparedSplit | None
) -> list[Pending]:
    """The cells of a split that would run, one entry per reason, see ``reason_to_run``."""
    groups: dict[str, list[CellName]] = {}
    for cell in cells:
        if (reason := reason_to_run(cell, params, split)) is not None:
            groups.setdefault(reason, []).append(cell)
    return [Pending(len(some), names_text(some, cells), reason) for reason, some in groups.items()]


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


def reason_to_run(cell: CellName, params: ExtractParams, split: PreparedSplit | None) -> str | None:
    """Why a cell is to be made; None if it is complete, of these settings, objects and images.

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
    return next(filter(None, faults), None)


def _fault(
    path: Path, cell: CellName, asked: dict[str, object], split: PreparedSplit | None
) -> str:
    """What keeps a store from being that of a cell under these settings; empty if nothing does."""
    of_split = {} if split is None else {"objects_digest": split.objects_digest}
    try:
        store = open_store(path)
    except EarlierSchemaError:
        return "to be migrated by `usam cache migrate`"
    except StoreError:
        return "damaged"
    if other := _other(store.signature, cell, asked | of_split):
        return other
    try:
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
    """What the pool has of a cell without stores.

    Parameters
    ----------
    device
        That of shards to be computed, or ``auto``: stores of another one would stay.
    """
    wanted = {key: value for key, value in asked.items() if key not in OF_A_SPLIT}
    wanted |= versions(*LIBRARIES) | ({} if device == "auto" else {"device": device})
    begun, others = 0, set()
    for folder, n_shards in folders_with(split.names):
        settings = read_settings(folder)
        if settings.get("stores") != list(cell.outputs):
            continue
        if changes := differences_text(settings, wanted):
            is_same = all(settings.get(key) == wanted[key] for key in ("model", "view"))
            others |= {changes} if is_same else set()
        begun = max(begun, 0 if changes else n_shards)
    if begun:
        return f"{begun} of {counted(len(split.shards), 'shard')} done"
    return f"{MISSING}, done under other settings ({min(others)})" if others else MISSING


def _other(stored: Mapping[str, object], cell: CellName, asked: Mapping[str, object]) -> str:
    """How a store is another than the one that is asked for; empty if it is not."""
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
