"""What a process does that fills shards; the first one it fills brings in the models."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
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


@dataclass(frozen=True)
class Filled:
    """What became of some shards of a cell.

    Attributes
    ----------
    failed_images
        Images that could not be extracted, each with its reason.
    failed_shards
        Names of the shards that are not there for them.
    n_made
        Shards that were computed here; any others were there already.
    """

    n_made: int
    failed_images: tuple[tuple[str, str], ...] = ()
    failed_shards: tuple[str, ...] = ()


def device_here(setting: str) -> str:
    """Device that this process computes on under ``extract.device``, ``cpu`` or ``cuda``.

    Raises
    ------
    ParamsError
        If there is none such.
    """
    # The models' imports take seconds, and most who import this module compute nothing.
    from stages.extraction.models import settled_device  # noqa: PLC0415

    return settled_device(setting).type


def fill_shards(job: CellJob, names: tuple[str, ...], *, is_shown: bool = False) -> Filled:
    """Compute shards of a cell, unless they are there when their turn comes.

    A model stays in memory for the next call.

    Raises
    ------
    StoreError
        If the split is another one here, or the versions that compute.
    ParamsError
        If the device of the job is not there.
    WeightsError
        If the weights are missing, damaged or of another architecture.
    """
    from stages.extraction.loop import run_shards  # noqa: PLC0415
    from stages.extraction.models import device_name, kept_model  # noqa: PLC0415
    from stages.extraction.steps import CellSettings, CellSteps  # noqa: PLC0415

    split, images = _split_of(job, names)
    sam = kept_model(job.params, job.name.model, job.device)
    cell, name = job.cell(split), job.name
    settings = CellSettings(name.view, name.prompts, job.decoder_batch, with_masks=name.with_masks)
    n_objects = split.n_objects(names) if is_shown else 0
    with progress(f"extract {job}", n_objects) as count, _Turns(cell, names, count) as turns:
        steps = CellSteps(sam, cell, images, settings, device_name(sam.device), turns.end)
        failures = run_shards(turns.shards(), steps, count)
    failed_images = {str(split.table.file[f.piece.image]): f.reason for f in failures}
    failed = {split.names[f.piece.start // split.shard_objects] for f in failures}
    return Filled(steps.n_made, tuple(failed_images.items()), tuple(sorted(failed)))


def fill_shown(job: CellJob, names: tuple[str, ...]) -> Filled:
    """Compute shards of a cell and show how far they are, see ``fill_shards``."""
    return fill_shards(job, names, is_shown=True)


class _Turns:
    """Shards in an order of this process's own, so that several meet by chance alone.

    A shard in the making shows by an empty file beside it, and its turn comes last: who makes it
    may be dead.
    """

    def __init__(self, cell: Cell, names: Sequence[str], count: Count) -> None:
        self._cell = cell
        self._left = list(names)
        self._count = count
        self._begun: dict[str, Path] = {}

    def shards(self) -> Iterator[Shard]:
        """Those that are not there as their turn comes."""
        shards = self._cell.split.shards
        previous: str | None = None
        while self._left:
            there, begun = names_in(self._cell.folder), begun_files(self._cell.folder)
            for name in [name for name in self._left if name in there]:
                self._left.remove(name)
                self._count.leave(shards[name].stop - shards[name].start)
            if not self._left:
                return
            free = [name for name in self._left if f"{name}{FEATURES}" not in begun]
            previous = self._next(free or self._left, previous)
            self._left.remove(previous)
            self._begun[previous] = begin_file(self._cell.features_path(previous))
            yield shards[previous]

    def end(self, name: str) -> None:
        """Show no more that a shard is in the making."""
        self._begun.pop(name).unlink(missing_ok=True)

    def _next(self, free: Sequence[str], previous: str | None) -> str:
        """The one behind the last, whose image may be the same, or else any."""
        if previous is not None:
            names, shards = self._cell.split.names, self._cell.split.shards
            behind = names[shards[previous].index + 1 :][:1]
            if behind and behind[0] in free:
                return behind[0]
        return random.choice(free)  # noqa: S311 - no secret

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
            f"{job} must be filled by the versions that asked for it, got others ({difference})"
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
