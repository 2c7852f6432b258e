"""Missing shards of all cells, and the workers that compute them."""

import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from stages.executor.tasks import Task, check_all_done, run_tasks
from stages.filling.job import CellJob
from stages.filling.worker import Failed, device_here, fill_shards
from stages.program.main import REPORTED
from stages.program.progress import progress
from stages.settings.blocks import ExecutorParams, ExtractParams
from storage.errors import ImageError, StoreError, counted
from storage.pool.cell import Cell
from storage.pool.inputs import PreparedSplit

N_REPORTED: Final = 20
"""Failed images that an error names at most."""

LATE_S: Final = 90.0
"""Longest wait for files written on other hosts to appear: NFS takes up to 60 s."""

LOOK_S: Final = 1.0
"""Time between two checks for them."""


@dataclass(eq=False)
class Filling:
    """A cell being filled.

    Attributes
    ----------
    own
        Names of the shards that are this process's to see to.
    failed
        Those that cannot be had, each with the images that keep it from being there and their
        reasons, or with another error.
    """

    job: CellJob
    split: PreparedSplit
    own: frozenset[str]
    failed: dict[str, Mapping[str, str] | BaseException] = field(default_factory=dict)

    @property
    def cell(self) -> Cell:
        """Its shards in the pool."""
        return self.job.cell(self.split)

    def todo(self) -> list[str]:
        """Its missing shards that can be computed, in row order."""
        wanted = self.own - self.failed.keys()
        return [name for name in self.cell.lacking() if name in wanted]

    @property
    def error(self) -> BaseException | None:
        """Why the cell is incomplete."""
        images: dict[str, str] = {}
        for why in self.failed.values():
            if isinstance(why, BaseException):
                return why
            images |= why
        return ImageError(self._failed(images)) if images else None

    def _failed(self, images: Mapping[str, str]) -> str:
        if not Path(self.job.place.images).is_dir():
            return (
                f"images must be in the folder {self.job.place.images}, got no such folder: put it "
                "there and run again"
            )
        some = [f"{file}: {why}" for file, why in images.items()][:N_REPORTED]
        n_more = len(images) - len(some)
        return (
            f"images in {self.job.place.images} must be extracted, got {len(images)} "
            f"that cannot be ({'; '.join(some)}{f'; and {n_more} more' if n_more else ''}); all "
            f"shards without them are kept in {self.cell.folder}: fix or replace these images and "
            "run again"
        )


def device_of(params: ExtractParams, executor: ExecutorParams) -> str:
    """Device that will compute, ``cpu`` or ``cuda``.

    Raises
    ------
    ParamsError
        If there is none as the settings ask for.
    """
    setting = params.device
    if executor.kind in {"inline", "local"}:
        return device_here(setting)
    if setting != "auto":
        return setting
    if executor.kind == "slurm":
        # No job is submitted to find out: it might wait for hours, as might those that compute.
        return "cuda" if executor.slurm.gpus else "cpu"
    found: list[str] = []
    task = Task("the device of a worker", device_here, (setting,))
    check_all_done(run_tasks([task], executor, lambda _, device: found.append(device)))
    return found[0]


def fill(fillings: Sequence[Filling], executor: ExecutorParams) -> None:
    """Compute the missing shards of some cells, one cell after the other.

    What cannot be done is noted in each cell and keeps no other from being done.

    Raises
    ------
    StoreError
        If what workers have written does not show here.
    """
    todo = {some: names for some in fillings if (names := some.todo())}
    is_inline = executor.kind == "inline"
    by_job = {some.job: some for some in todo}
    n_objects = sum(some.split.n_objects(names) for some, names in todo.items())
    uses_gpu = any(job.device != "cpu" for job in by_job)
    # One process counts the images of a cell, several count the shards of all.
    with progress("fill", 0 if is_inline else n_objects) as count:

        def note(task: Task[Failed], failed: Failed) -> None:
            job, names, _ = task.arguments
            by_job[job].failed |= failed
            count(by_job[job].split.n_objects(names))

        tasks = _tasks(todo, is_inline=is_inline)
        for failure in run_tasks(tasks, executor, note, uses_gpu=uses_gpu):
            if not isinstance(failure.error, REPORTED):
                raise failure.error
            job, names, _ = failure.task.arguments
            by_job[job].failed |= dict.fromkeys(names, failure.error)
    _check_shown(list(todo))


def _tasks(todo: Mapping[Filling, Sequence[str]], *, is_inline: bool) -> Iterator[Task[Failed]]:
    """One task per shard; if one process does all, one per cell, to overlap reading and writing."""
    for some, names in todo.items():
        for part in [tuple(names)] if is_inline else [(name,) for name in names]:
            shard = "" if is_inline else f"shard {some.split.shards[part[0]].index} of "
            yield Task(f"{shard}{some.job}", fill_shards, (some.job, part, is_inline))


def _check_shown(fillings: Sequence[Filling]) -> None:
    """Wait until all written files appear here, with a note."""
    until, is_noted = time.monotonic() + LATE_S, False
    while late := {some: names for some in fillings if (names := some.todo())}:
        n_shards = counted(sum(map(len, late.values())), "shard")
        folder = next(iter(late)).cell.folder.parent.absolute()
        if time.monotonic() > until:
            raise StoreError(
                f"shards that were computed must be in {folder}, got {n_shards} that are not: "
                "all processes must write to the same folder"
            )
        if not is_noted:
            print(f"note: waiting for {n_shards} to appear in {folder}", file=sys.stderr)
            is_noted = True
        time.sleep(LOOK_S)
