"""``usam fill``: computes shards that the pool lacks; ``dvc repro`` then publishes the cells."""

import sys
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from functools import cache, partial
from typing import Annotated

import typer

from stages.filling.fill_cells import Wanted, cell_to_fill, device_of, lacking
from stages.filling.fill_cells import fill as fill_all
from stages.filling.plans import all_cells, prepared_as_set, reason_to_run
from stages.program.main import one_line, reported_errors
from stages.program.stopping import stoppable
from stages.settings.params import Params, read_params
from stages.settings.parsing import ParamsError
from storage.errors import counted, shown
from storage.paths import POOL
from storage.split.cell_name import CellName
from storage.split.sharded_table import ShardedTable

ShardRange = tuple[int, int]
"""I and N: every N-th shard, beginning with the I-th; the first shard is 1."""

Globs = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[GLOB]...",
        help="Cells, as split/model/view or split/model/embeddings; all by default.",
    ),
]
Range = Annotated[
    str,
    typer.Option(metavar="I/N", help="Of all shards, the I-th of N parts: for job arrays."),
]


def fill(globs: Globs = None, shard_range: Range = "1/1") -> None:
    """Compute missing shards of cells; `dvc repro` publishes them.

    `executor` in params.yaml says who computes. Run any number of these commands at a time, on any
    hosts that share the folder. Ctrl-C, SIGTERM and SIGUSR1 keep finished shards; after the last
    two the exit status is 0, since batch systems start the job again. Exit 1 if shards are still
    missing; each cell is named with the reason.
    """
    progress = f"finished shards are kept in {POOL}"
    with reported_errors(), stoppable(progress, is_requeued=True):
        params = read_params()
        names = choose_names(globs or [], params)
        wanted = choose(names, params, parse_range(shard_range))
        n_lacking = [len(shards) for shards in lacking(wanted).values()]
        images = {split: place.images for split, place in params.splits.items()}
        failed = fill_all(wanted, images, params.extract, params.executor)
        n_others = sum(len(cell.lacking()) for cell in wanted)
    for name, error in failed.items():
        print(f"error: {name}: {one_line(error)}", file=sys.stderr)
    if failed:
        raise typer.Exit(1)
    n_shards, n_cells = counted(sum(n_lacking), "shard"), counted(len(n_lacking), "cell")
    filled = f"filled {n_shards} of {n_cells}" if n_lacking else ""
    if n_others:
        print(
            f"{filled or f'every shard of part {shard_range} is there'}; "
            f"{counted(n_others, 'shard')} of other parts were missing: `usam fill` of these parts "
            "computes them, or `dvc repro`"
        )
    elif filled:
        print(f"{filled}; `dvc repro` publishes them")
    else:
        print(
            f"every shard of {counted(len(names), 'cell')} is there; `dvc repro` reads and "
            "publishes them, `usam cache verify` reads what is published"
        )


def parse_range(text: str) -> ShardRange:
    """Parse the text ``I/N`` of the option ``--shard-range``; returns I, from 1 to N, and N."""
    number, _, of = text.partition("/")
    if not (number.isdecimal() and of.isdecimal() and 1 <= int(number) <= int(of)):
        raise ParamsError(f"--shard-range must be 1/N to N/N, such as 3/8, got {shown(text)}")
    return int(number), int(of)


def choose_names(globs: Sequence[str], params: Params) -> list[CellName]:
    """Cells of the settings whose name matches a pattern; all cells if there are no patterns.

    Patterns have ``*`` and ``?``; names are ``split/model/view`` or ``split/model/embeddings``. A
    pattern that matches no cell is refused.
    """
    names = all_cells(params)
    for glob in globs:
        if not any(fnmatchcase(str(name), glob) for name in names):
            raise ParamsError(f"GLOB must match a cell, such as {names[0]}, got {shown(glob)}")
    return [n for n in names if not globs or any(fnmatchcase(str(n), glob) for glob in globs)]


def assigned_shards(
    names: Sequence[CellName], params: Params, shard_range: ShardRange = (1, 1)
) -> Iterator[tuple[CellName, ShardedTable, frozenset[str]]]:
    """Yield each cell's name, its prepared split, and the names of its shards in the range.

    A range counts the shards of all cells in ``names``, present or missing, so it selects the same
    shards at any time. The default range is all shards. A split that is not prepared is an error:
    ``usam fill`` does not prepare it.
    """
    splits = {name.split: prepared_as_set(name.split, params) for name in names}
    (number, of), first = shard_range, 0
    for name in names:
        split = splits[name.split]
        shards = name.rows(split).names
        yield name, split, frozenset(shards[(number - 1 - first) % of :: of])
        first += len(shards)


def choose(names: Sequence[CellName], params: Params, shard_range: ShardRange = (1, 1)) -> Wanted:
    """Unpublished cells, each with the names of its shards in the range; see ``cell_to_fill``."""
    device = cache(partial(device_of, params.extract, params.executor))  # asks workers once
    return {
        cell_to_fill(name, params.extract, split, device): assigned
        for name, split, assigned in assigned_shards(names, params, shard_range)
        if reason_to_run(name, params.extract, split)
    }
