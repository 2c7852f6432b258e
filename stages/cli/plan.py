"""``usam plan``: the missing shards of the cells of ``params.yaml``, their cost and the reasons."""

import sys
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from functools import cache, partial
from typing import Annotated, Final

import typer

from pipeline.sam.families import FAMILIES
from stages.cli.columns import aligned, bytes_text
from stages.extraction.cells import may_be_decoded
from stages.filling.plans import FillPlan, cell_bytes, plan_split
from stages.program.main import one_line, reported_errors
from stages.settings.blocks import ExtractParams
from stages.settings.params import read_params
from storage.errors import DataError, listed
from storage.store.chunk_grid import mask_bytes

HEADINGS: Final = (
    *("split", "cells", "which", "shards", "images", "objects", "predictions"),
    *("features", "masks"),
)

WithTime = Annotated[
    bool, typer.Option("--time", help="Also estimate hours, from one drawn scene per model.")
]

Seconds = Callable[..., tuple[float, float]]
"""Seconds that a process needs per image and per object.

The arguments are a model, its prompt sets, and ``with_masks``: whether masks are kept.
"""


def plan(with_time: WithTime = False) -> None:  # noqa: FBT002 - typer's option
    """Show which shards of cells are missing, why, and the work and the bytes that they cost.

    --time adds hours. Exit 1 if the annotations of a split cannot be read.
    """
    plans: list[FillPlan] = []
    is_whole = True
    with reported_errors():
        params = read_params()
        for split in params.used_splits:
            try:
                cells, notes = plan_split(split, params)
            except (DataError, OSError) as error:
                print(f"error: {split}: {one_line(error)}", file=sys.stderr)
                is_whole = False
            else:
                plans += cells
                print("".join(f"{note}\n" for note in notes), end="", file=sys.stderr)
        if plans:
            seconds = _timed(params.extract) if with_time else None
            print(lacking_table(plans, params.extract, seconds))
            side_px = FAMILIES[params.extract.family].mask_side_px
            mask_sizes = f"{bytes_text(*mask_bytes(side_px))} for each of {side_px} x {side_px}"
            print(
                f"features uncompressed, masks at {mask_sizes}; ~ estimated from some annotations"
            )
    if not is_whole:
        raise typer.Exit(1)


def lacking_table(
    plans: Sequence[FillPlan], params: ExtractParams, seconds: Seconds | None = None
) -> str:
    """Table of the missing work of cells: a line for each split and reason, then a line for all.

    Images and objects of a line are those of the cell that lacks most, summed over splits; other
    columns are sums over cells. Estimates have a ``~``. ``seconds`` estimates the hours; without
    it, there is no column of hours.
    """
    groups: dict[tuple[str, str], list[FillPlan]] = {}
    for plan in plans:
        groups.setdefault((plan.name.split, plan.why), []).append(plan)
    n_cells = Counter(plan.name.split for plan in plans)
    embedded = {(plan.name.split, plan.name.model) for plan in plans if plan.name.is_embeddings}
    costs = partial(_costs, params=params, seconds=seconds, embedded=embedded)
    rows = []
    for (split, why), group in groups.items():
        names = [str(plan.name).partition("/")[2] for plan in group]
        which = "all" if len(group) == n_cells[split] else listed(names)
        cells = f"{len(group)} of {n_cells[split]}"
        rows.append((split, cells, which, *costs(group), why or "complete"))
    if len(rows) > 1:
        rows.append(("all", str(len(plans)), "", *costs(plans), ""))
    embeddings = ("embeddings",) if embedded else ()
    hours = () if seconds is None else ("hours",)
    headings = (*HEADINGS, *embeddings, *hours, "why")
    return aligned([headings, *rows], right={1, *range(3, len(headings) - 1)})


def _costs(
    plans: Sequence[FillPlan],
    *,
    params: ExtractParams,
    seconds: Seconds | None,
    embedded: Collection[tuple[str, str]],
) -> tuple[str, ...]:
    about = "" if all(plan.is_exact for plan in plans) else "~"
    n_images, n_objects = Counter[str](), Counter[str]()
    for plan in plans:
        split = plan.name.split
        n_images[split] = max(n_images[split], plan.n_images)
        n_objects[split] = max(n_objects[split], plan.n_objects)
    sizes = [cell_bytes(plan.name, plan.n_images, plan.n_objects, params) for plan in plans]
    features, low, high, n_embedding_bytes = map(sum, zip(*sizes, strict=True))
    embeddings = (f"{about}{bytes_text(n_embedding_bytes)}",) if embedded else ()
    hours = () if seconds is None else (f"~{_hours(plans, seconds, params, embedded):.2g}",)
    return (
        f"{about}{sum(plan.n_shards for plan in plans):,}",
        f"{about}{n_images.total():,}",
        f"{about}{n_objects.total():,}",
        f"{about}{sum(plan.n_objects * len(plan.name.prompts) for plan in plans):,}",
        f"{about}{bytes_text(features)}",
        f"{about}{bytes_text(low, high)}",
        *embeddings,
        *hours,
    )


def _timed(params: ExtractParams) -> Seconds:
    # Imported late: Torch takes seconds, and most plans need none of it.
    from stages.extraction.timing import extraction_seconds  # noqa: PLC0415

    return cache(partial(extraction_seconds, params))


def _hours(
    plans: Sequence[FillPlan],
    seconds: Seconds,
    params: ExtractParams,
    embedded: Collection[tuple[str, str]],
) -> float:
    """Hours that a single process needs to compute the missing images and objects.

    ``embedded`` has the split and the model of each cell of embeddings: they are computed first,
    and cells that are decoded from them need no encoder.
    """
    total = 0.0
    for plan in plans:
        if plan.n_images:
            name = plan.name
            per_image, per_object = seconds(name.model, name.prompts, with_masks=name.with_masks)
            if may_be_decoded(name, params) and (name.split, name.model) in embedded:
                per_image = 0.0
            total += plan.n_images * per_image + plan.n_objects * per_object
    return total / 3600
