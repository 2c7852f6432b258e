"""``usam fill``: computes shards that the pool lacks; ``dvc repro`` then publishes the cells."""

import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from stages.cli.plan import lacking_table
from stages.filling.choice import choose, choose_names, parse_part, parts_of
from stages.filling.fill import Filling
from stages.filling.fill import fill as fill_all
from stages.filling.plans import plan_cell
from stages.program.main import one_line, reported_errors
from stages.program.stopping import stoppable
from stages.settings.params import read_params
from stages.settings.signatures import CellName
from storage.errors import counted
from storage.paths import POOL

Globs = Annotated[
    list[str] | None,
    typer.Argument(metavar="[GLOB]...", help="Cells, as split/model/view; all by default."),
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Print what is missing and why; run nothing.")
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
    """Compute missing shards of cells; `dvc repro` publishes them.

    `executor` in params.yaml says who computes. Run any number of these commands at a time, on any
    hosts that share the folder. Ctrl-C, SIGTERM and SIGUSR1 keep finished shards; after the last
    two the exit status is 0, since batch systems start the job again. Exit 1 if shards are still
    missing; each cell is named with the reason.
    """
    kept = f"finished shards are kept in {POOL}"
    with reported_errors(), stoppable(kept, is_requeued=True):
        params = read_params()
        names = choose_names(globs or [], params)
        part = parse_part(shard_range)
        if dry_run:
            plans = [plan_cell(*some, params) for some in parts_of(names, params, part)]
            cells = sorted(plans, key=lambda cell: names.index(cell.name))
            todo = [cell for cell in cells if cell.n_shards]
            table = lacking_table(todo, cells, params.extract.family) if todo else _nothing(names)
            print(table)
            return
        chosen = [some for some in choose(names, params, part) if some.todo()]
        n_shards = counted(sum(len(some.todo()) for some in chosen), "shard")
        fill_all(chosen, params.executor)
    if chosen:
        _report(chosen, n_shards)
    else:
        print(_nothing(names))


def _nothing(names: Sequence[CellName]) -> str:
    return (
        f"every shard of {counted(len(names), 'cell')} is there; `dvc repro` reads and publishes "
        "them, `usam cache verify` reads what is published"
    )


def _report(todo: Sequence[Filling], n_shards: str) -> None:
    """Print how many shards were filled; exit 1 if a cell failed."""
    failed = {some.job: some.error for some in todo if some.error}
    for job, error in failed.items():
        print(f"error: {job}: {one_line(error)}", file=sys.stderr)
    if failed:
        raise typer.Exit(1)
    print(f"filled {n_shards} of {counted(len(todo), 'cell')}; `dvc repro` publishes them")
