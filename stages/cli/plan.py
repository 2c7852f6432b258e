"""``usam plan``: what the cells of ``params.yaml`` will take, before anything runs."""

import sys
from collections.abc import Mapping, Sequence
from typing import Annotated, Final

import typer

from pipeline.sam.families import mask_side_of
from stages.cli.columns import aligned, bytes_text
from stages.filling.plans import CellPlan, cell_bytes, n_cell_files, names_text, plan_split
from stages.program.main import one_line, reported_errors
from stages.settings.blocks import ExtractParams
from stages.settings.params import Params, read_params
from stages.settings.signatures import CellName
from storage.errors import DataError
from storage.store.grid import mask_bytes

HEADINGS: Final = (
    *("split", "images", "objects", "cells", "there"),
    *("predictions", "features", "masks", "files"),
)
LACKING: Final = ("split", "cells", "which", "shards", "objects", "bytes", "why")
NUMBERS: Final = {1, 3, 4, 5}


WithTime = Annotated[
    bool,
    typer.Option("--time", help="Also estimate the hours: times each model on a drawn scene."),
]

Seconds = Mapping[tuple[str, tuple[str, ...], bool], tuple[float, float]]
"""Seconds per image and per object by model, prompt sets, and whether with masks."""


def plan(with_time: WithTime = False) -> None:  # noqa: FBT002 - typer's option
    """Show what a run will take, what it will run, and why.

    Exit 1 if the annotations of a split cannot be read.
    """
    with reported_errors():
        params = read_params()
        splits_of = {"extract": params.eval_splits, "extract_train": params.train_splits}
        by_stage = {stage: _plans(splits, params) for stage, splits in splits_of.items()}
    for stage, plans in by_stage.items():
        if plans:
            print(f"{stage}\n{_table(plans, params.extract)}")
    cells = [cell for plans in by_stage.values() for of_split in plans for cell in of_split]
    if todo := [cell for cell in cells if cell.why]:
        with reported_errors():
            seconds = _timed(todo, params.extract) if with_time else None
        print(f"to run\n{lacking_table(todo, cells, params.extract.family, seconds)}")
    if cells:
        print(_assumed(mask_side_of(params.extract.family)))
    if sum(map(len, by_stage.values())) < sum(map(len, splits_of.values())):
        raise typer.Exit(1)


def _timed(cells: Sequence[CellPlan], params: ExtractParams) -> Seconds:
    # Imported late: Torch takes seconds, and most plans need none of it.
    from stages.extraction.timing import extraction_seconds  # noqa: PLC0415

    kinds = dict.fromkeys(_kind(cell.name) for cell in cells)
    return {
        kind: extraction_seconds(params, kind[0], kind[1], with_masks=kind[2]) for kind in kinds
    }


def _kind(name: CellName) -> tuple[str, tuple[str, ...], bool]:
    return name.model, name.prompts, name.with_masks


def _assumed(side_px: int) -> str:
    size = f"{bytes_text(*mask_bytes(side_px))} for each of {side_px} x {side_px}"
    return f"features uncompressed, masks at {size}; ~ estimated from some annotations"


def _plans(splits: Sequence[str], params: Params) -> list[list[CellPlan]]:
    """Cells of each split that can be read; the others are named."""
    plans = []
    for split in splits:
        try:
            plans.append(plan_split(split, params))
        except (DataError, OSError) as error:
            print(f"error: {split}: {one_line(error)}", file=sys.stderr)
    return plans


def _table(plans: Sequence[Sequence[CellPlan]], params: ExtractParams) -> str:
    """A line per split and, of several, their sum."""
    rows = [(cells[0].name.split, *_sums(cells, params)) for cells in plans]
    if len(plans) > 1:
        rows.append(("all", *_sums([cell for cells in plans for cell in cells], params)))
    return aligned([HEADINGS, *rows], right=range(1, len(HEADINGS)))


def _sums(cells: Sequence[CellPlan], params: ExtractParams) -> list[str]:
    extents = {cell.name.split: cell.extent for cell in cells}.values()
    about = _about(cells)
    sized = [(cell.name, cell.extent.n_objects) for cell in cells]
    features, low, high = _bytes(sized, params.family)
    n_files = sum(n_cell_files(*one, params.shard_objects) for one in sized)
    return [
        f"{about}{sum(extent.n_images for extent in extents):,}",
        f"{about}{sum(extent.n_objects for extent in extents):,}",
        f"{len(cells):,}",
        f"{sum(not cell.why for cell in cells):,}",
        f"{about}{sum(n_objects * len(name.prompts) for name, n_objects in sized):,}",
        f"{about}{bytes_text(features)}",
        f"{about}{bytes_text(low, high)}" if high else "none",
        f"{about}{n_files:,}",
    ]


def lacking_table(
    todo: Sequence[CellPlan],
    cells: Sequence[CellPlan],
    family: str,
    seconds: Seconds | None = None,
) -> str:
    """What cells lack: a line for each split and reason, and their sum."""
    groups: dict[tuple[str, str], list[CellPlan]] = {}
    for cell in todo:
        groups.setdefault((cell.name.split, cell.why), []).append(cell)
    rows = []
    for (split, why), some in groups.items():
        of_split = [cell.name for cell in cells if cell.name.split == split]
        which = names_text([cell.name for cell in some], of_split)
        costs = _costs(some, family, seconds)
        rows.append((split, f"{len(some)} of {len(of_split)}", which, *costs, why))
    if len(rows) > 1:
        costs = _costs(todo, family, seconds)
        rows.append(("all", f"{len(todo)} of {len(cells)}", "", *costs, ""))
    hours = ("hours",) if seconds else ()
    return aligned([(*LACKING[:-1], *hours, LACKING[-1]), *rows], right={*NUMBERS, 5 + len(hours)})


def _costs(cells: Sequence[CellPlan], family: str, seconds: Seconds | None) -> tuple[str, ...]:
    about = _about(cells)
    hours = (f"~{_hours(cells, seconds):.2g}",) if seconds else ()
    features, low, high = _bytes([(cell.name, cell.n_objects) for cell in cells], family)
    return (
        f"{about}{sum(cell.n_shards for cell in cells):,}",
        f"{about}{sum(cell.n_objects for cell in cells):,}",
        f"{about}{bytes_text(features + low, features + high)}",
        *hours,
    )


def _hours(cells: Sequence[CellPlan], seconds: Seconds) -> float:
    """Hours of one process that computes what is lacking."""
    total = 0.0
    for cell in cells:
        of_image, of_object = seconds[_kind(cell.name)]
        images = cell.extent.n_images / max(cell.extent.n_objects, 1)
        total += cell.n_objects * (of_object + images * of_image)
    return total / 3600


def _about(cells: Sequence[CellPlan]) -> str:
    return "" if all(cell.extent.is_exact for cell in cells) else "~"


def _bytes(sized: Sequence[tuple[CellName, int]], family: str) -> tuple[int, int, int]:
    """Smallest and largest bytes of features and of masks for so many objects."""
    features, low, high = map(sum, zip(*(cell_bytes(*one, family) for one in sized), strict=True))
    return features, low, high
