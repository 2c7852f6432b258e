"""A cache at a glance: a line for each store, and one for each cell in the making."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Final, Literal

from stages.cli.columns import aligned, bytes_text
from stages.shell.program import one_line
from storage.cell.work import PUBLISHED, is_work_folder
from storage.errors import StoreError, counted, listed
from storage.store.describe import StoreDescription, describe

COLUMNS: Final = ("kind", "of", "objects", "shards", "size", "state")
NUMBERS: Final = {3, 4, 5}
"""Columns that are flush right; the path's is column 0."""

State = Literal["complete", "incomplete", "damaged", "in the making", "published"]
"""The last two are for work folders; the stores of a ``published`` one are among the outputs."""


@dataclass(frozen=True)
class Line:
    """What is known of a store, or of the stores of a work folder together.

    Attributes
    ----------
    subject
        Split, model and view; how many, if the store is of several.
    shards
        Number done and number in all; None for kinds without shards.
    why
        What is missing or damaged.
    """

    path: Path
    state: State
    why: str = ""
    kind: str = ""
    subject: str = ""
    n_objects: int | None = None
    shards: tuple[int, int] | None = None
    size_bytes: int | None = None

    @property
    def cells(self) -> tuple[str, ...]:
        """Text of each column; empty where nothing is known."""
        return (
            str(self.path),
            self.kind,
            self.subject,
            "" if self.n_objects is None else str(self.n_objects),
            "" if self.shards is None else f"{self.shards[0]}/{self.shards[1]}",
            "" if self.size_bytes is None else bytes_text(self.size_bytes),
            f"{self.state}: {self.why}" if self.why else self.state,
        )


def overview(paths: Sequence[Path]) -> tuple[list[Line], list[Line]]:
    """Lines of the stores outside work folders, and of the work folders that hold the others."""
    alone = [path for path in paths if not is_work_folder(path.parent)]
    in_work = [path for path in paths if is_work_folder(path.parent)]
    work = [
        _of_work(folder, [_of_store(path) for path in inside])
        for folder, inside in groupby(in_work, lambda path: path.parent)
    ]
    return [_of_store(path) for path in alone], work


def as_text(what: str, lines: Sequence[Line]) -> str:
    """A table, and below it the number of lines in each state."""
    table = aligned([(what, *COLUMNS), *(line.cells for line in lines)], right=NUMBERS)
    total = bytes_text(sum(line.size_bytes or 0 for line in lines))
    counts = Counter(line.state for line in lines)
    states = ", ".join(f"{n} {state}" for state, n in counts.items())
    return f"{table}\n\n{counted(len(lines), what)}, {total}: {states}"


def own_part(path: str | Path, error: BaseException) -> str:
    """What an error says, on one line, without the store's path at its beginning."""
    return one_line(error).removeprefix(str(path)).lstrip("/: ")


def _of_store(path: Path) -> Line:
    try:
        store = describe(path)
    except (StoreError, OSError) as error:
        return Line(path, "damaged", own_part(path, error))
    return Line(
        path,
        "complete" if store.is_complete else "incomplete",
        f"missing {listed(store.missing)}" if store.missing else "",
        store.kind,
        _subject(store),
        store.sizes["object"],
        None if store.n_done is None or store.n_shards is None else (store.n_done, store.n_shards),
        store.size_bytes,
    )


def _of_work(folder: Path, stores: Sequence[Line]) -> Line:
    """A shard is done when it is done in each store."""
    damaged = [f"{line.path.name}: {line.why}" for line in stores if line.state == "damaged"]
    if damaged:
        return Line(folder, "damaged", "; ".join(damaged))
    shards = [line.shards for line in stores if line.shards is not None]
    return replace(
        stores[0],
        path=folder,
        state="published" if (folder / PUBLISHED).exists() else "in the making",
        why="; ".join(line.why for line in stores if line.why),
        kind=", ".join(line.kind for line in stores),
        shards=min(shards, default=None),
        size_bytes=sum(line.size_bytes or 0 for line in stores),
    )


def _subject(store: StoreDescription) -> str:
    signature = store.signature
    names = [str(signature[key]) for key in ("split", "model", "view") if key in signature]
    many = {noun: signature.get(f"{noun}s") for noun in ("model", "view")}
    counts = [counted(len(value), noun) for noun, value in many.items() if isinstance(value, list)]
    return " ".join(names) or ", ".join(counts)
