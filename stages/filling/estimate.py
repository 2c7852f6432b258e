"""What filling takes: objects, bytes, and seconds by the receipts of shards that are done."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import product

from pipeline.extraction.plan import plan_shards
from pipeline.sam.families import SIZES
from pipeline.vocabulary import N_PROPOSALS
from stages.filling.cell import job_on
from stages.filling.job import DEVICES, CellJob, prepared
from stages.filling.pool import Filling, own_device
from stages.filling.worker import inputs_of
from stages.planning.plans import features_bytes
from stages.settings.params import Params
from stages.settings.signatures import CellName
from storage.cell.rates import made_below
from storage.cell.reuse import find_made
from storage.paths import WORK
from storage.split.objects import ObjectTable
from storage.store.grid import mask_bytes


@dataclass(frozen=True)
class Cost:
    """What some cells take."""

    n_shards: int
    n_objects: int
    """To be computed: rows that other cells hold are copied."""
    low_bytes: int
    high_bytes: int
    seconds: float | None
    """Of one process; None if no receipt tells."""


@dataclass(frozen=True)
class Rates:
    """How fast shards that are done were made.

    Attributes
    ----------
    seconds
        Per object, by device, model and number of prompt sets.
    kinds
        Names of the processors and GPUs that took them.
    """

    seconds: Mapping[tuple[str, str, int], float]
    kinds: frozenset[str]


def known_rates(names: Sequence[CellName], params: Params) -> Rates:
    """Seconds per object by the receipts of any cells: of this device, if it is the one to compute.

    Elsewhere, what workers will be is not known: all kinds of GPU, or of processor, count.
    """
    own = own_device(params.extract, params.executor)
    size = params.extract.shard_objects
    splits = {split: prepared(split, size) for split in {name.split for name in names}}
    all_made = made_below(WORK)
    totals: dict[tuple[str, str, int], tuple[float, int]] = {}
    kinds = set()
    for name, device in product(names, DEVICES):
        split = splits[name.split]
        job = job_on(device, name, params.splits[name.split], params.extract, split)
        if _key(job) in totals:
            continue
        for made in all_made:
            is_other = own is not None and own.type == device and own.kind != made.device
            if made.is_under(job.signature) and not is_other:
                kinds.add(made.device)
                seconds, n = totals.get(_key(job), (0.0, 0))
                totals[_key(job)] = (seconds + made.seconds, n + made.n_objects)
    return Rates({key: seconds / n for key, (seconds, n) in totals.items()}, frozenset(kinds))


def cost(some: Filling, known: Rates) -> Cost:
    """What is left of a cell."""
    shards = some.todo()
    n = some.n_objects(shards)
    name, sizes = some.job.name, SIZES[some.job.params.family]
    fixed = n * features_bytes(name, sizes)
    n_masks = n * N_PROPOSALS * len(name.prompts) if name.with_masks else 0
    low, high = mask_bytes(sizes.mask_side_px)
    rate = known.seconds.get(_key(some.job))
    n_computed = n - _n_held(some, shards)
    return Cost(
        len(shards),
        n_computed,
        fixed + n_masks * low,
        fixed + n_masks * high,
        None if rate is None else n_computed * rate,
    )


def _n_held(some: Filling, shards: Sequence[int]) -> int:
    """Rows of shards that other cells hold with every prompt set, whoever made them."""
    job, split = some.job, some.split
    n_rows = _inputs_of(split.table, job.params.shard_objects, frozenset(shards))
    made = find_made(
        job.signature,
        n_rows.keys(),
        some.marked.folder,
        with_masks=job.name.with_masks,
        is_estimate=True,
    )
    return sum(n for digest, n in n_rows.items() if not made.lacking(digest))


@lru_cache(maxsize=8)
def _inputs_of(table: ObjectTable, shard_objects: int, shards: frozenset[int]) -> dict[str, int]:
    """The same for all cells of a split that lack the same shards."""
    return inputs_of(table, plan_shards(table.image_index, shard_objects), shards)


def total(costs: Sequence[Cost]) -> Cost:
    """Sum; its seconds are None if those of any are."""
    seconds = [cost.seconds for cost in costs]
    known = [s for s in seconds if s is not None]
    return Cost(
        sum(cost.n_shards for cost in costs),
        sum(cost.n_objects for cost in costs),
        sum(cost.low_bytes for cost in costs),
        sum(cost.high_bytes for cost in costs),
        sum(known) if len(known) == len(seconds) else None,
    )


def _key(job: CellJob) -> tuple[str, str, int]:
    return job.device, job.name.model, len(job.name.prompts)
