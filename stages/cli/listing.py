"""``usam cache ls``: a line for each cell and other store of a cache, or all of one store."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Final

import typer

from stages.cli.columns import aligned, bytes_text
from stages.program.main import one_line, reported_errors
from storage.errors import StoreError, listed, printable
from storage.files.addresses import files_at, is_address
from storage.paths import CACHE
from storage.store.describe import StoreDescription, describe, find_stores
from storage.store.inspection import CELL_KEYS, read_description

HEADINGS: Final = (
    *("cell or store", "objects", "prompts", "size"),
    *("family", "device", "extract", "state"),
)
NUMBERS: Final = {1, 2}

OF_CELLS: Final = ("features", "masks")
"""Kinds of stores that a cell has one of each of."""

Where = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[STORE]...",
        help="Folders, ZIP files or addresses of stores, or folders of these; all by default.",
    ),
]


def ls(where: Where = None) -> None:
    """List cells and other stores; describe a single one in full.

    Exit 1 if the metadata of any store is damaged.
    """
    blocks, is_damaged = [], False
    with reported_errors():
        for place in where or [str(CACHE)]:
            paths = [] if is_address(place) else find_stores(Path(place))
            if is_address(place) or paths == [Path(place)]:
                blocks.append(_details(describe(place)))
                continue
            rows = _rows(paths)
            blocks.append(_table(rows))
            is_damaged |= any(row.state.startswith("damaged") for row in rows)
    print("\n\n".join(blocks))
    if is_damaged:
        raise typer.Exit(1)


def own_part(path: str | Path, error: BaseException) -> str:
    """What an error says, on one line, without the store's path at its beginning."""
    return one_line(error).removeprefix(str(path)).lstrip("/: ")


@dataclass
class _Row:
    """State of a cell, or of another store."""

    name: str
    signature: dict[str, object] = field(default_factory=dict)
    stores: dict[str, StoreDescription] = field(default_factory=dict)
    """By kind."""
    faults: list[str] = field(default_factory=list)

    @property
    def state(self) -> str:
        """In words, with what is damaged or missing."""
        if self.faults:
            return f"damaged: {'; '.join(self.faults)}"
        missing = [name for store in self.stores.values() for name in store.missing]
        return f"incomplete: missing {listed(missing)}" if missing else "complete"

    @property
    def size_bytes(self) -> int:
        """Bytes of all stores."""
        return sum(store.size_bytes for store in self.stores.values())

    @property
    def cells(self) -> tuple[str, ...]:
        """Text of each column; empty where nothing is known."""
        stores, signature = self.stores.values(), self.signature
        sizes = (f"{kind} {bytes_text(one.size_bytes)}" for kind, one in self.stores.items())
        objects = (str(one.sizes["object"]) for one in stores)
        prompts = (str(one.sizes["prompt"]) for one in stores if "prompt" in one.sizes)
        return (
            self.name,
            *(", ".join(dict.fromkeys(numbers)) for numbers in (objects, prompts)),
            ", ".join(sizes),
            *(str(signature.get(key, "")) for key in ("family", "device", "extract_version")),
            self.state,
        )


def _rows(paths: Sequence[Path]) -> list[_Row]:
    rows: dict[str, _Row] = {}
    for path in paths:
        name, kind, signature = _identity(path)
        row = rows.setdefault(name, _Row(name))
        row.signature |= signature
        try:
            row.stores[kind] = describe(path)
        except (StoreError, OSError) as error:
            row.faults.append(f"{kind}: {own_part(path, error)}" if kind else own_part(path, error))
    return sorted(rows.values(), key=lambda row: row.name)


def _identity(path: Path) -> tuple[str, str, dict[str, object]]:
    """Name of a cell or other store, its kind and signature; by its path if it cannot be read."""
    try:
        _, kind, signature = read_description(files_at(path))
    except (StoreError, OSError):  # ``describe`` says what is wrong
        return *_identity_by_path(path), {}
    if kind in OF_CELLS and set(CELL_KEYS) <= signature.keys():
        return "/".join(str(signature[key]) for key in CELL_KEYS), kind, dict(signature)
    return str(path), kind, dict(signature)


def _identity_by_path(path: Path) -> tuple[str, str]:
    kind, *place = path.absolute().with_suffix("").parts[-4:]
    return ("/".join(place), kind) if kind in OF_CELLS else (str(path), "")


def _table(rows: Sequence[_Row]) -> str:
    """The rows, their bytes, and how many are in each state."""
    counts = Counter(row.state.partition(":")[0] for row in rows)
    states = ", ".join(f"{n} {state}" for state, n in counts.items())
    total = bytes_text(sum(row.size_bytes for row in rows))
    table = aligned([HEADINGS, *(row.cells for row in rows)], right=NUMBERS)
    return f"{table}\n\n{total} in all: {states}"


def _details(store: StoreDescription) -> str:
    missing = f"incomplete: missing {listed(store.missing)}" if store.missing else "complete"
    facts = [
        ("kind", store.kind),
        ("dimensions", ", ".join(f"{dim} {size}" for dim, size in store.sizes.items())),
        ("size", f"{bytes_text(store.size_bytes)}, {bytes_text(store.object_bytes)} per object"),
        ("completeness", missing),
        *((f"signature.{key}", str(value)) for key, value in store.signature.items()),
    ]
    headings = ("array", "dimensions", "dtype", "a file holds", "files", "size")
    arrays = [
        (
            *(array.name, " ".join(array.dims), array.dtype),
            *("x".join(map(str, array.file_shape)), str(array.n_files)),
            bytes_text(array.size_bytes),
        )
        for array in store.arrays
    ]
    table = aligned([headings, *arrays], right={4, 5})
    return f"{printable(str(store.where))}\n{aligned(facts)}\n\n{table}"
