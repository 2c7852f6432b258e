"""Runs one cell: computes its missing shards, then publishes it."""

import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Final

from stages.filling.fill import Filling, device_of, fill
from stages.filling.job import CellJob, possible_jobs, prepared, settled_job
from stages.program.main import check_unchanged
from stages.program.stopping import stoppable
from stages.settings.blocks import ExecutorParams, ExtractParams, Split
from stages.settings.signatures import CellName
from storage.errors import StoreError, counted, listed
from storage.pool.adoption import PublishedCell, adopt, open_published, published_stores
from storage.pool.cell import Cell
from storage.pool.inputs import PreparedSplit
from storage.pool.publishing import Comparison, compare_shards, publish
from storage.store.inspection import open_store

N_TRIES: Final = 3
"""How often damaged shards are recomputed before the disk is blamed."""


def run_cell(name: CellName, place: Split, params: ExtractParams, executor: ExecutorParams) -> None:
    """Extract one cell into ``cache/features`` and, with masks, ``cache/masks``.

    What is intact of its present outputs, or of those that DVC has removed, is taken over. Where
    nothing is lacking, no model is needed, nor its libraries.

    Raises
    ------
    ImageError
        If images failed, after all shards without them were extracted and kept.
    """
    split = prepared(name.split, params.shard_objects)
    jobs = possible_jobs(name, place, params, split)
    adopt_outputs(jobs, split)
    job = settled_job(jobs, split, partial(device_of, params, executor))
    cell = job.cell(split)
    with stoppable(f"finished shards are kept in {cell.folder}"):
        compared = _filled(job, cell, executor)
        _note_kinds(job, compared)
        check_unchanged()
        publish(cell, name.outputs, compared)


def adopt_outputs(jobs: dict[str, CellJob], split: PreparedSplit) -> int:
    """Put the shards of a cell's outputs that the pool lacks into it.

    Parameters
    ----------
    jobs
        The cell on each device that its settings allow.

    Returns
    -------
    How many.
    """
    if not all(job.cell(split).lacking() for job in jobs.values()):
        return 0
    name = next(iter(jobs.values())).name
    with published_stores(name.outputs) as paths:
        if not paths or not (found := fitting(jobs, split, paths)):
            return 0
        n_shards, faults = adopt(found[1], found[0])
        for shard, fault in faults.items():
            print(f"note: shard {shard} of {name} is extracted again: {fault}", file=sys.stderr)
        return n_shards


def fitting(
    jobs: dict[str, CellJob], split: PreparedSplit, paths: Mapping[str, Path]
) -> tuple[PublishedCell, Cell] | None:
    """Published stores whose shards serve a cell, on the device that made them; None if none do."""
    try:
        signature = open_store(paths["features"]).signature
        job = jobs.get(str(signature.get("device")))
        cell = None if job is None else job.cell(split)
        # Before their arrays are opened: stores of another version may have others.
        fits = cell is not None and cell.fits(signature)
        return (open_published(paths), cell) if cell is not None and fits else None
    except StoreError as error:
        print(f"note: {error}", file=sys.stderr)
        return None


def _filled(job: CellJob, cell: Cell, executor: ExecutorParams) -> Comparison:
    """Fill a cell until every shard matches its digests."""
    split = cell.split
    for _ in range(N_TRIES):
        if lacking := cell.lacking():
            if n_done := split.table.n_objects - split.n_objects(lacking):
                print(f"{job}: {counted(n_done, 'object')} already done", file=sys.stderr)
            filling = Filling(job, split, frozenset(split.names))
            fill([filling], executor)
            if filling.error is not None:
                raise filling.error
        compared = compare_shards(cell)
        if not compared.faults:
            return compared
        for name, fault in compared.faults.items():
            index = split.shards[name].index
            print(f"note: shard {index} of {job} is extracted again: {fault}", file=sys.stderr)
            cell.drop(name)
    raise StoreError(
        f"shards in {cell.folder} must be as they were written, got {N_TRIES} times in a row some "
        f"that were not ({listed(list(compared.faults.values()))})"
    )


def _note_kinds(job: CellJob, compared: Comparison) -> None:
    """Say that a cell mixes kinds of device, as far as they are known."""
    if len(compared.makers) > 1:
        print(
            f"note: {job} mixes kinds of device ({', '.join(sorted(compared.makers))}), which "
            "differ in the last digits",
            file=sys.stderr,
        )
