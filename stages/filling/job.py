"""Jobs, each to fill a cell on a device, and the function by which a process computes shards."""

import random
import time
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pipeline.extraction.shards import Shard, decoder_batch
from pipeline.sam.families import FAMILIES
from stages.program.progress import Count
from stages.settings.blocks import ExtractParams, Split
from stages.settings.signatures import CellName, cell_settings, embedding_cells, library_versions
from storage.errors import StoreError, counted
from storage.folders import begin_file, begun_files, is_begun
from storage.images.videos import SplitImages
from storage.pool.cell import Cell, names_in
from storage.split.object_table import read_objects_of
from storage.split.sharded_table import ShardedTable
from storage.store.signature import compare
from storage.store.writing import full_signature

if TYPE_CHECKING:
    from stages.extraction.steps import Steps

Unread = Mapping[str, str]
"""Error messages of unreadable images, by image file; shards with these images stay missing."""

LIST_EVERY_S: Final = 60.0
"""Seconds between two listings of a cell's folder in the pool by a process that fills the cell."""

DEVICES: Final = ("cuda", "cpu")
"""Kinds of devices; results on different devices differ in the last digits."""


@dataclass(frozen=True, eq=False)
class FillJob:
    """A cell to compute on a device, in a form that is sent to worker processes.

    Attributes
    ----------
    place
        The split's images and annotations, from the settings.
    device
        Kind of the device: ``cpu`` or ``cuda``.
    rows_digest
        Digest of the split's objects or, for embeddings, of the names of its images, read by the
        process that made the job.
    """

    name: CellName
    place: Split
    params: ExtractParams
    device: str
    rows_digest: str

    def __str__(self) -> str:
        return str(self.name)

    @property
    def decoder_batch(self) -> int:
        """Number of prompt sets that the job decodes in a call, by its settings and its device."""
        return decoder_batch(
            self.params.decoder_batch,
            device=self.device,
            mask_size_px=FAMILIES[self.params.family].mask_side_px,
        )

    @cached_property
    def signature(self) -> dict[str, object]:
        """Signature of the cell's stores: all that their rows depend on."""
        if self.name.is_embeddings:
            of_rows: dict[str, object] = {"images_digest": self.rows_digest}
        else:
            of_rows = {"objects_digest": self.rows_digest, "decoder_batch": self.decoder_batch}
        entries = cell_settings(self.params, self.name) | of_rows
        libraries = library_versions(self.params.family, self.name.model)
        return {**full_signature(entries | {"device": self.device} | libraries)}

    def cell(self, split: ShardedTable, assigned: Collection[str] | None = None) -> Cell:
        """Describe the cell and its shards in the pool, which is not read.

        ``assigned`` are the names of the shards to compute; None means all shards.
        """
        family = FAMILIES[self.params.family]
        sizes = {"encoder_channel": family.n_encoder_channels}
        if self.name.is_embeddings:
            pass
        else:
            sizes["channel"] = family.n_channels
        if self.name.with_masks:
            sizes |= {"y": family.mask_side_px, "x": family.mask_side_px}
        return Cell(self.signature, self.name.rows(split), sizes, assigned=assigned)


def prepared(split: str, shard_objects: int) -> ShardedTable:
    """Read the objects of a split that the stage ``prepare`` wrote, and cut them into shards."""
    return ShardedTable(read_objects_of(split), shard_objects)


def jobs_of(
    name: CellName,
    place: Split,
    params: ExtractParams,
    split: ShardedTable,
    assigned: Collection[str] | None = None,
) -> dict[FillJob, Cell]:
    """Make a job for each device that the settings allow, each with its cell.

    With ``extract.device: auto``, the devices are ``cuda`` and ``cpu``, in this order. ``place`` is
    the split's images and annotations; ``assigned`` are the names of the shards to compute (None:
    all).
    """
    devices = DEVICES if params.device == "auto" else (params.device,)
    digest = name.rows(split).digest
    jobs = [FillJob(name, place, params, device, digest) for device in devices]
    return {job: job.cell(split, assigned) for job in jobs}


def choose_device(cells: Mapping[FillJob, Cell], find_device: Callable[[], str]) -> FillJob:
    """Choose the job on the device that has made all shards, else on the device that will compute.

    ``cells`` are the jobs of one cell from ``jobs_of``. ``find_device`` returns the device that
    will compute, and is called only if a shard is missing.

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

    ``setting`` is the value of ``extract.device``; ``auto`` is the GPU if there is one. Raises a
    ParamsError for ``cuda`` without a GPU, and for an unknown value.
    """
    # The models take seconds to import, and most importers of this module compute nothing.
    from stages.extraction.models import settled_device  # noqa: PLC0415

    return settled_device(setting).type


def fill_shards(job: FillJob, names: tuple[str, ...], count: Count | None = None) -> Unread:
    """Compute the named shards of a cell; skip shards that another process finishes meanwhile.

    The model stays in memory for the next call. ``count`` counts finished rows.

    Returns
    -------
    Error messages of the images that cannot be read, by image file; shards with these images were
    not written.

    Raises
    ------
    StoreError
        If this process reads other objects, or has other versions of libraries, than the job says.
    """
    from stages.extraction.models import kept_model  # noqa: PLC0415
    from stages.extraction.steps import CellSteps, EmbeddingSteps, run_shards, writer_of  # noqa: PLC0415

    split, images = _split_of(job, names)
    sam, cell = kept_model(job.params, job.name.model, job.device), job.cell(split)
    if job.name.is_embeddings:
        steps: Steps[Any] = EmbeddingSteps(sam, cell.split, images)
    else:
        batches = {"batch": job.decoder_batch, "encoder_batch": job.params.encoder_batch}
        stored = embeddings_of(job, split)
        steps = CellSteps(sam, cell, images, job.name, **batches, embeddings=stored)
    count = count or Count(0, "", lambda _: None)
    with _Turns(cell, names, count) as turns:
        write = writer_of(cell, sam.device, turns.end)
        failures: dict[int, str] = {}
        while turns.left:
            failures |= run_shards(turns.shards(), steps, write, count)
    return {str(split.table.file[image]): why for image, why in failures.items()}


def may_be_decoded(name: CellName, params: ExtractParams) -> bool:
    """Whether a cell is decoded from the embeddings of its images, if there are any.

    False for embeddings themselves, for other views than ``identity``, and for an encoder batch of
    more than 1: embeddings are of images that were encoded one by one.
    """
    return not name.is_embeddings and name.view.name == "identity" and params.encoder_batch == 1


def embedding_job(job: FillJob, split: ShardedTable) -> FillJob | None:
    """Job of the embeddings from which a job's cell may be decoded, whether they exist or not.

    None for a cell that is never decoded from embeddings.
    """
    if not may_be_decoded(job.name, job.params):
        return None
    (name,) = embedding_cells(job.name.split, [job.name.model])
    return replace(job, name=name, rows_digest=split.images.digest)


def embeddings_of(job: FillJob, split: ShardedTable) -> Cell | None:
    """Embeddings in the pool from which a job's cell may be decoded; None if there are none."""
    of_images = embedding_job(job, split)
    cell = None if of_images is None else of_images.cell(split)
    return cell if cell is not None and cell.folder.exists() else None


class _Turns:
    """Chooses the next shard to compute, so that two processes rarely compute the same shard.

    Each process goes round from a random shard. A shard that another process computes is marked by
    a file beside it, and comes last: the other process may be dead. Computing a shard twice does no
    harm. Before a shard, only the files with its name are looked up: listing the folder before each
    of 40,000 shards took 1.6 hours of a core.

    Attributes
    ----------
    left
        Names of the shards that this process has not chosen yet, in row order.
    """

    def __init__(self, cell: Cell, names: Sequence[str], count: Count) -> None:
        self._cell = cell
        self._count = count
        self._marks: dict[str, Path | None] = {}
        # A task of one shard does not list the folder.
        self._next_listing_s = time.monotonic() + (LIST_EVERY_S if len(names) == 1 else 0)
        self.left = dict.fromkeys(names)

    def shards(self) -> Iterator[Shard]:
        """Yield shards that are missing at that moment and that no other process computes.

        If other processes compute all shards in ``left``, one of these is yielded: by then, its
        process may be dead.
        """
        ring, is_any = deque(self.left), False
        ring.rotate(random.randrange(len(ring)))  # noqa: S311 - no secret
        while ring:
            if time.monotonic() >= self._next_listing_s:
                self._list()
            # The next shard may share an image with the last one.
            name = ring.popleft()
            if self._is_free(name):
                yield self._begin(name)
                is_any = True
            elif ring:  # elsewhere: another process is here
                ring.rotate(random.randrange(len(ring)))  # noqa: S311
        if self.left and not is_any:
            yield self._begin(random.choice([*self.left]))  # noqa: S311

    def _is_free(self, name: str) -> bool:
        """Whether a shard is in ``left``, missing in the pool, and not marked by a process.

        A shard that the pool has is dropped from ``left``.
        """
        path = self._cell.rows_path(name)
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
        self._count.exclude(self._cell.split.count_rows(names))
        for name in names:
            del self.left[name]

    def _begin(self, name: str) -> Shard:
        del self.left[name]
        self._marks[name] = begin_file(self._cell.rows_path(name))
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


def _split_of(job: FillJob, names: Sequence[str]) -> tuple[ShardedTable, SplitImages]:
    """Read the split of a job, and make a reader of its images.

    Other versions of libraries than the job's, or a split without one of the shards, are an error.
    """
    # The job's signature comes from another process; a copy of the job has this process's versions.
    difference = compare(replace(job).signature, job.signature)
    if difference is not None:
        raise StoreError(
            f"{job} must be filled under the versions of the stage, got others ({difference})"
        )
    source = job.name.split, job.params.shard_objects, job.place.images, job.rows_digest
    split, images = _read_split(*source)
    # The split may have been prepared again since.
    if not job.name.rows(split).shards.keys() >= set(names):
        _read_split.cache_clear()
        split, images = _read_split(*source)
    if missing := set(names) - job.name.rows(split).shards.keys():
        raise StoreError(
            f"the split {job.name.split} must be the same wherever {job} is filled, got one "
            f"without the inputs of shard {min(missing)[:12]}"
        )
    return split, images


@lru_cache(maxsize=1)
def _read_split(
    split: str, shard_objects: int, images: str, _digest: str
) -> tuple[ShardedTable, SplitImages]:
    table = prepared(split, shard_objects)
    return table, SplitImages(Path(images), [str(file) for file in table.table.file])
