"""Fills cells in this process or by workers, and publishes a cell that has all of its shards."""

import sys
import time
from collections.abc import Collection, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Final

from stages.executor.executors import N_NAMED, Done, Task, executor_of, results_of
from stages.filling.job import (
    FillJob,
    Unread,
    choose_device,
    device_here,
    embeddings_of,
    fill_shards,
    jobs_of,
    prepared,
)
from stages.program.main import REPORTED, check_unchanged
from stages.program.progress import Count, progress
from stages.program.stopping import stoppable
from stages.settings.blocks import ExecutorParams, ExtractParams, Split
from stages.settings.signatures import CellName
from storage.errors import ImageError, StoreError, counted, hidden, listed
from storage.images.videos import address_in
from storage.pool.adoption import PublishedShards, adopt, open_published, published_stores
from storage.pool.cell import Cell
from storage.pool.publishing import compare_shards, publish
from storage.split.sharded_table import ShardedTable
from storage.store.inspection import open_store

N_FILLED: Final = 3
"""Number of attempts to compute a cell without damaged shards, before the disk is blamed."""

LATE_S: Final = 90.0
"""Longest wait, in seconds, for files written on other hosts to appear: NFS takes up to 60 s."""

LOOK_S: Final = 1.0
"""Seconds between two checks for files that have not appeared yet."""


def device_of(params: ExtractParams, executor: ExecutorParams) -> str:
    """Find the device on which the executor's workers will compute, ``cpu`` or ``cuda``."""
    setting = params.device
    if executor.kind in {"inline", "local"}:
        return device_here(setting)
    if setting != "auto":
        return setting
    if executor.kind == "slurm":
        # No job is submitted to ask a worker: the job might wait for hours.
        return "cuda" if executor.slurm.gpus else "cpu"
    with executor_of(executor) as run:
        (device,) = results_of(run, [Task("the device of a worker", device_here, (setting,))])
    return device


def fill(cells: Mapping[FillJob, Cell], executor: ExecutorParams) -> dict[FillJob, BaseException]:
    """Compute the shards of cells that the pool lacks, one cell after the other; write no outputs.

    If a cell cannot be filled, the other cells are still filled.

    Returns
    -------
    For each cell that stays incomplete, the error that is the reason; empty if all are complete.

    Raises
    ------
    StoreError
        If shards that workers have written do not appear on this machine within ``LATE_S``.
    """
    todo = _todo(cells)
    if not todo:
        return {}
    unread: dict[FillJob, dict[str, str]] = {job: {} for job in todo}
    errors: dict[FillJob, BaseException] = {}
    units = {"images" if job.name.is_embeddings else "objects" for job in todo}
    unit = units.pop() if len(units) == 1 else "rows"
    verb = "embed" if unit == "images" else "extract"
    title = f"{verb} {next(iter(todo))}" if len(todo) == 1 else "fill"
    n_rows = sum(cells[job].split.count_rows(names) for job, names in todo.items())
    with progress(title, n_rows, unit) as count:
        if executor.kind != "inline":
            _fill_by_workers(cells, todo, executor, count=count, unread=unread, errors=errors)
        else:
            for job, names in todo.items():
                try:
                    unread[job] |= fill_shards(job, tuple(names), count)
                except REPORTED as error:
                    errors[job] = error
    for job, images in unread.items():
        if images:
            errors.setdefault(job, _unread_error(job, cells[job], images))
    _check_shown({job: cells[job] for job in todo if job not in errors})
    return errors


def _fill_by_workers(
    cells: Mapping[FillJob, Cell],
    todo: Mapping[FillJob, Sequence[str]],
    executor: ExecutorParams,
    *,
    count: Count,
    unread: Mapping[FillJob, dict[str, str]],
    errors: dict[FillJob, BaseException],
) -> None:
    """Compute shards by workers, a task per shard; add to ``unread`` and ``errors``."""
    tasks = (
        Task(f"shard {cells[job].split.shards[name].index} of {job}", fill_shards, (job, (name,)))
        for job, names in todo.items()
        for name in names
    )
    with executor_of(executor, uses_gpu=any(job.device != "cpu" for job in todo)) as run:
        for outcome in run(tasks):
            job, names = outcome.task.arguments
            if isinstance(outcome, Done):
                unread[job].update(outcome.result)
                count(cells[job].split.count_rows(names))
            elif isinstance(outcome.error, REPORTED):
                errors.setdefault(job, outcome.error)
            else:
                raise outcome.error


def _todo(cells: Mapping[FillJob, Cell]) -> dict[FillJob, list[str]]:
    """Names of the missing shards of each cell; complete cells are left out."""
    return {job: names for job, cell in cells.items() if (names := cell.todo())}


def _unread_error(job: FillJob, cell: Cell, images: Unread) -> ImageError:
    folder = Path(job.place.images)
    if not folder.exists():
        return ImageError(
            f"images must be in the folder {folder}, got no such folder: put it there and run again"
        )
    address = address_in(folder)
    place = f"at {hidden(address)}" if address else f"in {folder}"
    named = listed([f"{file}: {why}" for file, why in images.items()], N_NAMED, "; ")
    return ImageError(
        f"images {place} must be extracted, got {len(images)} that cannot be ({named}); all "
        f"shards without them are kept in {cell.folder}: fix or replace these images and run again"
    )


def _check_shown(cells: Mapping[FillJob, Cell]) -> None:
    """Wait until all computed shards appear here, with a note; raise after ``LATE_S``."""
    until, is_noted = time.monotonic() + LATE_S, False
    while late := _todo(cells):
        n_shards = counted(sum(map(len, late.values())), "shard")
        folder = cells[next(iter(late))].folder.parent.absolute()
        if time.monotonic() > until:
            raise StoreError(
                f"shards that were computed must be in {folder}, got {n_shards} that are not: "
                "all processes must write to the same folder"
            )
        if not is_noted:
            print(f"note: waiting for {n_shards} to appear in {folder}", file=sys.stderr)
            is_noted = True
        time.sleep(LOOK_S)


def run_cell(name: CellName, place: Split, params: ExtractParams, executor: ExecutorParams) -> None:
    """Compute the shards of a cell that the pool lacks, and write its stores as outputs.

    A shard is a file with the rows of some objects; the pool is the folder of all computed shards.
    Intact shards in the cell's former outputs are used, also if DVC has removed the outputs. If no
    shard is missing, neither a model nor its libraries are loaded. ``place`` is the split's images
    and annotations.

    An unreadable image is an ``ImageError``; all shards without it were extracted and are kept.
    Shards that stay damaged on the disk are a ``StoreError`` after ``N_FILLED`` attempts.
    """
    split = prepared(name.split, params.shard_objects)
    cells = jobs_of(name, place, params, split)
    adopt_outputs(name, cells)
    adopt_embeddings(cells, split)
    job = choose_device(cells, partial(device_of, params, executor))
    cell = cells[job]
    with stoppable(f"finished shards are kept in {cell.folder}"):
        for _ in range(N_FILLED):
            if errors := fill({job: cell}, executor):
                raise errors[job]
            compared = compare_shards(cell)
            if not compared.faults:
                break
            for shard, fault in compared.faults.items():
                _note_again(cell.split.shards[shard].index, name, fault)
                cell.drop(shard)
        else:
            raise StoreError(
                f"shards in {cell.folder} must be as they were written, got {N_FILLED} times in a "
                f"row some that were not ({listed(list(compared.faults.values()))})"
            )
        _note_makers(name, compared.makers)
        check_unchanged()
        publish(cell, name.outputs, compared)


def adopt_outputs(name: CellName, cells: Mapping[FillJob, Cell]) -> int:
    """Take shards that the pool lacks from a cell's published outputs; return their number.

    Nothing is done if the pool has all shards of the cell on one of the devices, or if the outputs
    are missing, damaged or of other settings. A damaged shard is left out. Damage is noted.
    ``cells`` is the cell on each device that its settings allow; outputs belong to one device.
    """
    if not all(cell.lacking() for cell in cells.values()):
        return 0
    with published_stores(name.outputs) as paths:
        fit = fitting(cells, paths) if paths else None
        if fit is None:
            return 0
        published, cell = fit
        n_shards, faults = adopt(cell, published)
        for shard, fault in faults.items():
            _note_again(shard, name, fault)
        return n_shards


def adopt_embeddings(cells: Mapping[FillJob, Cell], split: ShardedTable) -> None:
    """Put published embeddings into the pool; a cell's missing shards are decoded from them.

    Nothing is done for a complete cell, for a cell that is not decoded from embeddings, and without
    published embeddings of its model.
    """
    of_images: dict[FillJob, Cell] = {}
    for job, cell in cells.items():
        of_images |= embeddings_of(job, split) if cell.lacking() else {}
    name = next((job.name for job in of_images), None)
    if name is not None and all(path.exists() for path in name.outputs.values()):
        adopt_outputs(name, of_images)


def fitting(
    cells: Mapping[FillJob, Cell], paths: Mapping[str, Path]
) -> tuple[PublishedShards, Cell] | None:
    """Open the published stores of a cell, and find the device of ``cells`` that made them.

    ``paths`` has the path of each store by kind.

    Returns
    -------
    The stores, and the cell on their device. None if the stores are damaged, which is noted, or
    were made under other settings or on another device.
    """
    by_device = {job.device: cell for job, cell in cells.items()}
    try:
        (main, *_) = paths.values()
        signature = open_store(main).signature
        cell = by_device.get(str(signature.get("device")))
        # Checked before the arrays are opened: stores of another version may have other arrays.
        if cell is None or not cell.fits(signature):
            return None
        return open_published(paths), cell
    except StoreError as error:
        print(f"note: {error}", file=sys.stderr)
        return None


def _note_makers(name: CellName, makers: Collection[str]) -> None:
    if len(makers) > 1:
        print(
            f"note: {name} mixes kinds of device ({', '.join(sorted(makers))}), which differ in "
            "the last digits",
            file=sys.stderr,
        )


def _note_again(shard: int, name: CellName, fault: str) -> None:
    print(f"note: shard {shard} of {name} is extracted again: {fault}", file=sys.stderr)
