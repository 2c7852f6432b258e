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
from stages.settings.params import Params, read_params
from storage.errors import DataError, StoreError, listed
from storage.store.chunk_grid import MASK_SIDE_PX, mask_bytes

HEADINGS: Final = (
    *("split", "cells", "which", "shards", "images", "objects", "predictions"),
    *("features", "masks"),
)

HOST_MS: Final = (90, 107)
"""Fewest and most milliseconds of a core that the host needs for an image with 7 objects in a cell
of 9 prompt sets with masks of 256 px: reading, altering, compressing; measured on AMD EPYC."""

GPU_MS: Final = (7.3, 13.2)
"""Milliseconds of an H100 for the same, of SAM 2.1's tiny and large model: a roofline, computed
from kernels and bytes, not measured."""

N_CORES: Final = tuple(round(host / gpu) for host, gpu in zip(HOST_MS, GPU_MS[::-1], strict=True))
"""Fewest and most cores that keep up with a GPU."""


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
            if side_px == MASK_SIDE_PX and any(plan.n_shards for plan in plans):
                _print_cores(params)
    if not is_whole:
        raise typer.Exit(1)


def _print_cores(params: Params) -> None:
    """Print how many cores keep up with a GPU, and a note if jobs of SLURM have fewer."""
    if params.extract.device == "cpu":
        return
    host, gpu, cores = ("{:.0f} to {:.0f}".format(*ends) for ends in (HOST_MS, GPU_MS, N_CORES))
    print(
        f"cores beside a GPU: {cores}; for an image in a cell, the host takes {host} ms of a core, "
        f"an H100 {gpu} ms (computed)"
    )
    slurm = params.executor.slurm
    if params.executor.kind == "slurm" and slurm.cores < N_CORES[0] * slurm.gpus:
        print(
            f"note: executor.slurm.cores should be at least {N_CORES[0] * slurm.gpus} for "
            f"gpus: {slurm.gpus}, got {slurm.cores}, for which the GPU would wait",
            file=sys.stderr,
        )


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
