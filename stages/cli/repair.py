"""``usam cache repair``: computes damaged shards again, and no others."""

import sys
from collections.abc import Iterator
from pathlib import Path

import typer

from stages.cli.columns import printable
from stages.cli.stores import Some, on_disk
from stages.shell.asked import CellName, eval_cells, train_cells
from stages.shell.params import Params, read_params
from stages.shell.program import REPORTED, one_line, reported_errors
from stages.shell.progress import progress
from stages.shell.unchanged import running
from storage.cell.recorded import mend_cache
from storage.cell.work import is_work_folder
from storage.errors import StoreError
from storage.paths import CACHE, features_path, masks_path, remedy
from storage.store.describe import find_stores
from storage.store.verify import Damage, verify


def repair(path: Some = str(CACHE)) -> None:
    """Hold stores to their manifests, compute damaged shards again and put them in place.

    What is intact is taken over, also into DVC's cache where it held the same damage. Exit 1 if a
    store is damaged that has no shards, or belongs to no cell of params.yaml, or if a cell cannot
    be repaired, which keeps no other from being.
    """
    failed = False
    with reported_errors():
        folder = on_disk(path)
        params = read_params()
        cells = {store: name for name, store in _cells(params)}
        damaged = _damaged(folder)
        for name in {
            str(cells[store]): cells[store] for store in damaged if store in cells
        }.values():
            try:
                _repair(name, params)
            except REPORTED as error:
                print(f"error: {name}: {one_line(error)}", file=sys.stderr)
                failed = True
            else:
                print(f"repaired  {name}")
    if not damaged:
        print(f"nothing is damaged in {printable(path)}")
    left = [store for store in damaged if store not in cells]
    for store in left:
        print(f"damaged   {printable(str(store))}{remedy(store)}")
    if left or failed:
        raise typer.Exit(1)


def _damaged(path: Path) -> dict[Path, list[Damage]]:
    """What is wrong with each published store that is damaged."""
    below = (store for store in find_stores(path) if not is_work_folder(store.parent))
    stores = [_as_settings_name_it(store) for store in below]
    found: dict[Path, list[Damage]] = {}
    with progress(f"verify {path}", len(stores), unit="stores") as advance:
        for store in stores:
            try:
                found[store] = verify(store)
            except (StoreError, OSError) as error:
                found[store] = [Damage("metadata", "zarr.json", str(error))]
            advance(1)
    return {store: damages for store, damages in found.items() if damages}


def _as_settings_name_it(store: Path) -> Path:
    """Path of a store below ``CACHE``, if it is there, however it was asked for."""
    whole, cache = store.resolve(), CACHE.resolve()
    return CACHE / whole.relative_to(cache) if whole.is_relative_to(cache) else store


def _cells(params: Params) -> Iterator[tuple[CellName, Path]]:
    """Stores of all cells of the settings."""
    views = [params.view(name) for name in params.views]
    eval_names = [
        eval_cells(split, params.models, views, params.extra_prompts)
        for split in params.eval_splits
    ]
    train_names = [train_cells(split, params.models) for split in params.train_splits]
    for name in (name for names in (*eval_names, *train_names) for name in names):
        place = (name.split, name.model, name.view.name)
        yield name, features_path(*place)
        if name.with_masks:
            yield name, masks_path(*place)


def _repair(name: CellName, params: Params) -> None:
    # Its imports take seconds, and most caches need no repair.
    from stages.filling.cell import outputs_of, run_cell  # noqa: PLC0415

    stage = "extract" if name.with_masks else "extract_train"
    arguments = {"split": name.split, "model": name.model}
    if name.with_masks:
        arguments["view"] = name.view.name
    with running(stage, arguments):
        run_cell(
            name,
            params.splits[name.split],
            params.extract,
            params.executor,
            is_repair=True,
        )
    files = [file for store in outputs_of(name).values() for file in store.rglob("*")]
    for cached in mend_cache(file for file in files if file.is_file()):
        print(f"replaced  {cached}")
