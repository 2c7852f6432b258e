"""Why cells would run: missing, incomplete, or made under other settings than those asked for."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from stages.settings.signatures import CellName
from storage.errors import EarlierSchemaError, StoreError, counted, listed, shown
from storage.paths import features_path, masks_path
from storage.pool.cell import OF_A_SPLIT, folders_with, read_settings
from storage.pool.inputs import PreparedSplit
from storage.store.inspection import CELL_KEYS, open_store
from storage.store.opening import check_complete
from storage.store.signature import change, differences

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
    cells: Sequence[CellName], asked: Sequence[Mapping[str, object]], split: PreparedSplit | None
) -> list[Pending]:
    """The cells of a split that would run, one entry per reason.

    Parameters
    ----------
    asked
        What the signature of each cell's stores must say.
    split
        As far as it is prepared.
    """
    groups: dict[str, list[CellName]] = {}
    for cell, signature in zip(cells, asked, strict=True):
        reason = reason_to_run(cell, signature, split)
        if reason is not None:
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


def reason_to_run(
    cell: CellName, asked: Mapping[str, object], split: PreparedSplit | None
) -> str | None:
    """None if the stores are complete and made under these settings; contents are not read.

    Parameters
    ----------
    asked
        What their signature must say. A device that is named is that of shards to be computed:
        stores of another one stay.
    split
        The split of the cell, as far as it is prepared.
    """
    stores = dict(_stores(cell))
    absent = [kind for kind, path in stores.items() if not path.exists()]
    if len(absent) == len(stores):
        return MISSING if split is None else _missing(asked, split, tuple(stores))
    lasting = {key: value for key, value in asked.items() if key != "device"}
    if absent:
        return f"{absent[0]} missing"
    faults = (_fault(path, cell, lasting) for path in stores.values())
    return next(filter(None, faults), None)


def _fault(path: Path, cell: CellName, asked: Mapping[str, object]) -> str:
    """What keeps a store from being that of a cell under these settings; empty if nothing does."""
    try:
        store = open_store(path)
    except EarlierSchemaError:
        return "to be migrated by `usam cache migrate`"
    except StoreError:
        return "damaged"
    if other := _other(store.signature, cell, asked):
        return other
    try:
        check_complete(store)
    except StoreError:
        return "incomplete"
    return ""


def _missing(asked: Mapping[str, object], split: PreparedSplit, kinds: Sequence[str]) -> str:
    """What the pool has of a cell without stores, by any versions."""
    wanted = {key: value for key, value in asked.items() if key not in OF_A_SPLIT}
    begun, others = 0, set()
    for folder, n_shards in folders_with(split.names):
        settings = read_settings(folder)
        if settings.get("stores") != list(kinds):
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


def _stores(cell: CellName) -> Iterator[tuple[str, Path]]:
    names = (cell.split, cell.model, cell.view.name)
    yield "features", features_path(*names)
    if cell.with_masks:
        yield "masks", masks_path(*names)


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
