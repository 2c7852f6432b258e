"""Which cells are to be filled, why, and what that takes."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from itertools import chain

import numpy as np

from stages.filling.cell import done_job, job_on, outputs_of
from stages.filling.job import CellJob, Prepared, prepared
from stages.filling.pool import Filling, device_of, widest_first
from stages.planning.plans import cells_of
from stages.planning.reasons import reason_to_run
from stages.shell.asked import CellName, asked_of
from stages.shell.params import Params
from stages.shell.rules import ParamsError
from storage.errors import StoreError, shown
from storage.store.arrays import naming_damage, read_arrays
from storage.store.inspection import open_store


@dataclass(frozen=True)
class Part:
    """Every ``of``-th shard of the pool, from ``number`` on, which counts from 1."""

    number: int = 1
    of: int = 1


@dataclass(frozen=True)
class Chosen:
    """A cell that is not published under these settings."""

    filling: Filling
    why: str


def parse_part(text: str) -> Part:
    """Read ``I/N``.

    Raises
    ------
    ParamsError
        If it is not of this form, or I is not in 1..N.
    """
    number, slash, of = text.partition("/")
    if not slash or not number.isdecimal() or not of.isdecimal():
        raise ParamsError(f"--shard-range must be I/N, such as 3/8, got {shown(text)}")
    if not 1 <= int(number) <= int(of):
        raise ParamsError(f"--shard-range must be 1/N to N/N, got {shown(text)}")
    return Part(int(number), int(of))


def choose_names(globs: Sequence[str], params: Params) -> list[CellName]:
    """Cells of the settings whose ``split/model/view`` matches any of the patterns.

    Raises
    ------
    ParamsError
        If a pattern matches none.
    """
    splits = (*params.eval_splits, *params.train_splits)
    names = list(chain.from_iterable(cells_of(split, params) for split in splits))
    for glob in globs:
        if not any(fnmatchcase(str(name), glob) for name in names):
            raise ParamsError(f"GLOB must match a cell, such as {names[0]}, got {shown(glob)}")
    return [n for n in names if not globs or any(fnmatchcase(str(n), glob) for glob in globs)]


def choose(
    names: Sequence[CellName], params: Params, part: Part, *, same_device: bool = False
) -> list[Chosen]:
    """Cells that are not published, the widest first, each with the shards that are this part's.

    Parts are cut from the shards of all these cells, done or not, so that they stay the same while
    shards are done.

    Parameters
    ----------
    same_device
        Whether all shards of a cell must be made by one kind of device.

    Raises
    ------
    StoreError
        If a split is not prepared, or ``same_device`` cannot be.
    ParamsError
        If the device that the settings name is not there.
    """
    size = params.extract.shard_objects
    splits = {split: prepared(split, size) for split in dict.fromkeys(n.split for n in names)}
    first, wanted = 0, []
    for name in sorted(names, key=widest_first):
        split = splits[name.split]
        shards = range((part.number - 1 - first) % part.of, len(split.images_sha256), part.of)
        first += len(split.images_sha256)
        if why := _why(name, params, split):
            wanted.append((name, split, frozenset(shards), why))
    extract, places = params.extract, params.splits
    jobs = {str(n): done_job(n, places[n.split], extract, split) for n, split, _, _ in wanted}
    here = None
    if not all(jobs.values()):
        here = device_of(extract, params.executor, is_named=same_device)
    chosen = []
    for name, split, own, why in wanted:
        job = jobs[str(name)]
        if job is None:
            assert here is not None  # asked for, as a cell is not done
            job = job_on(here.type, name, places[name.split], extract, split)
            job = _of_one_kind(job, split, here.kind) if same_device else job
        filling = Filling(job, split, job.marked(split), own)
        chosen.append(Chosen(filling, _begun(filling, why)))
    return chosen


def _why(name: CellName, params: Params, split: Prepared) -> str | None:
    """Why a cell is to be made; None if it is published, from these objects and images."""
    asked = asked_of(params.extract, name) | {"objects_digest": split.objects_digest}
    if params.extract.decoder_batch != "auto":
        asked |= {"decoder_batch": params.extract.decoder_batch}
    reason = reason_to_run(name, asked)
    if reason is not None:
        return reason
    try:
        store = open_store(outputs_of(name)["features"])
        with naming_damage(store, "images_sha256"):
            images = [str(text) for text in np.asarray(read_arrays(store)["images_sha256"][...])]
    except StoreError:
        return "damaged"
    return None if images == split.images_sha256 else "other images"


def _begun(filling: Filling, why: str) -> str:
    """The reason, and how far the cell is."""
    n_shards = len(filling.marked.indices)
    n_done = n_shards - len(filling.marked.lacking(filling.split.images_sha256, sizes_only=True))
    return f"{n_done} of {n_shards} shards are done" if n_done else why


def _of_one_kind(job: CellJob, split: Prepared, kind: str) -> CellJob:
    known = {receipt.device for receipt in job.marked(split).receipts().values()}
    if known - {kind}:
        made = ", ".join(sorted(known))
        raise StoreError(f"{job} must be filled by one kind of device, {made}, got {kind}")
    return replace(job, kind=kind)
