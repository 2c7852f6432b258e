"""The cells of a cache: how much of each is there, made how, on what, under which schema."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from stages.cli.columns import aligned, bytes_text
from stages.cli.overview import own_part
from storage.cell.work import is_work_folder
from storage.errors import StoreError
from storage.files.addresses import files_at
from storage.store.describe import StoreDescription, describe
from storage.store.inspection import read_description
from storage.store.schema import MIGRATED, SCHEMA_VERSION

HEADINGS: Final = (
    "cell", "objects", "features", "masks", "family", "device", "extract", "schema", "state"
)  # fmt: skip
NUMBERS: Final = {1, 2, 3}

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
        try:
            _, kind, signature = read_description(files_at(path))
        except (StoreError, OSError):
            continue  # `usam cache info` names it
        if kind not in KINDS:
            continue
        work = is_work_folder(path.parent)
        name = tuple(str(signature.get(key, "")) for key in ("split", "model", "view"))
        cell = cells.setdefault((*name, path.parent.name if work else ""), _Cell())
        cell.signature, cell.is_work = dict(signature), work
        try:
            cell.stores[kind] = describe(path)
        except (StoreError, OSError) as error:
            cell.faults.append(f"{kind}: {own_part(path, error)}")
    lines = [_line(" ".join(name[:3]), cell) for name, cell in sorted(cells.items())]
    return aligned([HEADINGS, *lines], right=NUMBERS)


def _line(name: str, cell: _Cell) -> tuple[str, ...]:
    signature = cell.signature
    version = signature.get("schema_version")
    return (
        name,
        _coverage(cell),
        *(_size(cell.stores.get(kind)) for kind in KINDS),
        *(str(signature.get(key, "")) for key in ("family", "device", "extract_version")),
        "present" if version == SCHEMA_VERSION else f"{version}, present is {SCHEMA_VERSION}",
        _state(cell),
    )


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
