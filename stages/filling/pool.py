"""All that is missing of any cells, as one pool of shards, and whoever computes them."""

import sys
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from pipeline.vocabulary import MODELS
from stages.executor.run import run_tasks
from stages.executor.tasks import Task, check_all_done
from stages.filling.job import CellJob, Prepared
from stages.filling.worker import Device, Filled, device_here, fill_shards, fill_shown
from stages.program.main import REPORTED
from stages.program.progress import progress
from stages.settings.blocks import ExecutorParams, ExtractParams
from stages.settings.parsing import ParamsError
from stages.settings.signatures import CellName
from storage.cell.claims import Watch
from storage.cell.marked import MarkedShards
from storage.errors import ImageError, counted
from storage.store.marks import UNKNOWN

N_REPORTED: Final = 20
"""Failed images that an error names at most."""

POLL_S: Final = 1.0
"""Time between two looks at shards that others are at."""

FIRST_S: Final = 0.1
LATE_S: Final = 10.0
"""Shortest and longest time to wait for marks that others have written and that show late, as they
do on NFS."""


@dataclass(eq=False)
class Filling:
    """A cell on its way.

    Attributes
    ----------
    own
        Shards that are this process's to see to.
    errors
        What keeps shards from being done.
    given_up
        These shards.
    kinds
        Names of the processors that made its shards, or ``storage.store.marks.UNKNOWN``.
    n_made
        Shards that were computed for this process.
    is_read
        Whether files of finished shards are read, to find damage that leaves their size.
    """

    job: CellJob
    split: Prepared
    marked: MarkedShards
    own: frozenset[int]
    is_read: bool = False
    failed_images: dict[str, str] = field(default_factory=dict)
    errors: list[BaseException] = field(default_factory=list)
    given_up: set[int] = field(default_factory=set)
    kinds: set[str] = field(default_factory=set)
    n_made: int = 0

    @classmethod
    def of(cls, job: CellJob, split: Prepared, *, is_read: bool = False) -> "Filling":
        """A cell whose shards are all this process's."""
        marked = job.marked(split)
        return cls(job, split, marked, frozenset(marked.indices), is_read)

    def todo(self, among: Collection[int] | None = None) -> list[int]:
        """Shards that are lacking and can be had: of some, by default of all that are its own."""
        return list(self.lacking(among))

    def lacking(self, among: Collection[int] | None = None) -> dict[int, str]:
        """Why each of these shards is to be computed."""
        own = self.own if among is None else frozenset(among)
        return self.marked.lacking(
            self.split.images_sha256, among=own - self.given_up, sizes_only=not self.is_read
        )

    def n_objects(self, shards: Sequence[int]) -> int:
        """Objects of some shards."""
        size, total = self.job.params.shard_objects, self.split.table.n_objects
        return sum(min(size, total - shard * size) for shard in shards)

    @property
    def error(self) -> BaseException | None:
        """Why the cell is not whole."""
        if self.errors:
            return self.errors[0]
        return ImageError(self._torn()) if self.failed_images else None

    def _torn(self) -> str:
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
            f"others are kept in {self.marked.folder}: mend these and run again"
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
        return device_here(setting).type
    if setting != "auto":
        return setting
    if executor.kind == "slurm":
        # No job is handed in to find out: it might wait for hours, and those that compute again.
        return "cuda" if executor.slurm.gpus else "cpu"
    found: list[Device] = []
    task = Task("the device of a worker", device_here, (setting,))
    check_all_done(run_tasks([task], executor, lambda _, device: found.append(device)))
    return found[0].type


def own_device(params: ExtractParams, executor: ExecutorParams) -> Device | None:
    """Device of this process, if it is this machine that computes and has one as asked for."""
    if executor.kind not in {"inline", "local"}:
        return None
    try:
        return device_here(params.device)
    except ParamsError:  # a GPU that is elsewhere, as on the login node of a cluster
        return None


def likely_device(params: ExtractParams, executor: ExecutorParams) -> str | None:
    """Device that would compute, for all that can be known without asking any worker."""
    if params.device != "auto":
        return params.device
    return None if executor.kind == "address" else device_of(params, executor)


def widest_first(name: CellName) -> tuple[object, ...]:
    """Sorts cells: those with most prompt sets first, and cells of a model together."""
    return -len(name.prompts), -MODELS.index(name.model), name.split, name.view.name


def fill(fillings: Sequence[Filling], executor: ExecutorParams) -> None:
    """Compute what is missing of some cells; what others are at is waited for.

    What cannot be done is noted in each cell and keeps no other from being done.
    """
    watch = Watch()
    for filling in fillings:
        filling.marked.tidy()
        filling.kinds |= filling.marked.kinds()
    late_s, is_noted = FIRST_S, False
    left: Mapping[Filling, Collection[int]] = {some: some.own for some in fillings}
    # Shards that were whole once are not looked at again: each mark is a file.
    while todo := {some: shards for some, own in left.items() if (shards := some.todo(own))}:
        left = todo
        living = {some: watch.living(some.marked.folder) for some in todo}
        free = {some: [s for s in todo[some] if s not in living[some]] for some in todo}
        ready = {some: shards for some, shards in free.items() if shards}
        if not ready:
            if not is_noted:
                n_shards = sum(map(len, todo.values()))
                print(f"note: waiting for {counted(n_shards, 'shard')} of others", file=sys.stderr)
                is_noted = True
            time.sleep(POLL_S)
        elif _run(ready, executor):
            late_s = FIRST_S
        else:
            # Others have done these shards; until their marks show here, workers have no use.
            time.sleep(late_s)
            late_s = min(2 * late_s, LATE_S)


def _run(ready: Mapping[Filling, Sequence[int]], executor: ExecutorParams) -> bool:
    """Whether any of the shards was computed, or given up."""
    before = [(some.n_made, len(some.given_up)) for some in ready]
    is_inline = executor.kind == "inline"
    by_job = {some.job: some for some in ready}
    n_objects = sum(some.n_objects(shards) for some, shards in ready.items())
    uses_gpu = any(job.device != "cpu" for job in by_job)
    # One process shows the images of a cell, several the shards of all.
    with progress("fill", 0 if is_inline else n_objects) as count:

        def note(task: Task[Filled], filled: Filled) -> None:
            job, shards = task.arguments
            some = by_job[job]
            some.failed_images |= dict(filled.failed_images)
            some.given_up |= set(filled.failed_shards)
            some.n_made += filled.n_made
            _note_kinds(some, filled.kinds)
            (count if filled.n_made else count.leave)(some.n_objects(shards))

        tasks = _tasks(ready, is_inline=is_inline)
        for failure in run_tasks(tasks, executor, note, uses_gpu=uses_gpu):
            if not isinstance(failure.error, REPORTED):
                raise failure.error
            job, shards = failure.task.arguments
            by_job[job].errors.append(failure.error)
            by_job[job].given_up |= set(shards)
    return [(some.n_made, len(some.given_up)) for some in ready] != before


def _tasks(ready: Mapping[Filling, Sequence[int]], *, is_inline: bool) -> Iterator[Task[Filled]]:
    """A task per shard; where one process does all, one per cell, which reads and writes ahead."""
    for some, shards in sorted(ready.items(), key=lambda item: widest_first(item[0].job.name)):
        if is_inline:
            yield Task(str(some.job), fill_shown, (some.job, tuple(shards)))
        else:
            for shard in shards:
                yield Task(f"shard {shard} of {some.job}", fill_shards, (some.job, (shard,)))


def _note_kinds(some: Filling, kinds: Collection[str]) -> None:
    """Say that a cell mixes kinds of device, as far as they are known, whenever one is new."""
    before = some.kinds - {UNKNOWN}
    some.kinds |= set(kinds)
    known = some.kinds - {UNKNOWN}
    if len(known) > max(1, len(before)):
        print(
            f"note: {some.job} mixes kinds of device ({', '.join(sorted(known))}), which differ in "
            "the last digits",
            file=sys.stderr,
        )
