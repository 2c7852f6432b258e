"""``usam cache``: says what is in a store, and reads it through for damage."""

import math
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.table import Table

from stages.shell.edge import reported_errors
from stages.shell.progress import progress
from storage.store.describe import StoreDescription, describe, find_stores
from storage.store.verify import Damage, n_files, verify

UNITS: Final = ("B", "kB", "MB", "GB", "TB")

Stores = Annotated[Path, typer.Argument(help="A store, or a folder that holds some.")]

app = typer.Typer(no_args_is_help=True, help="Stores of the cache.")


@app.command("info")
def info_command(path: Stores) -> None:
    """Print dimensions, sizes, bytes an object, signature and completeness."""
    with reported_errors():
        for store in find_stores(path):
            _print_info(Console(), describe(store))


@app.command("verify")
def verify_command(path: Stores) -> None:
    """Read every chunk and print which are damaged or missing; exit 1 if any is."""
    n_damages = 0
    with reported_errors():
        for store in find_stores(path):
            with progress(f"verify {store}", n_files(store), unit="files") as advance:
                damages = verify(store, advance)
            _print_damages(Console(), store, damages)
            n_damages += len(damages)
    if n_damages:
        raise typer.Exit(1)


def _print_info(console: Console, store: StoreDescription) -> None:
    sizes = ", ".join(f"{dim} {size}" for dim, size in store.sizes.items())
    console.print(f"[bold]{store.path}[/]", soft_wrap=True, highlight=False)
    facts = _table("", "")
    facts.add_row("kind", f"{store.kind}, {store.layout}")
    facts.add_row("dimensions", sizes)
    facts.add_row("size", _size(store))
    facts.add_row("completeness", _completeness(store))
    for key, value in store.signature.items():
        facts.add_row(f"signature.{key}", str(value))
    console.print(facts)
    arrays = _table("array", "dimensions", "dtype", "a file holds", "files", "size")
    for array in store.arrays:
        held = "x".join(str(n) for n in array.file_shape)
        size = bytes_text(array.size_bytes)
        arrays.add_row(
            array.name, " ".join(array.dims), array.dtype, held, str(array.n_files), size
        )
    console.print(arrays)


def _size(store: StoreDescription) -> str:
    share = store.object_bytes
    total = bytes_text(store.size_bytes)
    return total if share is None else f"{total}, {bytes_text(share)} an object"


def _completeness(store: StoreDescription) -> str:
    parts = [] if store.n_shards is None else [f"{store.n_done} of {store.n_shards} shards done"]
    if store.missing:
        parts.append(f"{len(store.missing)} files missing: {', '.join(store.missing[:3])}")
    return "; ".join([*parts, "complete" if store.is_complete else "incomplete"])


def _print_damages(console: Console, store: Path, damages: list[Damage]) -> None:
    if not damages:
        console.print(f"{store} is intact", soft_wrap=True, highlight=False)
        return
    console.print(f"{store} has {len(damages)} damages", soft_wrap=True, highlight=False)
    table = _table("array", "chunk", "reason")
    for damage in damages:
        table.add_row(damage.array, damage.key, damage.reason)
    console.print(table)


def _table(*columns: str) -> Table:
    table = Table(box=None, show_header=any(columns), pad_edge=False, collapse_padding=True)
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def bytes_text(*n_bytes: float) -> str:
    """Numbers of bytes, three digits each, in the unit of the last."""
    power = min(int(math.log10(max(n_bytes[-1], 1)) // 3), len(UNITS) - 1)
    return f"{' to '.join(f'{n / 1000**power:.3g}' for n in n_bytes)} {UNITS[power]}"
