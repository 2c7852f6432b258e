"""A job, which fills a cell on a device, and the work of a process that computes its shards."""

import random
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
from storage.folders import begin_file, begun_files
from storage.images.videos import SplitImages
from storage.pool.cell import NPZ, Cell, names_in
from storage.split.object_table import PreparedSplit, read_objects_of
from storage.store.signature import compare, versions
from storage.store.writing import full_signature

Unread = Mapping[str, str]
"""Why images cannot be read, by their files: shards with these images stay missing."""

DEVICES: Final = ("cuda", "cpu")
"""Devices, whose results differ in the last digits."""


@dataclass(frozen=True)
class FillJob:
    """A cell to compute on a device; this travels to the processes that compute.

    Attributes
    ----------
    objects_digest
        Digest of the split's objects where the job was made.
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
        """Prompt sets per decoder call."""
        return decoder_batch(
            self.params.decoder_batch,
            device=self.device,
            mask_size_px=row_of(self.params.family, self.name.model).mask_side_px,
        )

    @cached_property
    def signature(self) -> dict[str, object]:
        """All that the rows depend on."""
        entries = cell_settings(self.params, self.name) | {
            "objects_digest": self.objects_digest,
            "device": self.device,
            "decoder_batch": self.decoder_batch,
            **versions(*LIBRARIES),
        }
        return {**full_signature(entries)}

    def cell(self, split: PreparedSplit, assigned: Collection[str] | None = None) -> Cell:
        """The cell's shards in the pool; ``assigned`` as in ``Cell``."""
        model = row_of(self.params.family, self.name.model)
        sizes = {"channel": model.n_channels, "encoder_channel": model.n_encoder_channels}
        if self.name.with_masks:
            sizes |= {"y": model.mask_side_px, "x": model.mask_side_px}
        return Cell(self.signature, split, sizes, assigned=assigned)


def prepared(split: str, shard_objects: int) -> PreparedSplit:
    """Read a split.

    Raises
    ------
    StoreError
        If the split is not prepared, or its store is damaged.
    """
    return PreparedSplit(read_objects_of(split), shard_objects)


def jobs_of(
    name: CellName,
    place: Split,
    params: ExtractParams,
    split: PreparedSplit,
    assigned: Collection[str] | None = None,
) -> dict[FillJob, Cell]:
    """A job for each device that the settings allow, with its cell; ``assigned`` as in ``Cell``."""
    devices = DEVICES if params.device == "auto" else (params.device,)
    jobs = [FillJob(name, place, params, device, split.table.digest) for device in devices]
    return {job: job.cell(split, assigned) for job in jobs}


def choose_device(cells: Mapping[FillJob, Cell], find_device: Callable[[], str]) -> FillJob:
    """The job on the device that made all of a cell's shards, else on the one that will compute.

    Parameters
    ----------
    cells
        From ``jobs_of``.
    find_device
        Says which device will compute; called only if a shard is missing.

    Raises
    ------
    StoreError
        If a GPU has begun the cell, and this machine has none: a processor would begin it anew.
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
    """Device that this process computes on under ``extract.device``, ``cpu`` or ``cuda``.

    Raises
    ------
    ParamsError
        If this machine has no such device.
    """
    # The models take seconds to import, and most importers of this module compute nothing.
    from stages.extraction.models import settled_device  # noqa: PLC0415

    return settled_device(setting).type


def fill_shards(job: FillJob, names: tuple[str, ...], is_shown: bool) -> Unread:  # noqa: FBT001
    """Compute shards of a cell; shards that another process finishes meanwhile are skipped.

    The model stays in memory for the next call.

    Parameters
    ----------
    is_shown
        Whether a progress bar is shown.

    Raises
    ------
    StoreError
        If the objects of the split, or the versions of the libraries, are others in this process.
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
        steps = CellSteps(sam, cell, images, job.name, job.decoder_batch, turns.end)
        failures: dict[int, str] = {}
        while turns.left:
            failures |= run_shards(turns.shards(), steps, count)
    return {str(split.table.file[image]): why for image, why in failures.items()}


class _Turns:
    """Shards in an order of this process's own: an optimisation, so two rarely compute the same.

    A shard in the making shows by an empty file beside it, and its turn comes last: who makes it
    may be dead.

    Attributes
    ----------
    left
        Shards whose turn is to come.
    """

    def __init__(self, cell: Cell, names: Sequence[str], count: Count) -> None:
        self._cell = cell
        self._names = names
        self._count = count
        self._begun: dict[str, Path] = {}
        self.left = list(names)

    def shards(self) -> Iterator[Shard]:
        """Those missing when their turn comes, up to one that another process has begun.

        For that one, the caller has done all the others: meanwhile, it may have appeared.
        """
        previous: str | None = None
        while free := self._free():
            previous = self._next(free, previous)
            yield self._begin(previous)
        if self.left and previous is None:
            yield self._begin(random.choice(self.left))  # noqa: S311 - no secret

    def _free(self) -> list[str]:
        """Shards that neither exist nor are being written."""
        there, begun = names_in(self._cell.folder), begun_files(self._cell.folder)
        done = there.intersection(self.left)
        self._count.leave(self._cell.split.n_objects([*done]))
        self.left = [name for name in self.left if name not in done]
        return [name for name in self.left if f"{name}{NPZ}" not in begun]

    def _begin(self, name: str) -> Shard:
        self.left.remove(name)
        self._begun[name] = begin_file(self._cell.features_path(name))
        return self._cell.split.shards[name]

    def _next(self, free: Sequence[str], previous: str | None) -> str:
        """The one behind the last, whose image may be the same, or else any."""
        if previous is not None:
            behind = self._names[(self._names.index(previous) + 1) % len(self._names)]
            if behind in free:
                return behind
        return random.choice(free)  # noqa: S311 - no secret

    def end(self, name: str) -> None:
        """Remove the sign that a shard is being written."""
        self._begun.pop(name).unlink(missing_ok=True)

    def __enter__(self) -> "_Turns":  # noqa: PYI034 - beartype refuses Self here
        return self

    def __exit__(self, *_: object) -> None:
        for name in list(self._begun):
            self.end(name)


def _split_of(job: FillJob, names: Sequence[str]) -> tuple[PreparedSplit, SplitImages]:
    """The split as this process reads it, with these shards, and its images."""
    # The job's signature was made elsewhere; a copy of the job has the versions of this process.
    difference = compare(replace(job).signature, job.signature)
    if difference is not None:
        raise StoreError(
            f"{job} must be filled under the versions of the stage, got others ({difference})"
        )
    split, images = _read_split(job)
    if not split.shards.keys() >= set(names):  # prepared anew, perhaps, since it was read
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
