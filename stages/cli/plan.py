"""``usam plan``: what the cells of ``params.yaml`` ask for, before anything runs."""

import sys
from collections.abc import Mapping, Sequence
from typing import Final

import typer

from pipeline.sam.families import SIZES, FamilySizes
from stages.cli.columns import aligned, bytes_text
from stages.planning.plans import SplitPlan, cells_of, look_at, plan_split
from stages.program.main import one_line, reported_errors
from stages.settings.params import Params, read_params
from storage.errors import DataError
from storage.store.grid import mask_bytes

HEADINGS: Final = (
    *("split", "images", "objects", "cells", "there"),
    *("predictions", "features", "masks", "files"),
)


def plan() -> None:
    """Print the size of all cells, which are there, and why the others would run; run nothing.

    Exit 1 if the annotations of a split cannot be read.
    """
    with reported_errors():
        params = read_params()
        sizes = SIZES[params.extract.family]
        eval_plans = _plan(params.eval_splits, params, sizes)
        train_plans = _plan(params.train_splits, params, sizes)
    by_stage = {
        stage: made
        for stage, plans in (("extract", eval_plans), ("extract_train", train_plans))
        if (made := [one for one in plans if one])
    }
    for stage, plans in by_stage.items():
        print(_table(stage, plans))
    if any(made.pending for plans in by_stage.values() for made in plans):
        print(_reasons(by_stage))
    if by_stage:
        print(_assumed(sizes.mask_side_px))
    if None in (*eval_plans, *train_plans):
        raise typer.Exit(1)


def _assumed(side_px: int) -> str:
    size = f"{bytes_text(*mask_bytes(side_px))} for each of {side_px} x {side_px}"
    return f"features uncompressed, masks at {size}; ~ estimated from some annotations"


def _plan(splits: Sequence[str], params: Params, sizes: FamilySizes) -> list[SplitPlan | None]:
    """Plans of the splits that can be read; the others are named."""
    plans: list[SplitPlan | None] = []
    for split in splits:
        try:
            known = look_at(split, params.splits[split], params.prepare)
        except (DataError, OSError) as error:
            print(f"error: {split}: {one_line(error)}", file=sys.stderr)
            plans.append(None)
        else:
            plans.append(plan_split(cells_of(split, params), known, params.extract, sizes))
    return plans


def _table(stage: str, plans: Sequence[SplitPlan]) -> str:
    """A line per split and, of several, their sum."""
    rows = [(made.split, *_cells([made])) for made in plans]
    if len(plans) > 1:
        rows.append(("all", *_cells(plans)))
    return f"{stage}\n{aligned([HEADINGS, *rows], right=range(1, len(HEADINGS)))}"


def _reasons(by_stage: Mapping[str, Sequence[SplitPlan]]) -> str:
    rows = [
        (stage, made.split, f"{some.n_cells} of {made.n_cells}", some.names, some.reason)
        for stage, plans in by_stage.items()
        for made in plans
        for some in made.pending
    ]
    return f"to run\n{aligned([('stage', 'split', 'cells', 'which', 'why'), *rows])}"


def _cells(plans: Sequence[SplitPlan]) -> list[str]:
    """Sums over some splits."""
    about = "" if all(made.extent.is_exact for made in plans) else "~"
    low, high = (sum(made.masks_bytes[end] for made in plans) for end in (0, 1))
    return [
        f"{about}{sum(made.extent.n_images for made in plans):,}",
        f"{about}{sum(made.extent.n_objects for made in plans):,}",
        f"{sum(made.n_cells for made in plans):,}",
        f"{sum(made.n_there for made in plans):,}",
        f"{about}{sum(made.n_predictions for made in plans):,}",
        f"{about}{bytes_text(sum(made.features_bytes for made in plans))}",
        f"{about}{bytes_text(low, high)}" if high else "none",
        f"{about}{sum(made.n_files for made in plans):,}",
    ]
