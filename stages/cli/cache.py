"""``usam cache``: says what is in a store, and reads all of it to find damage."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated

import typer

from stages.cli import repair, stores
from stages.cli.columns import aligned, bytes_text, printable
from stages.cli.overview import as_text, overview, own_part
from stages.shell.edge import reported_errors
from stages.shell.progress import progress
from storage.cell.work import is_work_folder
from storage.errors import StoreError, counted, listed
from storage.files.addresses import is_address
from storage.store.describe import StoreDescription, describe, find_stores
from storage.store.verify import Damage, n_files, verify
from storage.store.writing import migrate

app = typer.Typer(no_args_is_help=True, help="Stores of the cache.")


@app.command("info")
def info_command(
    where: Annotated[
        str, typer.Argument(help="A store, packed or at an address too, or a folder of some.")
    ],
) -> None:
    """Print all that a store says of itself; for a folder, a line for each store below it.

    Exit 1 if the metadata of any store is damaged.
    """
    with reported_errors():
        found = [] if is_address(where) else find_stores(Path(where))
        is_alone = is_address(where) or found == [Path(where)]
        details = _details(describe(where)) if is_alone else None
        alone, work = overview(found) if details is None else ([], [])
    if details is not None:
        print(details)
        return
    tables = {"store": alone, "work folder": work}
    print("\n\n".join(as_text(what, lines) for what, lines in tables.items() if lines))
    if any(line.state == "damaged" for line in (*alone, *work)):
        raise typer.Exit(1)


@app.command("verify")
def verify_command(
    where: Annotated[str, typer.Argument(help="Also the address of a store, or a packed one.")],
    *,
    quick: Annotated[bool, typer.Option(help="Ask for the sizes of files only.")] = False,
) -> None:
    """Hold every file to its store's manifest and print what differs; exit 1 if any does."""
    found: dict[str | Path, list[Damage]] = {}
    with reported_errors():
        paths = [where] if is_address(where) else find_stores(Path(where))
        total = sum(_n_files(store) for store in paths)
        # Interrupted, after hours perhaps, it prints what it found by then.
        try:
            with progress(f"verify {where}", total, unit="files") as advance:
                for store in paths:
                    found[store] = _damages(store, advance, quick=quick)
        finally:
            if found:
                print(_verdict(found))
    if any(found.values()):
        raise typer.Exit(1)


@app.command("migrate")
def migrate_command(path: stores.Some) -> None:
    """Bring stores of an earlier schema to the present one, without a model; exit 1 if any fails.

    Each is replaced whole or not at all. `dvc commit` records the result.
    """
    with reported_errors():
        below = find_stores(stores.on_disk(path))
        found = [store for store in below if not is_work_folder(store.parent)]
    failed = False
    for store in found:
        try:
            print(f"{'migrated' if migrate(store) else 'current':8}  {printable(str(store))}")
        except (StoreError, OSError) as error:
            print(f"refused   {printable(str(store))}: {own_part(store, error)}")
            failed = True
    if failed:
        raise typer.Exit(1)


app.command("ls")(stores.ls)
app.command("diff")(stores.diff)
app.command("pack")(stores.pack)
app.command("unpack")(stores.unpack)
app.command("repair")(repair.repair)


def _n_files(store: str | Path) -> int:
    """Files to read; 0 for a store that cannot be opened, which ``_damages`` will name."""
    try:
        return n_files(store)
    except (StoreError, OSError):
        return 0


def _damages(store: str | Path, advance: Callable[[int], None], *, quick: bool) -> list[Damage]:
    try:
        return verify(store, advance, sizes_only=quick)
    except (StoreError, OSError) as error:
        if is_address(store):
            raise  # it may be out of reach, or nowhere: that is no damage
        return [Damage("metadata", "zarr.json", own_part(store, error))]


def _verdict(found: Mapping[str | Path, list[Damage]]) -> str:
    """A line a store, the damaged ones last, with what is wrong below each."""
    lines = [f"intact   {printable(str(store))}" for store, damages in found.items() if not damages]
    damaged = {store: damages for store, damages in found.items() if damages}
    for store, damages in damaged.items():
        rows = [("  ", damage.array, damage.key, damage.reason) for damage in damages]
        lines += [f"damaged  {printable(str(store))}", aligned(rows)]
    if len(found) > 1:
        lines.append(
            f"{len(found)} stores: {len(found) - len(damaged)} intact, {len(damaged)} damaged"
        )
    return "\n".join(lines)


def _details(store: StoreDescription) -> str:
    facts = [
        ("kind", f"{store.kind}, {store.layout}"),
        ("dimensions", ", ".join(f"{dim} {size}" for dim, size in store.sizes.items())),
        ("size", _size(store)),
        ("completeness", _completeness(store)),
        *((f"signature.{key}", str(value)) for key, value in store.signature.items()),
    ]
    arrays = [
        (
            array.name,
            " ".join(array.dims),
            array.dtype,
            "x".join(str(n) for n in array.file_shape),
            str(array.n_files),
            bytes_text(array.size_bytes),
        )
        for array in store.arrays
    ]
    headings = ("array", "dimensions", "dtype", "a file holds", "files", "size")
    return "\n".join(
        [
            printable(str(store.where)),
            aligned(facts),
            "",
            aligned([headings, *arrays], right={4, 5}),
        ]
    )


def _size(store: StoreDescription) -> str:
    share = store.object_bytes
    total = bytes_text(store.size_bytes)
    return total if share is None else f"{total}, {bytes_text(share)} per object"


def _completeness(store: StoreDescription) -> str:
    parts = []
    if store.n_shards is not None:
        parts.append(f"{store.n_done} of {counted(store.n_shards, 'shard')} done")
    if store.missing:
        parts.append(f"missing {listed(store.missing)}")
    return "; ".join([*parts, "complete" if store.is_complete else "incomplete"])
