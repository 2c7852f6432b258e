"""Jobs, which fill a cell on a device, and the function by which a process computes shards."""

import random
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Final

from pipeline.extraction.plan import Shard, decoder_batch
from pipeline.sam.families import row_of
from stages.program.progress import Count, progress
from stages.settings.blocks import ExtractParams, Split
from stages.settings.signatures import LIBRARIES, CellName, cell_settings
from storage.errors import StoreError, counted
from storage.folders import begin_file, begun_files, is_begun
from storage.images.videos import SplitImages
from storage.pool.cell import Cell, names_in
from storage.split.object_table import PreparedSplit, read_objects_of
from storage.store.signature import compare, versions
from storage.store.writing import full_signature

Unread = Mapping[str, str]
"""Error messages of unreadable images, by image file; shards with these images stay missing."""

LIST_EVERY_S: Final = 60.0
"""Seconds between two listings of a cell's folder in the pool by a process that fills the cell."""

DEVICES: Final = ("cuda", "cpu")
"""Kinds of devices; results on different devices differ in the last digits."""


@dataclass(frozen=True)
class FillJob:
    """A cell to compute on a device, in a form that is sent to worker processes.

    Attributes
    ----------
    place
        The split's images and annotations, from the settings.
    objects_digest
        Digest of the split's objects, read by the process that made the job.
    """

    name: CellName
    place: Split
    params: ExtractParams
    device: str
    objects_digest: str

    def __str__(self) -> str:
        return str(self.name)

    def __hash__(self) -> int:
        return hash((str(self.name), self.objects_digest))

    @property
    def decoder_batch(self) -> int:
        """Number of prompt sets per decoder call."""
        return decoder_batch(
            self.params.decoder_batch,
            device=self.device,
            mask_size_px=row_of(self.params.family, self.name.model).mask_side_px,
        )

    @cached_property
    def signature(self) -> dict[str, object]:
        """Signature of the cell's stores: all that their rows depend on."""
        entries = cell_settings(self.params, self.name) | {
            "objects_digest": self.objects_digest,
            "device": self.device,
            "decoder_batch": self.decoder_batch,
            **versions(*LIBRARIES),
        }
        return {**full_signature(entries)}

    def cell(self, split: PreparedSplit, assigned: Collection[str] | None = None) -> Cell:
        """Describe the cell and its shards in the pool; ``assigned`` is that of ``Cell``."""
        model = row_of(self.params.family, self.name.model)
        sizes = {"channel": model.n_channels, "encoder_channel": model.n_encoder_channels}
        if self.name.with_masks:
            sizes |= {"y": model.mask_side_px, "x": model.mask_side_px}
        return Cell(self.signature, split, sizes, assigned=assigned)


def prepared(split: str, shard_objects: int) -> PreparedSplit:
    """Read the objects of a split that the stage ``prepare`` wrote, and cut them into shards.

    Raises
    ------
    StoreError
        If the objects store of the split is missing or damaged.
    """
    return PreparedSplit(read_objects_of(split), shard_objects)


def jobs_of(
    name: CellName,
    place: Split,
    params: ExtractParams,
    split: PreparedSplit,
    assigned: Collection[str] | None = None,
) -> dict[FillJob, Cell]:
    """Make a job for each device that the settings allow, each with its cell.

    ``assigned`` is that of ``Cell``.
    """
    devices = DEVICES if params.device == "auto" else (params.device,)
    jobs = [FillJob(name, place, params, device, split.table.digest) for device in devices]
    return {job: job.cell(split, assigned) for job in jobs}


def choose_device(cells: Mapping[FillJob, Cell], find_device: Callable[[], str]) -> FillJob:
    """Choose the job on the device that has made all shards, else on the device that will compute.

    Parameters
    ----------
    cells
        Jobs of one cell on different devices, from ``jobs_of``.
    find_device
        Returns the device that will compute; called only if a shard is missing.

    Raises
    ------
    StoreError
        If a GPU has made some of the shards and only a CPU is here, which would start from zero.
    """
    n_lacking = {job.device: len(cell.lacking()) for job, cell in cells.items()}
    by_device = {job.device: job for job in cells}
    for device, job in by_device.items():
        if not n_lacking[device]:
            return job
    chosen = by_device[find_device()]
    n_shards = len(cells[chosen].split.shards)
    n_done = n_shards - n_lacking.get("cuda", n_shards)
    if chosen.device == "cpu" and n_done:
        raise StoreError(
            f"{chosen} must be finished on a GPU, as it was begun ({n_done} of "
            f"{counted(n_shards, 'shard')} done), got none here; extract.device: cpu would begin "
            "it anew on this processor, and keep what the GPU has done"
        )
    return chosen


def device_here(setting: str) -> str:
    """Device on which this process computes, ``cpu`` or ``cuda``.

    Parameters
    ----------
    setting
        ``extract.device`` of the settings.

    Raises
    ------
    ParamsError
        If this machine lacks the device that the setting names.
    """
    # The models take seconds to import, and most importers of this module compute nothing.
    from stages.extraction.models import settled_device  # noqa: PLC0415

    return settled_device(setting).type


def fill_shards(job: FillJob, names: tuple[str, ...], is_shown: bool) -> Unread:  # noqa: FBT001
    """Compute the named shards of a cell; skip shards that another process finishes meanwhile.

    The model stays in memory for the next call. The result has the images that cannot be read.

    Parameters
    ----------
    is_shown
        Whether a progress bar is shown.

    Raises
    ------
    StoreError
        If this process reads other objects, or has other versions of libraries, than the job says.
    ParamsError
        If this machine lacks the device of the job.
    WeightsError
        If the weights are missing, damaged or of another architecture.
    """
    from stages.extraction.models import kept_model  # noqa: PLC0415
    from stages.extraction.steps import CellSteps, run_shards  # noqa: PLC0415

    split, images = _split_of(job, names)
    sam, cell = kept_model(job.params, job.name.model, job.device), job.cell(split)
    n_objects = split.n_objects(names) if is_shown else 0
    with progress(f"extract {job}", n_objects) as count, _Turns(cell, names, count) as turns:
        steps = CellSteps(
            *(sam, cell, images, job.name),
            batch=job.decoder_batch,
            end=turns.end,
            encoder_batch=job.params.encoder_batch,
        )
        failures: dict[int, str] = {}
        while turns.left:
            failures |= run_shards(turns.shards(), steps, count)
    return {str(split.table.file[image]): why for image, why in failures.items()}


class _Turns:
    """Chooses the next shard to compute, so that two processes rarely compute the same shard.

    The order is random in each process. A shard that another process computes is marked by a file
    beside it, and comes last: the other process may be dead. Computing a shard twice does no harm.
    Before a shard, only the files with its name are looked up: listing the folder before each of
    40,000 shards took 1.6 hours of a core.

    Attributes
    ----------
    left
        Names of the shards that this process has not chosen yet, in row order.
    """

    def __init__(self, cell: Cell, names: Sequence[str], count: Count) -> None:
        self._cell = cell
        self._count = count
        self._behind = dict(zip(names, (*names[1:], *names[:1]), strict=True))
        self._marks: dict[str, Path | None] = {}
        # A task of one shard does not list the folder.
        self._next_listing_s = time.monotonic() + (LIST_EVERY_S if len(names) == 1 else 0)
        self.left = dict.fromkeys(names)

    def shards(self) -> Iterator[Shard]:
        """Yield shards that are missing at that moment and that no other process computes.

        If other processes compute all shards in ``left``, one of these is yielded: by then, its
        process may be dead.
        """
        shuffled = random.sample([*self.left], len(self.left))
        previous: str | None = None
        while (name := self._next(shuffled, previous)) is not None:
            yield self._begin(name)
            previous = name
        if self.left and previous is None:
            yield self._begin(random.choice([*self.left]))  # noqa: S311 - no secret

    def _next(self, shuffled: list[str], previous: str | None) -> str | None:
        """Name of the shard after ``previous``, which may share its image, or of any free shard.

        None if no shard is free.
        """
        if time.monotonic() >= self._next_listing_s:
            self._list()
        if previous is not None and self._is_free(self._behind[previous]):
            return self._behind[previous]
        while shuffled:
            name = shuffled.pop()
            if self._is_free(name):
                return name
        return None

    def _is_free(self, name: str) -> bool:
        """Whether a shard is in ``left``, missing in the pool, and not marked by a process."""
        path = self._cell.features_path(name)
        if name in self.left and path.exists():
            self._leave([name])
        return name in self.left and not is_begun(path)

    def _list(self) -> None:
        """Drop from ``left`` all shards that exist; remove unfinished files of dead processes."""
        begun_files(self._cell.folder)
        present = names_in(self._cell.folder)
        self._leave([name for name in self.left if name in present])
        self._next_listing_s = time.monotonic() + LIST_EVERY_S

    def _leave(self, names: Sequence[str]) -> None:
        self._count.exclude(self._cell.split.n_objects(names))
        for name in names:
            del self.left[name]

    def _begin(self, name: str) -> Shard:
        del self.left[name]
        self._marks[name] = begin_file(self._cell.features_path(name))
        return self._cell.split.shards[name]

    def end(self, name: str) -> None:
        """Remove the mark of a shard, if this process has made the mark."""
        if mark := self._marks.pop(name):
            mark.unlink(missing_ok=True)

    def __enter__(self) -> "_Turns":  # noqa: PYI034 - beartype refuses Self here
        return self

    def __exit__(self, *_: object) -> None:
        for name in list(self._marks):
            self.end(name)


def _split_of(job: FillJob, names: Sequence[str]) -> tuple[PreparedSplit, SplitImages]:
    """Read the split of a job, which must have the named shards; make a reader of its images."""
    # The job's signature comes from another process; a copy of the job has this process's versions.
    difference = compare(replace(job).signature, job.signature)
    if difference is not None:
        raise StoreError(
            f"{job} must be filled under the versions of the stage, got others ({difference})"
        )
    split, images = _read_split(job)
    if not split.shards.keys() >= set(names):  # the split may have been prepared again since
        _read_split.cache_clear()
        split, images = _read_split(job)
    if missing := set(names) - split.shards.keys():
        raise StoreError(
            f"the split {job.name.split} must be the same wherever {job} is filled, got one "
            f"without the inputs of shard {min(missing)[:12]}"
        )
    return split, images


@lru_cache(maxsize=1)
def _read_split(job: FillJob) -> tuple[PreparedSplit, SplitImages]:
    split = prepared(job.name.split, job.params.shard_objects)
    return split, SplitImages(Path(job.place.images), [str(file) for file in split.table.file])
