"""Fills cells in this process or by workers, and publishes a cell that has all of its shards."""

import sys
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, Final

from stages.executor.executors import executor_of
from stages.executor.tasks import N_NAMED, Done, Failure, Task, results_of
from stages.extraction.cells import choose_device, embeddings_of, on_devices
from stages.program.main import REPORTED, check_unchanged
from stages.program.progress import Count, progress
from stages.program.stopping import stoppable
from stages.settings.blocks import ExecutorParams, ExtractParams
from storage.errors import ImageError, StoreError, counted, hidden, listed
from storage.images.videos import address_in
from storage.pool.adoption import adopt, open_published, published_stores
from storage.pool.cell import Cell
from storage.pool.publishing import DamagedShardsError, publish
from storage.split.cell_name import CellName
from storage.split.object_table import read_objects_of
from storage.split.sharded_table import SHARD_IMAGES, ShardedTable
from storage.split.split_cells import OpenCell
from storage.store.inspection import open_store

Wanted = Mapping[Cell, Collection[str]]
"""Names of the shards to compute, by cell."""

Errors = dict[str, BaseException]
"""Reasons why cells stay incomplete, by the cell's name as text."""

Unread = dict[str, dict[str, str]]
"""Error messages of unreadable images: by the cell's name, then by image file."""

N_ATTEMPTS: Final = 3
"""Number of times that a cell with damaged shards is filled and published, before the disk is
blamed."""

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


def device_here(setting: str) -> str:
    """Device on which this process computes, ``cpu`` or ``cuda``.

    ``setting`` is the value of ``extract.device``; ``auto`` is the GPU if there is one. Raises a
    ParamsError for ``cuda`` without a GPU, and for an unknown value.
    """
    # The models take seconds to import, and most importers of this module compute nothing.
    from stages.extraction.models import settled_device  # noqa: PLC0415

    return settled_device(setting).type


def fill(
    wanted: Wanted, images: Mapping[str, str], params: ExtractParams, executor: ExecutorParams
) -> Errors:
    """Compute the shards of cells that the pool lacks, one cell after the other; write no outputs.

    If a cell cannot be filled, the other cells are still filled. ``images`` has the folder of each
    split's images.

    Returns
    -------
    For each cell that stays incomplete, the error that is the reason; empty if all are complete.

    Raises
    ------
    StoreError
        If shards that workers have written do not appear on this machine within ``LATE_S``.
    """
    todo = lacking(wanted)
    if not todo:
        return {}
    from stages.filling import shards  # noqa: PLC0415 - imports the models

    unread: Unread = {str(cell): {} for cell in todo}
    errors: Errors = {}
    title, count_rows = _progress_of(todo)
    with count_rows as count:
        if executor.kind != "inline":
            tasks = chain(*(_tasks(cell, todo[cell], images, params) for cell in todo))
            uses_gpu = any(cell.signature["device"] != "cpu" for cell in todo)
            with executor_of(executor, title, uses_gpu=uses_gpu) as run:
                _note_outcomes(run(tasks), count, unread, errors)
        else:
            for cell, names in todo.items():
                try:
                    inputs = shards.load(cell, images[cell.name.split], params)
                    embeddings = embeddings_of(cell, params)
                    unread[str(cell)] |= shards.fill_shards(cell, names, *inputs, count, embeddings)
                except REPORTED as error:
                    errors[str(cell)] = error
    for cell in todo:
        if unread[str(cell)]:
            folder = Path(images[cell.name.split])
            errors.setdefault(str(cell), unread_error(cell, folder, unread[str(cell)]))
    _check_shown({cell: names for cell, names in todo.items() if str(cell) not in errors})
    return errors


def lacking(wanted: Wanted) -> dict[Cell, list[str]]:
    """Names of the wanted shards that the pool lacks, by cell; complete cells are left out."""
    todo = {}
    for cell, names in wanted.items():
        of_process = frozenset(names)
        if lacking_here := [name for name in cell.lacking() if name in of_process]:
            todo[cell] = lacking_here
    return todo


def _progress_of(todo: Wanted) -> tuple[str, AbstractContextManager[Count]]:
    """Title of the computation of some shards, and its progress."""
    units = {"images" if cell.name.is_embeddings else "objects" for cell in todo}
    unit = units.pop() if len(units) == 1 else "rows"
    verb = "embed" if unit == "images" else "extract"
    title = f"{verb} {next(iter(todo))}" if len(todo) == 1 else "fill"
    n_rows = sum(cell.split.count_rows([*names]) for cell, names in todo.items())
    return title, progress(title, n_rows, unit)


def _note_outcomes(
    outcomes: Iterable[Done[Any] | Failure], count: Count, unread: Unread, errors: Errors
) -> None:
    """Add the outcomes of workers, a task per shard, to ``unread`` and ``errors``."""
    for outcome in outcomes:
        part, *_ = outcome.task.arguments
        if isinstance(outcome, Done):
            unread[str(part)].update(outcome.result)
            count(part.split.n_rows)
        elif isinstance(outcome.error, REPORTED):
            errors.setdefault(str(part), outcome.error)
        else:
            raise outcome.error


def _tasks(
    cell: Cell, names: Collection[str], images: Mapping[str, str], params: ExtractParams
) -> Iterator[Task[Any]]:
    """Yield a task per shard, which has the shard's part of the cell and of its embeddings."""
    from stages.filling.shards import fill_part  # noqa: PLC0415 - imports the models

    embeddings = embeddings_of(cell, params)
    for shard in (cell.split.shards[name] for name in names):
        part, embedded = cell.part(shard.index, shard.index + 1), None
        if embeddings:
            first, last = shard.pieces[0].image, shard.pieces[-1].image
            embedded = embeddings.part(first // SHARD_IMAGES, last // SHARD_IMAGES + 1)
        inputs = (part, images[cell.name.split], params, embedded)
        yield Task(f"shard {shard.index} of {cell}", fill_part, inputs)


def unread_error(cell: Cell, folder: Path, images: Mapping[str, str]) -> ImageError:
    """Error about images of a cell that cannot be read; ``images`` has why, by image file."""
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


def _check_shown(wanted: Wanted) -> None:
    """Wait until all computed shards appear here, with a note; raise after ``LATE_S``."""
    until, is_noted = time.monotonic() + LATE_S, False
    while late := lacking(wanted):
        n_shards = counted(sum(map(len, late.values())), "shard")
        folder = next(iter(late)).pool.absolute()
        if time.monotonic() > until:
            raise StoreError(
                f"shards that were computed must be in {folder}, got {n_shards} that are not: "
                "all processes must write to the same folder"
            )
        if not is_noted:
            print(f"note: waiting for {n_shards} to appear in {folder}", file=sys.stderr)
            is_noted = True
        time.sleep(LOOK_S)


def run_cell(name: CellName, images: str, params: ExtractParams, executor: ExecutorParams) -> None:
    """Compute the shards of a cell that the pool lacks, and write its stores as outputs.

    A shard is a file with the rows of some objects; the pool is the folder of all computed shards.
    Intact shards in the cell's former outputs are used, also if DVC has removed the outputs. If no
    shard is missing, neither a model nor its libraries are loaded. ``images`` is the folder of the
    split's images.

    An unreadable image is an ``ImageError``; all shards without it were extracted and are kept.
    Shards that stay damaged on the disk are a ``StoreError`` after ``N_ATTEMPTS`` attempts.
    """
    split = ShardedTable(read_objects_of(name.split), params.shard_objects)
    cell = cell_to_fill(name, params, split, partial(device_of, params, executor))

    def fill_lacking() -> None:
        if errors := fill({cell: cell.split.names}, {name.split: images}, params, executor):
            raise errors[str(cell)]
        check_unchanged()

    with stoppable(f"finished shards are kept in {cell.folder}"):
        makers = publish_filled(cell, name.outputs, executor, fill_lacking)
        _note_makers(name, makers)


def publish_filled(
    cell: Cell,
    outputs: Mapping[str, Path],
    executor: ExecutorParams,
    fill_lacking: Callable[[], None],
) -> set[str]:
    """Fill and publish a cell; damaged shards are dropped with a note, and computed again.

    ``fill_lacking`` computes the shards that the pool lacks. Tasks of the executor publish the
    parts of a cell.

    Returns
    -------
    Names of the processors and GPUs that computed the shards, as far as known.

    Raises
    ------
    StoreError
        If some are damaged after ``N_ATTEMPTS`` attempts.
    """
    faults: Mapping[str, str] = {}
    for _ in range(N_ATTEMPTS):
        fill_lacking()
        try:
            return publish(cell, outputs, partial(_as_tasks, executor, cell))
        except DamagedShardsError as error:
            faults = error.faults
        for shard, fault in faults.items():
            _note_again(cell.split.shards[shard].index, cell, fault)
            cell.drop(shard)
    raise StoreError(
        f"shards in {cell.folder} must be as they were written, got {N_ATTEMPTS} times in a "
        f"row some that were not ({listed([*faults.values()])})"
    )


def _as_tasks(
    executor: ExecutorParams, cell: Cell, function: Callable[..., Any], parts: Sequence[Any]
) -> list[Any]:
    """Call a function with the arguments of each part, by the executor if there are several."""
    tasks = [Task(f"part {i} of {cell}", function, part) for i, part in enumerate(parts)]
    with executor_of(executor if len(tasks) > 1 else ExecutorParams(), f"publish {cell}") as run:
        return results_of(run, tasks)


def cell_to_fill(
    name: CellName, params: ExtractParams, split: ShardedTable, find_device: Callable[[], str]
) -> Cell:
    """Copy published shards of a cell to the pool; return the cell on the device of its shards.

    Shards that the pool lacks are taken from outputs of the cell, and embeddings from published
    embeddings of its images. The device is the one that made all shards, or the one that will
    compute the missing shards, see ``choose_device``.
    """
    cells = on_devices(name, params, split)
    adopt_outputs(cells)
    # A complete cell reads no embeddings.
    incomplete = {device: cell for device, cell in cells.items() if cell.lacking()}
    adopt_outputs(
        {
            device: embeddings
            for device, cell in incomplete.items()
            if (embeddings := embeddings_of(cell, params))
        }
    )
    return choose_device(cells, find_device)


def adopt_outputs(cells: Mapping[str, Cell]) -> None:
    """Take shards that the pool lacks from a cell's published outputs.

    Nothing is done if the pool has all shards of the cell on one of the devices, or if the outputs
    are missing, damaged or of other settings. A damaged shard is left out. Damage is noted.
    ``cells`` is the cell on each device that its settings allow; outputs belong to one device.
    """
    if not cells or not all(cell.lacking() for cell in cells.values()):
        return
    with published_stores(next(iter(cells.values())).name.outputs) as paths:
        if paths:
            adopt_fitting(cells, paths)


def adopt_fitting(cells: Mapping[str, Cell], paths: Mapping[str, Path]) -> None:
    """Take shards that the pool lacks from stores, see ``fitting``."""
    if fit := fitting(cells, paths):
        published, cell = fit
        for shard, fault in adopt(cell, published).items():
            _note_again(shard, cell, fault)


def fitting(cells: Mapping[str, Cell], paths: Mapping[str, Path]) -> tuple[OpenCell, Cell] | None:
    """Open the published stores of a cell, and find the device of ``cells`` that made them.

    ``paths`` has the path of each store by kind.

    Returns
    -------
    The stores, and the cell on their device. None if the stores are damaged, which is noted, or
    were made under other settings or on another device.
    """
    try:
        (main, *_) = paths.values()
        signature = open_store(main).signature
        cell = cells.get(str(signature.get("device")))
        # Checked before the arrays are opened: stores of another version may have other arrays.
        if cell is None or cell.difference(signature):
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


def _note_again(shard: int, cell: Cell, fault: str) -> None:
    print(f"note: shard {shard} of {cell} is extracted again: {fault}", file=sys.stderr)
