"""Runs one cell: fills what is missing, publishes what is whole."""

import sys
from collections.abc import Mapping
from pathlib import Path

from stages.filling.job import DEVICES, CellJob, Prepared, prepared
from stages.filling.pool import Filling, device_of, fill
from stages.program.stopping import stoppable
from stages.program.unchanged import check_unchanged
from stages.settings.blocks import ExecutorParams, ExtractParams, Split
from stages.settings.signatures import CellName
from storage.cell.marked import CHANGED, UNDONE
from storage.cell.work import sweep
from storage.errors import StoreError, counted
from storage.paths import WORK, features_path, masks_path


def run_cell(
    name: CellName,
    place: Split,
    params: ExtractParams,
    executor: ExecutorParams,
    *,
    is_repair: bool = False,
) -> None:
    """Extract one cell into ``cache/features`` and, with masks, ``cache/masks``.

    Where all its shards are done, no model is needed, nor its libraries.

    Parameters
    ----------
    is_repair
        Take over what is intact of the outputs that are there; else DVC has removed them.

    Raises
    ------
    ImageError
        If images failed, after all others were extracted and kept in the work folder.
    """
    split = prepared(name.split, params.shard_objects)
    job = done_job(name, place, params, split) or job_here(
        device_of(params, executor), name, place, params, split
    )
    sweep(WORK, keep=job.work)
    targets = outputs_of(name)
    with stoppable(f"finished shards are kept in {job.marked(split).folder}"):
        filling = Filling.of(job, split, is_read=True)
        faults = job.open(split.table).adopt(targets) if is_repair else {}
        lacking = filling.marked.lacking(split.images_sha256)
        note_damage(job, lacking | faults)
        if lacking:
            _fill(filling, lacking, executor)
        check_unchanged()
        cell = job.open(split.table, filling.marked)
        cell.publish(targets["features"], targets.get("masks"), images_sha256=split.images_sha256)


def note_damage(job: CellJob, faults: Mapping[int, str]) -> None:
    """Say which shards are extracted again because they are damaged."""
    for shard, fault in faults.items():
        if fault not in {UNDONE, CHANGED}:
            print(f"note: shard {shard} of {job} is extracted again: {fault}", file=sys.stderr)


def job_on(
    device: str, name: CellName, place: Split, params: ExtractParams, split: Prepared
) -> CellJob:
    """Cell on a device."""
    return CellJob(name, place, params, device, split.objects_digest, split.images_digest)


def job_here(
    device: str | None, name: CellName, place: Split, params: ExtractParams, split: Prepared
) -> CellJob:
    """Cell on the device that ``extract.device`` means here.

    Raises
    ------
    StoreError
        If GPUs have begun it, and none is here: it would be made anew on a processor, unasked.
    """
    if params.device == "auto" and device == "cpu":
        n_done, n_shards = job_on("cuda", name, place, params, split).progress(split)
        if n_done:
            raise StoreError(
                f"{name} must be finished on a GPU, as it was begun ({n_done} of "
                f"{counted(n_shards, 'shard')} done), got none here; extract.device: cpu would "
                "begin it anew on this processor, and keep what the GPU has done"
            )
    assert device is not None  # whoever computes knows it
    return job_on(device, name, place, params, split)


def begun_job(
    device: str | None, name: CellName, place: Split, params: ExtractParams, split: Prepared
) -> CellJob:
    """Cell on a device, or rather on a GPU if that has begun it.

    Parameters
    ----------
    device
        Where it would be filled; None if only its workers know.
    """
    jobs = {each: job_on(each, name, place, params, split) for each in DEVICES}
    if device is None:
        return max(jobs.values(), key=lambda job: job.progress(split)[0])
    is_begun = params.device == "auto" and jobs["cuda"].progress(split)[0]
    return jobs["cuda" if is_begun else device]


def done_job(
    name: CellName, place: Split, params: ExtractParams, split: Prepared
) -> CellJob | None:
    """Cell on the device that did all of it, so that nobody need ask for one; None if none did."""
    for device in DEVICES if params.device == "auto" else (params.device,):
        job = job_on(device, name, place, params, split)
        marked = job.marked(split)
        if marked.folder.exists() and not marked.lacking(split.images_sha256, sizes_only=True):
            return job
    return None


def outputs_of(name: CellName) -> dict[str, Path]:
    """Stores of a cell, by their kind."""
    place = (name.split, name.model, name.view.name)
    masks = {"masks": masks_path(*place)} if name.with_masks else {}
    return {"features": features_path(*place), **masks}


def _fill(filling: Filling, lacking: dict[int, str], executor: ExecutorParams) -> None:
    job = filling.job
    for unfinished in job.open(filling.split.table).unfinished:
        print(f"note: {unfinished}", file=sys.stderr)
    n_done = filling.split.table.n_objects - filling.n_objects(list(lacking))
    if n_done:
        print(f"{job}: {counted(n_done, 'object')} already done", file=sys.stderr)
    fill([filling], executor)
    if filling.error is not None:
        raise filling.error
