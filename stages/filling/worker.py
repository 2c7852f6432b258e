"""What a process does that fills shards; the first one it fills brings in the models."""

import sys
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.extraction.plan import Shard, plan_shards
from stages.filling.job import CellJob, Prepared, prepared
from stages.program.progress import Count, progress
from storage.cell.claims import Claims
from storage.cell.making import Cell
from storage.cell.reuse import MadeRows, find_made
from storage.errors import StoreError, counted
from storage.images.videos import SplitImages
from storage.split.objects import ObjectTable, input_sha256
from storage.store.signature import compare

if TYPE_CHECKING:
    from pipeline.sam.model import Sam
    from stages.extraction.steps import CellSteps


@dataclass(frozen=True)
class Filled:
    """What became of some shards of a cell.

    Attributes
    ----------
    kinds
        Names of the processors and GPUs that made the rows, see ``storage.store.marks.Receipt``.
    failed_images
        Images that could not be extracted, each with its reason.
    failed_shards
        Shards that are not done for them; their other images are kept.
    n_made
        Shards that were computed here; any others had been done meanwhile, or were left to those
        who are at them.
    """

    kinds: frozenset[str]
    n_made: int
    failed_images: tuple[tuple[str, str], ...] = ()
    failed_shards: tuple[int, ...] = ()


@dataclass(frozen=True)
class Device:
    """What computes: ``cpu`` or ``cuda``, and the name of the processor."""

    type: str
    kind: str


def device_here(setting: str) -> Device:
    """Device that this process computes on under ``extract.device``.

    Raises
    ------
    ParamsError
        If there is none such.
    """
    # The models' imports take seconds, and most who import this module compute nothing.
    from stages.extraction.models import device_name, settled_device  # noqa: PLC0415

    device = settled_device(setting)
    return Device(device.type, device_name(device))


def fill_shards(job: CellJob, shards: tuple[int, ...]) -> Filled:
    """Compute shards of a cell, except those that others are at or have done meanwhile.

    A model stays in memory for the next call.

    Raises
    ------
    StoreError
        If the split is another one here.
    ParamsError
        If the device of the job is not there.
    WeightsError
        If the weights are missing, damaged or of another architecture.
    """
    return _fill(job, shards, is_shown=False)


def fill_shown(job: CellJob, shards: tuple[int, ...]) -> Filled:
    """Compute shards of a cell and show how far they are, see ``fill_shards``."""
    _known.cache_clear()  # a process that does whole cells comes to each of them once
    return _fill(job, shards, is_shown=True)


def _fill(job: CellJob, shards: tuple[int, ...], *, is_shown: bool) -> Filled:
    from stages.extraction.loop import run_shards  # noqa: PLC0415
    from stages.extraction.models import device_name, kept_model  # noqa: PLC0415

    known = _known(job)
    sam = kept_model(job.params, job.name.model, job.device)
    cell = job.open(known.split.table)
    kind = device_name(sam.device)
    todo = [known.plan[shard] for shard in shards]
    n_objects = sum(shard.stop - shard.start for shard in todo) if is_shown else 0
    begun: list[int] = []
    with Claims(cell.folder) as claims, progress(f"extract {job}", n_objects) as count:
        steps = _steps(job, known, sam, cell)
        steps.device, steps.release = kind, claims.release
        claimed = _claimed(cell, claims, todo, known, count)
        failures = run_shards(_noted(claimed, begun), steps, count)
    failed = {str(known.split.table.file[f.piece.image]): f.reason for f in failures}
    torn = {f.piece.start // job.params.shard_objects for f in failures}
    n_made = len(set(begun) - torn)
    return Filled(frozenset(steps.kinds), n_made, tuple(failed.items()), tuple(sorted(torn)))


def _steps(job: CellJob, known: "_Known", sam: "Sam", cell: Cell) -> "CellSteps":
    from stages.extraction.steps import CellSettings, CellSteps  # noqa: PLC0415

    name, split = job.name, known.split
    settings = CellSettings(name.view, name.prompts, job.decoder_batch, with_masks=name.with_masks)
    return CellSteps(
        sam, cell, split.table, known.images, split.images_sha256, settings, known.made
    )


def _claimed(
    cell: Cell,
    claims: Claims,
    todo: Sequence[Shard],
    known: "_Known",
    count: Count,
) -> Iterator[Shard]:
    """Shards that nobody else is at, or has done meanwhile, each claimed as its turn comes."""
    for shard in todo:
        if claims.take(shard.index):
            if cell.marked.fault(shard.index, known.split.images_sha256[shard.index]) is not None:
                cell.begin()
                yield shard
                continue
            claims.release(shard.index)
        count.leave(shard.stop - shard.start)


def _noted(shards: Iterable[Shard], begun: list[int]) -> Iterator[Shard]:
    """The same shards, each noted as it begins."""
    for shard in shards:
        begun.append(shard.index)
        yield shard


@dataclass(frozen=True)
class _Known:
    """What the shards of a cell share."""

    split: Prepared
    plan: tuple[Shard, ...]
    images: SplitImages
    made: MadeRows


@lru_cache(maxsize=1)
def _known(job: CellJob) -> _Known:
    split = prepared(job.name.split, job.params.shard_objects)
    found, wanted = ((one.objects_digest, one.images_digest) for one in (split, job))
    if found != wanted:
        raise StoreError(
            f"the split {job.name.split} must be the same wherever {job} is filled, got objects "
            f"and images {found} for {wanted}"
        )
    # The signature came with the job; a new one has the versions of this process.
    difference = compare(replace(job).signature, job.signature)
    if difference is not None:
        raise StoreError(
            f"{job} must be filled by the versions that asked for it, got others ({difference})"
        )
    table = split.table
    plan = plan_shards(table.image_index, job.params.shard_objects)
    images = SplitImages(Path(job.place.images), [str(file) for file in table.file])
    return _Known(split, plan, images, _made_elsewhere(job, split, plan))


def _made_elsewhere(job: CellJob, split: Prepared, plan: Sequence[Shard]) -> MadeRows:
    """What other cells hold already of the shards that are to be made."""
    marked = job.marked(split)
    lacking = marked.lacking(split.images_sha256, sizes_only=True)
    n_rows = inputs_of(split.table, plan, lacking)
    made = find_made(
        job.signature,
        n_rows.keys(),
        marked.folder,
        with_masks=job.name.with_masks,
    )
    n_lacking = {name: len(made.lacking(name)) for name in n_rows}
    n_made = sum(n for name, n in n_rows.items() if not n_lacking[name])
    if n_made:
        print(f"note: {counted(n_made, 'object')} taken from other cells", file=sys.stderr)
    n_part = sum(n for name, n in n_rows.items() if 0 < n_lacking[name] < len(made.prompts))
    if n_part:
        some = f"some prompt sets of {counted(n_part, 'object')}"
        print(f"note: {some} taken from other cells", file=sys.stderr)
    return made


def inputs_of(table: ObjectTable, plan: Sequence[Shard], shards: Collection[int]) -> dict[str, int]:
    """How many rows of some shards are computed from each input, by its digest."""
    pieces = [piece for shard in plan if shard.index in shards for piece in shard.pieces]
    rows = [slice(piece.start, piece.stop) for piece in pieces]
    return {input_sha256(table, some): some.stop - some.start for some in rows}
