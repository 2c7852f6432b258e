"""``usam fill``: computes shards that the pool lacks; ``dvc repro`` then publishes the cells."""

import sys
from collections.abc import Sequence
from typing import Annotated, Final

import typer

from stages.cli.columns import aligned, bytes_text
from stages.filling.choice import choose, choose_names, cost, parse_part
from stages.filling.fill import Filling
from stages.filling.fill import fill as fill_all
from stages.planning.reasons import names_text
from stages.program.main import one_line, reported_errors
from stages.program.stopping import stoppable
from stages.settings.params import read_params
from stages.settings.signatures import CellName
from storage.errors import counted
from storage.paths import POOL

HEADINGS: Final = ("split", "cells", "which", "shards", "objects", "bytes", "why")
NUMBERS: Final = {1, 3, 4, 5}

Globs = Annotated[
    list[str] | None,
    typer.Argument(metavar="[GLOB]...", help="Cells, as split/model/view; all by default."),
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Say what is missing and why; run nothing.")
]
Range = Annotated[
    str,
    typer.Option(metavar="I/N", help="Of all shards, the I-th of N parts: for job arrays."),
]


def fill(
    globs: Globs = None,
    dry_run: DryRun = False,  # noqa: FBT002 - typer's options
    shard_range: Range = "1/1",
) -> None:
    """Compute the shards of cells that the pool lacks; `dvc repro` publishes them.

    The executor of params.yaml computes. Any number of these commands may run at a time, on any
    hosts that share the folder. Ctrl-C, SIGTERM and SIGUSR1 keep what is done; after the last two
    the exit status is 0, since batch systems start the job again. Exit 1 if shards are missing in
    the end, each cell named with the reason.
    """
    kept = f"finished shards are kept in {POOL}"
    with reported_errors(), stoppable(kept, is_requeued=True):
        params = read_params()
        names = choose_names(globs or [], params)
        part = parse_part(shard_range)
        chosen = choose(names, params, part, is_dry=dry_run)
        todo = [some for some in chosen if some.todo()]
        if dry_run:
            print(_table(todo, names) if todo else _nothing(names))
            return
        n_shards = sum(len(some.todo()) for some in todo)
        fill_all(todo, params.executor)
    if todo:
        _report(todo, n_shards)
    else:
        print(_nothing(names))


def _nothing(names: Sequence[CellName]) -> str:
    return (
        f"every shard of {counted(len(names), 'cell')} is there; `dvc repro` reads and publishes "
        "them, `usam cache verify` reads what is published"
    )


def _report(todo: Sequence[Filling], n_shards: int) -> None:
    """Say what became of cells with so many shards to fill; exit 1 if any of them failed."""
    failed = {some.job: some.error for some in todo if some.error}
    for job, error in failed.items():
        print(f"error: {job}: {one_line(error)}", file=sys.stderr)
    if failed:
        raise typer.Exit(1)
    n_made = sum(some.n_made for some in todo)
    others = f", other processes {n_shards - n_made}" if n_made < n_shards else ""
    filled = f"filled {counted(n_made, 'shard')} of {counted(len(todo), 'cell')}"
    print(f"{filled}{others}; `dvc repro` publishes them")


def _table(todo: Sequence[Filling], names: Sequence[CellName]) -> str:
    """What is lacking, a line for each split and reason, and what it takes."""
    groups: dict[tuple[str, str], list[Filling]] = {}
    for some in todo:
        groups.setdefault((some.job.name.split, some.why), []).append(some)
    rows = []
    for (split, why), cells in groups.items():
        of_split = [name for name in names if name.split == split]
        lacking = {str(some.job) for some in cells}
        which = names_text([name for name in of_split if str(name) in lacking], of_split)
        rows.append((split, f"{len(cells)} of {len(of_split)}", which, *_costs(cells), why))
    if len(rows) > 1:
        rows.append(("all", f"{len(todo)} of {len(names)}", "", *_costs(todo), ""))
    return aligned([HEADINGS, *rows], right=NUMBERS)


def _costs(some: Sequence[Filling]) -> tuple[str, str, str]:
    n_shards, n_objects, low, high = (sum(column) for column in zip(*map(cost, some), strict=True))
    return f"{n_shards:,}", f"{n_objects:,}", bytes_text(low, high)
