"""Missing shards of all cells, and the workers that compute them."""

import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from pipeline.vocabulary import MODELS
from stages.executor.tasks import Task, check_all_done, run_tasks
from stages.filling.job import CellJob
from stages.filling.worker import Filled, device_here, fill_shards, fill_shown
from stages.program.main import REPORTED
from stages.program.progress import progress
from stages.settings.blocks import ExecutorParams, ExtractParams
from stages.settings.signatures import CellName
from storage.errors import ImageError, StoreError, counted
from storage.pool.cell import Cell
from storage.pool.inputs import PreparedSplit

N_REPORTED: Final = 20
"""Failed images that an error names at most."""

LATE_S: Final = 90.0
"""Longest time until what workers on other hosts have written shows here: NFS takes up to 60 s."""

LOOK_S: Final = 1.0
"""Time between two looks for it."""


@dataclass(eq=False)
class Filling:
    """A cell on its way.

    Attributes
    ----------
    own
        Names of the shards that are this process's to see to.
    why
        Why it is to be filled, where that is to be said.
    errors
        What keeps shards from being there.
    given_up
        These shards.
    n_made
        Shards that were computed for this process.
    """

    job: CellJob
    split: PreparedSplit
    own: frozenset[str]
    why: str = ""
    failed_images: dict[str, str] = field(default_factory=dict)
    errors: list[BaseException] = field(default_factory=list)
    given_up: set[str] = field(default_factory=set)
    n_made: int = 0

    @property
    def cell(self) -> Cell:
        """Its shards in the pool."""
        return self.job.cell(self.split)

    def todo(self) -> list[str]:
        """Its own shards that are lacking and can be had, in the order of the rows."""
        wanted = self.own - self.given_up
        return [name for name in self.cell.lacking() if name in wanted]

    @property
    def error(self) -> BaseException | None:
        """Why the cell is not whole."""
        if self.errors:
            return self.errors[0]
        return ImageError(self._failed()) if self.failed_images else None

    def _failed(self) -> str:
        if not Path(self.job.place.images).is_dir():
            return (
                f"images must be in the folder {self.job.place.images}, got no such folder: put it "
                "there and run again"
            )
        some = [f"{file}: {why}" for file, why in self.failed_images.items()][:N_REPORTED]
        n_more = len(self.failed_images) - len(some)
        return (
            f"images in {self.job.place.images} must be extracted, got {len(self.failed_images)} "
            f"that cannot be ({'; '.join(some)}{f'; and {n_more} more' if n_more else ''}); all "
            f"shards without them are kept in {self.cell.folder}: mend these and run again"
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
        # No job is handed in to find out: it might wait for hours, and those that compute again.
        return "cuda" if executor.slurm.gpus else "cpu"
    found: list[str] = []
    task = Task("the device of a worker", device_here, (setting,))
    check_all_done(run_tasks([task], executor, lambda _, device: found.append(device)))
    return found[0]


def likely_device(params: ExtractParams, executor: ExecutorParams) -> str | None:
    """Device that would compute, for all that can be known without asking any worker."""
    if params.device != "auto":
        return params.device
    return None if executor.kind == "address" else device_of(params, executor)


def widest_first(name: CellName) -> tuple[object, ...]:
    """Sorts cells: those with most prompt sets first, and cells of a model together."""
    return -len(name.prompts), -MODELS.index(name.model), name.split, name.view.name


def fill(fillings: Sequence[Filling], executor: ExecutorParams) -> None:
    """Compute what is lacking of some cells.

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
    # One process shows the images of a cell, several the shards of all.
    with progress("fill", 0 if is_inline else n_objects) as count:

        def note(task: Task[Filled], filled: Filled) -> None:
            job, names = task.arguments
            some = by_job[job]
            some.failed_images |= dict(filled.failed_images)
            some.given_up |= set(filled.failed_shards)
            some.n_made += filled.n_made
            (count if filled.n_made else count.leave)(some.split.n_objects(names))

        tasks = _tasks(todo, is_inline=is_inline)
        for failure in run_tasks(tasks, executor, note, uses_gpu=uses_gpu):
            if not isinstance(failure.error, REPORTED):
                raise failure.error
            job, names = failure.task.arguments
            by_job[job].errors.append(failure.error)
            by_job[job].given_up |= set(names)
    _check_shown(list(todo))


def _tasks(todo: Mapping[Filling, Sequence[str]], *, is_inline: bool) -> Iterator[Task[Filled]]:
    """A task per shard; where one process does all, one per cell, which reads and writes ahead."""
    for some, names in sorted(todo.items(), key=lambda item: widest_first(item[0].job.name)):
        if is_inline:
            yield Task(str(some.job), fill_shown, (some.job, tuple(names)))
        else:
            for name in names:
                index = some.split.shards[name].index
                yield Task(f"shard {index} of {some.job}", fill_shards, (some.job, (name,)))


def _check_shown(fillings: Sequence[Filling]) -> None:
    """Wait until all that was written shows here, and say so."""
    until, is_noted = time.monotonic() + LATE_S, False
    while late := {some: names for some in fillings if (names := some.todo())}:
        n_shards = counted(sum(map(len, late.values())), "shard")
        folder = next(iter(late)).cell.folder.parent.absolute()
        if time.monotonic() > until:
            raise StoreError(
                f"shards that were computed must be in {folder}, got {n_shards} that are not: "
                "whoever computes must write to the same folder"
            )
        if not is_noted:
            print(f"note: waiting until {n_shards} show in {folder}", file=sys.stderr)
            is_noted = True
        time.sleep(LOOK_S)
