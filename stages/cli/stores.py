"""Whole stores: listed cell by cell, compared, packed and unpacked."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from stages.cli.cells import list_cells
from stages.cli.columns import aligned, printable
from stages.shell.edge import reported_errors
from stages.shell.progress import progress
from stages.shell.rules import ParamsError
from storage.cell.work import is_work_folder
from storage.files.addresses import is_address
from storage.paths import CACHE
from storage.store import archive
from storage.store.describe import Difference, differences_of, find_stores
from storage.store.verify import n_files

Where = str | Path
"""An address or a path."""

Sides = tuple[Where | None, Where | None]
"""Where a store is on either side of a comparison."""

Some = Annotated[str, typer.Argument(help="A store, or a folder that holds some.")]
Compared = Annotated[str, typer.Argument(help="A store, packed or not, a folder or an address.")]
One = Annotated[str, typer.Argument(help="A store.")]
Packed = Annotated[str, typer.Argument(help="A store in one file.")]


def ls(path: Some = str(CACHE)) -> None:
    """Print a line for each cell: objects done, prompt sets, bytes, made how, and the state."""
    with reported_errors():
        lines = list_cells(find_stores(on_disk(path)))
    print(lines)


def diff(one: Compared, other: Compared) -> None:
    """Print what differs between two stores, or between all stores of two folders.

    Exit 1 if anything does.
    """
    with reported_errors():
        pairs = _pairs(one, other)
        found = {
            name: differences_of(old, new) if old and new else None
            for name, (old, new) in pairs.items()
        }
    print("\n".join(_comparison(name, pairs[name], found[name]) for name in pairs))
    if any(differences != [] for differences in found.values()):
        raise typer.Exit(1)


def pack(store: One, packed: Packed) -> None:
    """Write a store to one file, which zarr opens as it is; damage is refused."""
    with reported_errors():
        source, target = on_disk(store), on_disk(packed)
        total = n_files(source) + 1
        with progress(f"pack {store}", total, unit="files") as advance:
            archive.pack(source, target, advance)


def unpack(packed: Packed, store: One) -> None:
    """Write a packed store to a folder, whole or not at all; damage is refused."""
    with reported_errors():
        source, target = on_disk(packed), on_disk(store)
        total = n_files(source) + 1
        with progress(f"unpack {packed}", total, unit="files") as advance:
            archive.unpack(source, target, advance)


def on_disk(where: str) -> Path:
    """The path that an argument is.

    Raises
    ------
    ParamsError
        If it is an address, which would pass for a relative path.
    """
    if is_address(where):
        raise ParamsError(
            f"{where} must be a path, got an address: `usam cache info`, `verify` and `diff` take "
            "those, each of one store"
        )
    return Path(where)


def _pairs(one: str, other: str) -> dict[str, Sides]:
    """Stores of two folders by their names below them, or two stores.

    Raises
    ------
    ParamsError
        If one is a store, or an address, which is that of a store, and the other a folder of some.
    """
    sides = [_published(where) for where in (one, other)]
    first, second = ("a store" if "" in side else "a folder of stores" for side in sides)
    if first != second:
        raise ParamsError(
            "ONE and OTHER must be two stores, or two folders of stores, got "
            f"{first} at {one} and {second} at {other}"
        )
    if first == "a store":
        return {f"{one} {other}": (one, other)}
    names = sorted(sides[0].keys() | sides[1].keys())
    return {name: (sides[0].get(name), sides[1].get(name)) for name in names}


def _published(where: str) -> dict[str, Where]:
    """Published stores by their names below a folder; a store itself has none."""
    path = Path(where)
    if is_address(where) or path.is_file():
        return {"": where}
    names = {store: store.relative_to(path).as_posix() for store in find_stores(path)}
    return {
        "" if name == "." else name: store
        for store, name in names.items()
        if not is_work_folder(store.parent)
    }


def _comparison(name: str, sides: Sides, differences: Sequence[Difference] | None) -> str:
    if differences is None:
        there = next(side for side in sides if side is not None)
        return f"alone    {printable(str(there))}"
    if not differences:
        return f"same     {printable(name)}"
    rows = [("  ", difference.what, difference.how) for difference in differences]
    return f"differs  {printable(name)}\n{aligned(rows)}"
