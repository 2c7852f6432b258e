"""``usam cache ls``: a line for each store in a folder, or the full description of a store."""

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
from storage.store.checks import find_stores
from storage.store.inspection import Store, open_store

HEADINGS: Final = (
    *("store", "objects", "prompts", "size"),
    *("family", "device", "extract", "state"),
)
NUMBERS: Final = {1, 2, 3}
DAMAGED: Final = "damaged"

Where = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[STORE]...",
        help="Folders or addresses of stores, or folders of these; all by default.",
    ),
]


def ls(where: Where = None) -> None:
    """List the stores in folders; describe in full each STORE that is itself a store.

    Exit 1 if the metadata of any store is damaged.
    """
    blocks, states = [], Counter[str]()
    with reported_errors():
        for place in where or [str(CACHE)]:
            paths = [] if is_address(place) else find_stores(Path(place))
            if is_address(place) or paths == [Path(place)]:
                blocks.append(_details(open_store(place)))
            else:
                table, states_of_paths = _table(paths)
                blocks.append(table)
                states += states_of_paths
    print("\n\n".join(blocks))
    if states[DAMAGED]:
        raise typer.Exit(1)


def own_part(path: str | Path, error: BaseException) -> str:
    """Message of an error on one line, without the store's path at its beginning."""
    return one_line(error).removeprefix(str(path)).lstrip("/: ")


def _table(paths: Sequence[Path]) -> tuple[str, Counter[str]]:
    """Text with a line per store and the bytes of all; number of stores in each state.

    The states are ``complete``, ``incomplete`` and ``DAMAGED``.
    """
    rows: list[tuple[str, ...]] = [HEADINGS]
    n_bytes, states = 0, Counter[str]()
    for path in paths:
        try:
            store = open_store(path)
            state = _completeness(store)
            rows.append((str(path), *_facts(store), state))
            n_bytes += store.size_bytes
        except (StoreError, OSError) as error:
            state = f"{DAMAGED}: {own_part(path, error)}"
            rows.append((str(path), *[""] * (len(HEADINGS) - 2), state))
        states[state.partition(":")[0]] += 1
    counts = ", ".join(f"{n} {state}" for state, n in states.items())
    return f"{aligned(rows, right=NUMBERS)}\n\n{bytes_text(n_bytes)} in all: {counts}", states


def _facts(store: Store) -> tuple[str, ...]:
    return (
        *(str(store.sizes.get(key, "")) for key in ("object", "prompt")),
        bytes_text(store.size_bytes),
        *(str(store.signature.get(key, "")) for key in ("family", "device", "extract_version")),
    )


def _completeness(store: Store) -> str:
    return (
        f"incomplete: missing or cut short {listed(store.faulty)}" if store.faulty else "complete"
    )


def _details(store: Store) -> str:
    row = "image" if store.kind == "embeddings" else "object"
    per_row = store.size_bytes / store.sizes[row]
    facts = [
        ("kind", store.kind),
        ("dimensions", ", ".join(f"{dim} {size}" for dim, size in store.sizes.items())),
        ("size", f"{bytes_text(store.size_bytes)}, {bytes_text(per_row)} per {row}"),
        ("completeness", _completeness(store)),
        *((f"signature.{key}", str(value)) for key, value in store.signature.items()),
    ]
    return f"{printable(str(store))}\n{aligned(facts)}"
