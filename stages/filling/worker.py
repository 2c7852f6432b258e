"""The work of a process that fills shards; its first shard imports the models."""

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

from pipeline.extraction.plan import Shard
from stages.filling.job import CellJob, prepared
from stages.program.progress import Count, progress
from storage.errors import StoreError
from storage.folders import begin_file, begun_files
from storage.images.videos import SplitImages
from storage.pool.cell import FEATURES, Cell, names_in
from storage.pool.inputs import PreparedSplit
from storage.store.signature import compare

Failed = Mapping[str, Mapping[str, str]]
"""Shards that images keep from being there; these by their files, with their reasons."""


def device_here(setting: str) -> str:
    """Device that this process computes on under ``extract.device``, ``cpu`` or ``cuda``.

    Raises
    ------
    ParamsError
        If there is none such.
    """
    # The models take seconds to import, and most importers of this module compute nothing.
    from stages.extraction.models import settled_device  # noqa: PLC0415

    return settled_device(setting).type


def fill_shards(job: CellJob, names: tuple[str, ...], is_shown: bool) -> Failed:  # noqa: FBT001
    """Compute shards of a cell, skipping those that exist when their turn comes.

    A model stays in memory for the next call.

    Parameters
    ----------
    is_shown
        Whether to show how far they are.

    Raises
    ------
    StoreError
        If the split is another one here, or the versions that compute.
    ParamsError
        If the device of the job is not there.
    WeightsError
        If the weights are missing, damaged or of another architecture.
    """
    from stages.extraction.loop import Failure, run_shards  # noqa: PLC0415
    from stages.extraction.models import device_name, kept_model  # noqa: PLC0415
    from stages.extraction.steps import CellSteps  # noqa: PLC0415

    split, images = _split_of(job, names)
    sam = kept_model(job.params, job.name.model, job.device)
    cell, maker = job.cell(split), device_name(sam.device)
    n_objects = split.n_objects(names) if is_shown else 0
    with progress(f"extract {job}", n_objects) as count, _Turns(cell, names, count) as turns:
        steps = CellSteps(sam, cell, images, job.name, job.decoder_batch, maker, turns.end)
        failures: list[Failure] = []
        while turns.left:
            failures += run_shards(turns.shards(), steps, count)
    failed: dict[str, dict[str, str]] = {}
    for failure in failures:
        name = split.names[failure.piece.start // split.shard_objects]
        file = str(split.table.file[failure.piece.image])
        failed.setdefault(name, {})[file] = failure.reason
    return failed


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
        return [name for name in self.left if f"{name}{FEATURES}" not in begun]

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


def _split_of(job: CellJob, names: Sequence[str]) -> tuple[PreparedSplit, SplitImages]:
    """The split as it is here, with these shards, and its images."""
    # The signature came with the job; a new one has the versions of this process.
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
def _read_split(job: CellJob) -> tuple[PreparedSplit, SplitImages]:
    split = prepared(job.name.split, job.params.shard_objects)
    return split, SplitImages(Path(job.place.images), [str(file) for file in split.table.file])
