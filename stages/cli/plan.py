"""``usam plan``: what the cells of ``params.yaml`` lack, what that takes and why."""

import sys
from collections import Counter
from collections.abc import Sequence
from typing import Final

import typer

from pipeline.sam.families import mask_side_of
from stages.cli.columns import aligned, bytes_text
from stages.filling.plans import CellPlan, cell_bytes, plan_split
from stages.program.main import one_line, reported_errors
from stages.settings.params import read_params
from storage.errors import DataError, listed
from storage.store.grid import mask_bytes

HEADINGS: Final = ("split", "cells", "which", "shards", "objects", "features", "masks", "why")
NUMBERS: Final = {1, 3, 4, 5, 6}


def plan() -> None:
    """Show what a run will compute, what that takes, and why.

    Exit 1 if the annotations of a split cannot be read.
    """
    plans: list[CellPlan] = []
    is_whole = True
    with reported_errors():
        params = read_params()
        for split in (*params.eval_splits, *params.train_splits):
            try:
                plans += plan_split(split, params)
            except (DataError, OSError) as error:
                print(f"error: {split}: {one_line(error)}", file=sys.stderr)
                is_whole = False
    if plans:
        side_px = mask_side_of(params.extract.family)
        each = f"{bytes_text(*mask_bytes(side_px))} for each of {side_px} x {side_px}"
        print(lacking_table(plans, params.extract.family))
        print(f"features uncompressed, masks at {each}; ~ estimated from some annotations")
    if not is_whole:
        raise typer.Exit(1)


def lacking_table(plans: Sequence[CellPlan], family: str) -> str:
    """What cells lack: a line for each split and reason, and their sum."""
    groups: dict[tuple[str, str], list[CellPlan]] = {}
    for one in plans:
        groups.setdefault((one.name.split, one.why), []).append(one)
    n_cells = Counter(one.name.split for one in plans)
    rows = []
    for (split, why), some in groups.items():
        names = [f"{one.name.model}/{one.name.view.name}" for one in some]
        which = "all" if len(some) == n_cells[split] else listed(names)
        cells = f"{len(some)} of {n_cells[split]}"
        rows.append((split, cells, which, *_costs(some, family), why or "complete"))
    if len(rows) > 1:
        rows.append(("all", str(len(plans)), "", *_costs(plans, family), ""))
    return aligned([HEADINGS, *rows], right=NUMBERS)


def _costs(plans: Sequence[CellPlan], family: str) -> tuple[str, ...]:
    about = "" if all(one.is_exact for one in plans) else "~"
    sizes = [cell_bytes(one.name, one.n_objects, family) for one in plans]
    features, low, high = map(sum, zip(*sizes, strict=True))
    return (
        f"{about}{sum(one.n_shards for one in plans):,}",
        f"{about}{sum(one.n_objects for one in plans):,}",
        f"{about}{bytes_text(features)}",
        f"{about}{bytes_text(low, high)}",
    )
