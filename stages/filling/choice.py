"""Which cells are to be filled, why, and what that takes."""

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import chain

from stages.filling.cell import begun_job, done_job, job_here, outputs_of
from stages.filling.job import Prepared, prepared
from stages.filling.pool import Filling, device_of, likely_device, widest_first
from stages.planning.plans import cells_of
from stages.planning.reasons import BEGUN, MISSING, reason_to_run
from stages.settings.params import Params
from stages.settings.parsing import ParamsError
from stages.settings.signatures import CellName, cell_settings, objects_settings
from storage.errors import StoreError, counted, shown
from storage.paths import objects_path, remedy
from storage.store.arrays import read_images
from storage.store.inspection import open_store
from storage.store.signature import compare


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
    names: Sequence[CellName],
    params: Params,
    part: Part,
    *,
    is_dry: bool = False,
) -> list[Chosen]:
    """Cells that are not published, the widest first, each with the shards that are this part's.

    Parts are cut from the shards of all these cells, done or not, so that they stay the same while
    shards are done.

    Parameters
    ----------
    is_dry
        Whether nothing will be computed: then no worker is asked for its device, and cells that
        GPUs have begun are shown where there is none.

    Raises
    ------
    StoreError
        If a split is not prepared as the settings have it, or a GPU has begun a cell and none is
        here.
    ParamsError
        If the device that the settings name is not there.
    """
    wanted = _wanted(names, params, part)
    places, extract, executor = params.splits, params.extract, params.executor
    done = {str(w.name): done_job(w.name, places[w.name.split], extract, w.split) for w in wanted}
    device = None
    if not all(done.values()):
        device = likely_device(extract, executor) if is_dry else device_of(extract, executor)
    chosen = []
    for one in wanted:
        job = done[str(one.name)]
        if job is None:
            arguments = (one.name, places[one.name.split], extract, one.split)
            job = begun_job(device, *arguments) if is_dry else job_here(device, *arguments)
        filling = Filling(job, one.split, job.marked(one.split), one.own)
        chosen.append(Chosen(filling, _begun(filling, one.why)))
    return chosen


@dataclass(frozen=True)
class _Wanted:
    """A cell that is not published, and why."""

    name: CellName
    split: Prepared
    own: frozenset[int]
    why: str


def _wanted(names: Sequence[CellName], params: Params, part: Part) -> list[_Wanted]:
    """Cells that are not published, the widest first, each with the shards of a part."""
    splits = {split: _prepared(split, params) for split in dict.fromkeys(n.split for n in names)}
    first, wanted = 0, []
    for name in sorted(names, key=widest_first):
        split = splits[name.split]
        shards = range((part.number - 1 - first) % part.of, len(split.images_sha256), part.of)
        first += len(split.images_sha256)
        if why := _why(name, params, split):
            wanted.append(_Wanted(name, split, frozenset(shards), why))
    return wanted


def _prepared(split: str, params: Params) -> Prepared:
    """A split, held to the settings: DVC would prepare it anew, but does not run ``usam fill``."""
    found = prepared(split, params.extract.shard_objects)
    asked = objects_settings(split, params.splits[split], params.prepare)
    if difference := compare(found.table.signature, asked):
        path = objects_path(split)
        raise StoreError(f"{path} was written under other inputs ({difference}){remedy(path)}")
    return found


def _why(name: CellName, params: Params, split: Prepared) -> str | None:
    """Why a cell is to be made; None if it is published, from these objects and images."""
    asked = cell_settings(params.extract, name) | {"objects_digest": split.objects_digest}
    if params.extract.decoder_batch != "auto":
        asked |= {"decoder_batch": params.extract.decoder_batch}
    if (reason := reason_to_run(name, asked)) is not None:
        return reason
    try:
        images = read_images(open_store(outputs_of(name)["features"]))
    except StoreError:
        return "damaged"
    return None if images == split.images_sha256 else "other images"


def _begun(filling: Filling, why: str) -> str:
    """The reason, and how far the cell is."""
    n_done, n_shards = filling.job.progress(filling.split)
    if n_done:
        return f"{n_done} of {counted(n_shards, 'shard')} done"
    # What another device has begun is none of this.
    return MISSING if why == BEGUN and not filling.marked.folder.exists() else why
