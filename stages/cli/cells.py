"""The cells of a cache: how much of each is there, made how, on what, under which schema."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from stages.cli.columns import aligned, bytes_text
from stages.cli.overview import own_part
from storage.cell.work import is_work_folder
from storage.errors import StoreError
from storage.files.addresses import files_at
from storage.store.describe import StoreDescription, describe
from storage.store.inspection import PLACE_KEYS, read_description
from storage.store.schema import MIGRATED, SCHEMA_VERSION

HEADINGS: Final = (
    *("cell", "objects", "prompts", "features", "masks"),
    *("family", "device", "extract", "schema", "state"),
)
NUMBERS: Final = {1, 2, 3, 4}

KINDS: Final = ("features", "masks")


@dataclass
class _Cell:
    """What is found of a cell, store by store."""

    signature: dict[str, object] = field(default_factory=dict)
    stores: dict[str, StoreDescription] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    is_work: bool = False


def list_cells(paths: Iterable[Path]) -> str:
    """A line for each cell that some of the stores belong to, published or in the making."""
    cells: dict[tuple[str, ...], _Cell] = {}
    for path in paths:
        work = is_work_folder(path.parent)
        signature: Mapping[str, object] = {}
        try:
            _, kind, signature = read_description(files_at(path))
            name = tuple(str(signature.get(key, "")) for key in PLACE_KEYS)
        except (StoreError, OSError):  # ``describe`` says what is wrong
            kind, *place = _place(path)
            name = tuple(place)
        if kind not in KINDS and signature:
            continue
        cell = cells.setdefault((*name, path.parent.name if work else ""), _Cell())
        cell.signature |= signature
        cell.is_work = work
        try:
            cell.stores[kind] = describe(path)
        except (StoreError, OSError) as error:
            cell.faults.append(f"{kind}: {own_part(path, error)}")
    lines = [_line(" ".join(name[:3]), cell) for name, cell in sorted(cells.items())]
    return aligned([HEADINGS, *lines], right=NUMBERS)


def _place(path: Path) -> tuple[str, ...]:
    """Kind, split, model and view of a store by where it lies; elsewhere, the path takes theirs."""
    kind, *name = path.absolute().with_suffix("").parts[-4:]
    if is_work_folder(path.parent):
        kind, name = path.stem, list(path.absolute().parts[-5:-2])
    return (kind, *name) if kind in KINDS else ("store", str(path))


def _line(name: str, cell: _Cell) -> tuple[str, ...]:
    signature = cell.signature
    return (
        name,
        _coverage(cell),
        _n_prompts(cell),
        *(_size(cell.stores.get(kind)) for kind in KINDS),
        *(str(signature.get(key, "")) for key in ("family", "device", "extract_version")),
        _age(signature.get("schema_version")),
        _state(cell),
    )


def _age(version: object) -> str:
    if version in {None, SCHEMA_VERSION}:
        return "" if version is None else "current"
    return f"{version}, current is {SCHEMA_VERSION}"


def _coverage(cell: _Cell) -> str:
    """Objects that are there in every store, of those that the cell is to have."""
    if not cell.stores:
        return ""
    n_objects = next(iter(cell.stores.values())).sizes["object"]
    done = [
        n_objects if store.n_done == store.n_shards else (store.n_done or 0) * store.shard_objects
        for store in cell.stores.values()
    ]
    return f"{min(done)}/{n_objects}"


def _n_prompts(cell: _Cell) -> str:
    """Prompt sets; several numbers where features and masks are not of one run."""
    return ", ".join(dict.fromkeys(str(one.sizes["prompt"]) for one in cell.stores.values()))


def _size(store: StoreDescription | None) -> str:
    return "" if store is None else bytes_text(store.size_bytes)


def _state(cell: _Cell) -> str:
    if cell.signature.get("schema_version") in MIGRATED:
        return "to be migrated"
    if cell.faults:
        return f"damaged: {'; '.join(cell.faults)}"
    if any(not store.is_complete for store in cell.stores.values()):
        return "in the making" if cell.is_work else "incomplete"
    return "work" if cell.is_work else "complete"
