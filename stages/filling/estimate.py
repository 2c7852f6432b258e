"""What filling takes: objects, bytes, and seconds by the receipts of shards that are done."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pipeline.sam.families import SIZES
from pipeline.vocabulary import N_PROPOSALS
from stages.filling.cell import job_on
from stages.filling.job import prepared
from stages.filling.pool import Filling, device_of
from stages.planning.plans import features_bytes
from stages.shell.asked import CellName
from stages.shell.params import Params
from storage.datasets.extent import mask_bytes


@dataclass(frozen=True)
class Cost:
    """What some cells take."""

    n_shards: int
    n_objects: int
    low_bytes: int
    high_bytes: int
    seconds: float | None
    """Of one process on this device; None if no receipt tells."""


Rates = Mapping[tuple[str, int], float]
"""Seconds per object, by model and number of prompt sets."""


def known_rates(names: Sequence[CellName], params: Params) -> Rates:
    """Seconds per object on this device, from the shards of any cells that it has done."""
    here = device_of(params.extract, params.executor, is_named=True)
    size = params.extract.shard_objects
    splits = {split: prepared(split, size) for split in {name.split for name in names}}
    totals: dict[tuple[str, int], tuple[float, int]] = {}
    for name in names:
        split = splits[name.split]
        job = job_on(here.type, name, params.splits[name.split], params.extract, split)
        marked = job.marked(split)
        for receipt in marked.receipts().values():
            if receipt.device == here.kind and receipt.seconds:
                seconds, n = totals.get(_key(name), (0.0, 0))
                totals[_key(name)] = (seconds + receipt.seconds, n + receipt.n_objects)
    return {key: seconds / n for key, (seconds, n) in totals.items()}


def cost(some: Filling, known: Rates) -> Cost:
    """What is left of a cell."""
    shards = some.todo()
    n = some.n_objects(shards)
    name, sizes = some.job.name, SIZES[some.job.params.family]
    fixed = n * features_bytes(name, sizes)
    n_masks = n * N_PROPOSALS * len(name.prompts) if name.with_masks else 0
    low, high = mask_bytes(sizes.mask_side_px)
    rate = known.get(_key(name))
    return Cost(
        len(shards),
        n,
        fixed + n_masks * low,
        fixed + n_masks * high,
        None if rate is None else n * rate,
    )


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


def _key(name: CellName) -> tuple[str, int]:
    return name.model, len(name.prompts)
