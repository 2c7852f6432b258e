"""``usam cache ls``: a line for each store of a cache, or all of one store."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final

import typer

from stages.cli.columns import aligned, bytes_text
from stages.program.main import one_line, reported_errors
from storage.errors import StoreError, listed, printable
from storage.files.addresses import is_address
from storage.paths import CACHE
from storage.store.describe import StoreDescription, describe, find_stores

HEADINGS: Final = (
    *("store", "kind", "objects", "prompts", "size"),
    *("family", "device", "extract", "state"),
)
NUMBERS: Final = {2, 3}

Where = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[STORE]...",
        help="Folders, ZIP files or addresses of stores, or folders of these; all by default.",
    ),
]


def ls(where: Where = None) -> None:
    """List stores; describe a single one in full.

    Exit 1 if the metadata of any store is damaged.
    """
    blocks, is_damaged = [], False
    with reported_errors():
        for place in where or [str(CACHE)]:
            paths = [] if is_address(place) else find_stores(Path(place))
            if is_address(place) or paths == [Path(place)]:
                blocks.append(_details(describe(place)))
                continue
            table, n_damaged = _table(paths)
            blocks.append(table)
            is_damaged |= n_damaged > 0
    print("\n\n".join(blocks))
    if is_damaged:
        raise typer.Exit(1)


def own_part(path: str | Path, error: BaseException) -> str:
    """What an error says, on one line, without the store's path at its beginning."""
    return one_line(error).removeprefix(str(path)).lstrip("/: ")


def _table(paths: Sequence[Path]) -> tuple[str, int]:
    """A line for each store, their bytes, how many are in each state; and how many are damaged."""
    lines: list[tuple[str, ...]] = [HEADINGS]
    counts: Counter[str] = Counter()
    size_bytes = 0
    for path in sorted(paths):
        try:
            store = describe(path)
        except (StoreError, OSError) as error:
            known, state = ("",) * (len(HEADINGS) - 2), f"damaged: {own_part(path, error)}"
        else:
            known, state = _columns(store), _completeness(store)
            size_bytes += store.size_bytes
        lines.append((str(path), *known, state))
        counts[state.partition(":")[0]] += 1
    states = ", ".join(f"{n} {state}" for state, n in counts.items())
    table = aligned(lines, right=NUMBERS)
    return f"{table}\n\n{bytes_text(size_bytes)} in all: {states}", counts["damaged"]


def _columns(store: StoreDescription) -> tuple[str, ...]:
    """Text of each column between name and state; empty where a store has nothing of it."""
    return (
        store.kind,
        *(str(store.sizes.get(dim, "")) for dim in ("object", "prompt")),
        bytes_text(store.size_bytes),
        *(str(store.signature.get(key, "")) for key in ("family", "device", "extract_version")),
    )


def _completeness(store: StoreDescription) -> str:
    return f"incomplete: missing {listed(store.missing)}" if store.missing else "complete"


def _details(store: StoreDescription) -> str:
    facts = [
        ("kind", store.kind),
        ("dimensions", ", ".join(f"{dim} {size}" for dim, size in store.sizes.items())),
        ("size", f"{bytes_text(store.size_bytes)}, {bytes_text(store.object_bytes)} per object"),
        ("completeness", _completeness(store)),
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
