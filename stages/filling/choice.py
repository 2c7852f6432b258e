"""Which cells to fill, and which of their shards this process computes."""

from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from functools import cache

from stages.filling.fill import Filling, device_of
from stages.filling.job import possible_jobs, settled_job
from stages.filling.plans import all_cells, prepared_as_set, reason_to_run
from stages.filling.run_cell import adopt_outputs
from stages.settings.params import Params
from stages.settings.parsing import ParamsError
from stages.settings.signatures import CellName
from storage.errors import shown
from storage.pool.inputs import PreparedSplit

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
    names = all_cells(params)
    for glob in globs:
        if not any(fnmatchcase(str(name), glob) for name in names):
            raise ParamsError(f"GLOB must match a cell, such as {names[0]}, got {shown(glob)}")
    return [n for n in names if not globs or any(fnmatchcase(str(n), glob) for glob in globs)]


def widest_first(names: Sequence[CellName], models: Sequence[str]) -> list[CellName]:
    """Cells in another order: most prompt sets first, then the largest model's together."""

    def place(name: CellName) -> tuple[object, ...]:
        return -len(name.prompts), -models.index(name.model), name.split, name.view.name

    return sorted(names, key=place)


def parts_of(
    names: Sequence[CellName], params: Params, part: Part = (1, 1)
) -> Iterator[tuple[CellName, PreparedSplit, frozenset[str]]]:
    """Cells, the widest first, each with its split and this part's shards.

    Parts are cut from the shards of all these cells, there or not, so that they stay the same while
    shards are computed.

    Raises
    ------
    StoreError
        If a split is not prepared as the settings have it: DVC would prepare it anew, but does not
        run ``usam fill``.
    """
    asked = dict.fromkeys(name.split for name in names)
    splits = {split: prepared_as_set(split, params) for split in asked}
    (number, of), first = part, 0
    for name in widest_first(names, params.models):
        split = splits[name.split]
        yield name, split, frozenset(split.names[(number - 1 - first) % of :: of])
        first += len(split.names)


def choose(names: Sequence[CellName], params: Params, part: Part = (1, 1)) -> list[Filling]:
    """Unpublished cells with the shards to fill of each, see ``parts_of``.

    What their outputs have of them is taken over.

    Raises
    ------
    StoreError
        Also if a GPU has begun a cell and none is here.
    ParamsError
        If the device that the settings name is not there.
    """
    device = cache(lambda: device_of(params.extract, params.executor))  # workers are asked once
    chosen = []
    for name, split, own in parts_of(names, params, part):
        if reason_to_run(name, params.extract, split):
            jobs = possible_jobs(name, params.splits[name.split], params.extract, split)
            adopt_outputs(jobs, split)
            chosen.append(Filling(settled_job(jobs, split, device), split, own))
    return chosen
