"""``usam plan``: the missing shards of the cells of ``params.yaml``, their cost and the reasons."""

import sys
from collections import Counter
from collections.abc import Sequence
from functools import partial
from typing import Final

import typer

from pipeline.sam.families import FAMILIES
from stages.cli.columns import aligned, bytes_text
from stages.filling.plans import FillPlan, cell_bytes, plan_split
from stages.program.main import one_line, reported_errors
from stages.settings.blocks import ExtractParams
from stages.settings.params import read_params
from storage.errors import DataError, StoreError, listed
from storage.store.chunk_grid import mask_bytes

HEADINGS: Final = (
    *("split", "cells", "which", "shards", "images", "objects", "predictions"),
    *("features", "masks"),
)


def plan() -> None:
    """Show which shards of cells are missing, why, and the work and the bytes that they cost.

    Exit 1 if a split is not prepared: `dvc repro prepare@SPLIT` counts its objects.
    """
    plans: list[FillPlan] = []
    is_whole = True
    with reported_errors():
        params = read_params()
        for split in params.used_splits:
            try:
                cells, notes = plan_split(split, params)
            except (DataError, StoreError) as error:
                print(f"error: {split}: {one_line(error)}", file=sys.stderr)
                is_whole = False
            else:
                plans += cells
                print("".join(f"{note}\n" for note in notes), end="", file=sys.stderr)
        if plans:
            print(lacking_table(plans, params.extract))
            side_px = FAMILIES[params.extract.family].mask_side_px
            mask_sizes = f"{bytes_text(*mask_bytes(side_px))} for each of {side_px} x {side_px}"
            print(f"features uncompressed, masks at {mask_sizes}")
    if not is_whole:
        raise typer.Exit(1)


def lacking_table(plans: Sequence[FillPlan], params: ExtractParams) -> str:
    """Table of the missing work of cells: a line for each split and reason, then a line for all.

    Images and objects of a line are those of the cell that lacks most, summed over splits; other
    columns are sums over cells.
    """
    groups: dict[tuple[str, str], list[FillPlan]] = {}
    for plan in plans:
        groups.setdefault((plan.name.split, plan.why), []).append(plan)
    n_cells = Counter(plan.name.split for plan in plans)
    with_embeddings = any(plan.name.is_embeddings for plan in plans)
    costs = partial(_costs, params=params, with_embeddings=with_embeddings)
    rows = []
    for (split, why), group in groups.items():
        names = [str(plan.name).partition("/")[2] for plan in group]
        which = "all" if len(group) == n_cells[split] else listed(names)
        cells = f"{len(group)} of {n_cells[split]}"
        rows.append((split, cells, which, *costs(group), why or "complete"))
    if len(rows) > 1:
        rows.append(("all", str(len(plans)), "", *costs(plans), ""))
    embeddings = ("embeddings",) if with_embeddings else ()
    headings = (*HEADINGS, *embeddings, "why")
    return aligned([headings, *rows], right={1, *range(3, len(headings) - 1)})


def _costs(
    plans: Sequence[FillPlan], *, params: ExtractParams, with_embeddings: bool
) -> tuple[str, ...]:
    n_images, n_objects = Counter[str](), Counter[str]()
    for plan in plans:
        split = plan.name.split
        n_images[split] = max(n_images[split], plan.n_images)
        n_objects[split] = max(n_objects[split], plan.n_objects)
    sizes = [cell_bytes(plan.name, plan.n_images, plan.n_objects, params) for plan in plans]
    features, low, high, n_embedding_bytes = map(sum, zip(*sizes, strict=True))
    return (
        f"{sum(plan.n_shards for plan in plans):,}",
        f"{n_images.total():,}",
        f"{n_objects.total():,}",
        f"{sum(plan.n_objects * len(plan.name.prompts) for plan in plans):,}",
        bytes_text(features),
        bytes_text(low, high),
        *([bytes_text(n_embedding_bytes)] if with_embeddings else []),
    )
