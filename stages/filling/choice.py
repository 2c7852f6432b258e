"""Which cells are to be filled, why, and what that takes."""

from collections.abc import Sequence
from fnmatch import fnmatchcase
from functools import cache
from itertools import chain

from pipeline.sam.families import SIZES
from pipeline.vocabulary import N_PROPOSALS
from stages.filling.fill import Filling, device_of, likely_device, widest_first
from stages.filling.job import CellJob, possible_jobs, prepared, settled_job
from stages.filling.run_cell import adopt_outputs, fitting
from stages.planning.plans import cells_of, features_bytes
from stages.planning.reasons import reason_to_run
from stages.settings.params import Params
from stages.settings.parsing import ParamsError
from stages.settings.signatures import CellName, objects_settings
from storage.errors import StoreError, counted, shown
from storage.paths import objects_path, remedy
from storage.pool.inputs import PreparedSplit
from storage.store.grid import mask_bytes
from storage.store.signature import compare

Part = tuple[int, int]
"""I and N: every N-th shard from the I-th on, counted from 1."""


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
    return int(number), int(of)


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
    names: Sequence[CellName], params: Params, part: Part = (1, 1), *, is_dry: bool = False
) -> list[Filling]:
    """Cells that are not published, the widest first, each with the shards that are this part's.

    What their outputs have of them is taken over. Parts are cut from the shards of all these cells,
    there or not, so that they stay the same while shards are computed.

    Parameters
    ----------
    is_dry
        Whether nothing will be computed: then no worker is asked for its device, cells that GPUs
        have begun are shown where there is none, and nothing is taken over.

    Raises
    ------
    StoreError
        If a split is not prepared as the settings have it, or a GPU has begun a cell and none is
        here.
    ParamsError
        If the device that the settings name is not there.
    """
    splits = {split: _prepared(split, params) for split in dict.fromkeys(n.split for n in names)}
    find = likely_device if is_dry else device_of
    device = cache(lambda: find(params.extract, params.executor))  # workers are asked once
    (number, of), first, chosen = part, 0, []
    for name in sorted(names, key=widest_first):
        split = splits[name.split]
        own = split.names[(number - 1 - first) % of :: of]
        first += len(split.names)
        if (why := reason_to_run(name, params.extract, split)) is None:
            continue
        jobs = possible_jobs(name, params.splits[name.split], params.extract, split)
        if is_dry:
            own = tuple(shard for shard in own if shard not in _adoptable(jobs, split))
        else:
            adopt_outputs(jobs, split)
        job = settled_job(jobs, split, device, is_dry=is_dry)
        n_done = len(split.shards) - len(job.cell(split).lacking())
        begun = f"{n_done} of {counted(len(split.shards), 'shard')} done" if n_done else why
        chosen.append(Filling(job, split, frozenset(own), begun))
    return chosen


def cost(some: Filling) -> tuple[int, int, int, int]:
    """Shards and objects that are lacking of a cell, and their fewest and most bytes."""
    names = some.todo()
    n, name, sizes = some.split.n_objects(names), some.job.name, SIZES[some.job.params.family]
    fixed = n * features_bytes(name, sizes)
    n_masks = n * N_PROPOSALS * len(name.prompts) if name.with_masks else 0
    low, high = mask_bytes(sizes.mask_side_px)
    return len(names), n, fixed + n_masks * low, fixed + n_masks * high


def _prepared(split: str, params: Params) -> PreparedSplit:
    """A split, held to the settings: DVC would prepare it anew, but does not run ``usam fill``."""
    found = prepared(split, params.extract.shard_objects)
    asked = objects_settings(split, params.splits[split], params.prepare)
    if difference := compare(found.table.signature, asked):
        path = objects_path(split)
        raise StoreError(f"{path} was written under other inputs ({difference}){remedy(path)}")
    return found


def _adoptable(jobs: dict[str, CellJob], split: PreparedSplit) -> frozenset[str]:
    """Shards that a cell's outputs have; what DVC's cache alone has does not count."""
    outputs = next(iter(jobs.values())).name.outputs
    is_there = all(path.exists() for path in outputs.values())
    found = fitting(jobs, split, outputs) if is_there else None
    return frozenset(found[0].names if found else ())
