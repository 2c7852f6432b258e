"""``usam plan``: what the cells of ``params.yaml`` will take, before anything runs."""

import sys
from collections.abc import Sequence
from typing import Final

import typer

from pipeline.sam.families import SIZES
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


def plan() -> None:
    """Show the size of all cells, which exist, and why the others would run; run nothing.

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
        print(f"to run\n{lacking_table(todo, cells, params.extract.family)}")
    if cells:
        print(_assumed(SIZES[params.extract.family].mask_side_px))
    if sum(map(len, by_stage.values())) < sum(map(len, splits_of.values())):
        raise typer.Exit(1)


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


def lacking_table(todo: Sequence[CellPlan], cells: Sequence[CellPlan], family: str) -> str:
    """What cells lack: a line for each split and reason, and their sum."""
    groups: dict[tuple[str, str], list[CellPlan]] = {}
    for cell in todo:
        groups.setdefault((cell.name.split, cell.why), []).append(cell)
    rows = []
    for (split, why), some in groups.items():
        of_split = [cell.name for cell in cells if cell.name.split == split]
        which = names_text([cell.name for cell in some], of_split)
        rows.append((split, f"{len(some)} of {len(of_split)}", which, *_costs(some, family), why))
    if len(rows) > 1:
        rows.append(("all", f"{len(todo)} of {len(cells)}", "", *_costs(todo, family), ""))
    return aligned([LACKING, *rows], right=NUMBERS)


def _costs(cells: Sequence[CellPlan], family: str) -> tuple[str, str, str]:
    about = _about(cells)
    features, low, high = _bytes([(cell.name, cell.n_objects) for cell in cells], family)
    return (
        f"{about}{sum(cell.n_shards for cell in cells):,}",
        f"{about}{sum(cell.n_objects for cell in cells):,}",
        f"{about}{bytes_text(features + low, features + high)}",
    )


def _about(cells: Sequence[CellPlan]) -> str:
    return "" if all(cell.extent.is_exact for cell in cells) else "~"


def _bytes(sized: Sequence[tuple[CellName, int]], family: str) -> tuple[int, int, int]:
    """Smallest and largest bytes of features and of masks for so many objects."""
    features, low, high = map(sum, zip(*(cell_bytes(*one, family) for one in sized), strict=True))
    return features, low, high
