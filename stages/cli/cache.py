"""``usam cache``: lists, verifies, compares and repairs stores; cleans the pool."""

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated

import typer

from stages.cards.readme import cache_card
from stages.cli.columns import aligned, bytes_text
from stages.cli.fill import assigned_shards
from stages.cli.listing import ls, own_part
from stages.filling.fill_cells import adopt_outputs, run_cell
from stages.filling.job import FillJob, jobs_of
from stages.filling.plans import all_cells
from stages.program.main import REPORTED, one_line, reported_errors, running
from stages.program.progress import counting, progress
from stages.program.stopping import stoppable
from stages.settings.params import Params, read_params
from stages.settings.parsing import ParamsError
from stages.settings.signatures import CellName
from storage.errors import StoreError, counted, printable
from storage.files.addresses import is_address
from storage.files.manifest import ROOT
from storage.paths import CACHE, POOL, remedy
from storage.pool.cell import Cell
from storage.pool.dvc_cache import mend_cache
from storage.pool.dvc_remote import push
from storage.pool.publishing import clean
from storage.store.checks import damaged_files, differences_of, find_stores

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="List, check, compare, repair and describe stores.",
)

app.command("ls")(ls)
app.command("card")(cache_card)

Where = str | Path
"""An address or a path."""

Sides = tuple[Where | None, Where | None]
"""Where a store is on either side of a comparison."""

Some = Annotated[str, typer.Argument(help="A store, or a folder of stores.")]
AnyStore = Annotated[str, typer.Argument(help="A store, zipped or not, a folder or an address.")]


@app.command("verify")
def verify_command(
    where: AnyStore,
    *,
    quick: Annotated[
        bool, typer.Option("--quick", help="Compare the sizes of files only.")
    ] = False,
) -> None:
    """Check every file of stores against their manifests.

    Print what differs; exit 1 if anything does.
    """
    found: dict[Where, dict[str, str]] = {}
    with reported_errors():
        paths: list[Where] = [where] if is_address(where) else [*find_stores(Path(where))]
        # If interrupted, perhaps after hours, it still prints what it found.
        try:
            with progress(f"verify {where}", len(paths), unit="stores") as advance:
                for store in counting(paths, advance):
                    found[store] = _damages(store, quick=quick)
        finally:
            if found:
                print(_verdict(found))
    if any(found.values()):
        raise typer.Exit(1)


def _damages(store: Where, *, quick: bool = False) -> dict[str, str]:
    try:
        return damaged_files(store, sizes_only=quick)
    except (StoreError, OSError) as error:
        if is_address(store):
            raise  # it may be out of reach, or nowhere: that is no damage
        return {ROOT: own_part(store, error)}


def _verdict(found: Mapping[Where, Mapping[str, str]]) -> str:
    """A line per store, damaged ones last with their faults below."""
    lines = [f"intact   {printable(str(store))}" for store, damages in found.items() if not damages]
    damaged = {store: damages for store, damages in found.items() if damages}
    for store, damages in damaged.items():
        lines += [f"damaged  {printable(str(store))}", _indented(damages)]
    if len(found) > 1:
        n_intact = len(found) - len(damaged)
        lines.append(f"{len(found)} stores: {n_intact} intact, {len(damaged)} damaged")
    return "\n".join(lines)


@app.command("diff")
def diff_command(one: AnyStore, other: AnyStore) -> None:
    """Print what differs between two stores, or two folders of them.

    Exit 1 if anything does.
    """
    with reported_errors():
        pairs = _pairs(one, other)
        found = {
            name: differences_of(old, new) if old and new else None
            for name, (old, new) in pairs.items()
        }
    print("\n".join(_comparison(name, pairs[name], found[name]) for name in pairs))
    if any(differences != {} for differences in found.values()):
        raise typer.Exit(1)


def _pairs(one: str, other: str) -> dict[str, Sides]:
    """Stores of two folders by their names below them, or two stores.

    Raises
    ------
    ParamsError
        If one is a store, or an address, which is that of a store, and the other a folder of some.
    """
    sides = [_by_name(where) for where in (one, other)]
    first, second = ("a store" if "" in side else "a folder of stores" for side in sides)
    if first != second:
        raise ParamsError(
            "ONE and OTHER must be two stores, or two folders of stores, got "
            f"{first} at {one} and {second} at {other}"
        )
    if first == "a store":
        return {f"{one} {other}": (one, other)}
    names = sorted(sides[0].keys() | sides[1].keys())
    return {name: (sides[0].get(name), sides[1].get(name)) for name in names}


def _by_name(where: str) -> dict[str, Where]:
    """Published stores by their names below a folder; a store itself has none."""
    path = Path(where)
    if is_address(where) or path.is_file():
        return {"": where}
    names = {store: store.relative_to(path).as_posix() for store in find_stores(path)}
    return {"" if name == "." else name: store for store, name in names.items()}


def _comparison(name: str, sides: Sides, differences: Mapping[str, str] | None) -> str:
    if differences is None:
        there = next(side for side in sides if side is not None)
        return f"alone    {printable(str(there))}"
    if not differences:
        return f"same     {printable(name)}"
    return f"differs  {printable(name)}\n{_indented(differences)}"


def _indented(reasons: Mapping[str, str]) -> str:
    return aligned([("  ", *row) for row in reasons.items()])


@app.command()
def repair(path: Some = str(CACHE)) -> None:
    """Find damaged shards of stores and compute them again.

    Intact shards are kept, and the same damage in DVC's cache is repaired. Exit 1 if a damaged
    store has no shards or belongs to no cell of params.yaml, or if a cell cannot be repaired; the
    others are repaired all the same.
    """
    failed = False
    with reported_errors():
        params = read_params()
        cells = {path: name for name in all_cells(params) for path in name.outputs.values()}
        damaged = _damaged(Path(path))
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


def _damaged(path: Path) -> list[Path]:
    """Published stores that are damaged."""
    stores = [_as_settings_name_it(store) for store in find_stores(path)]
    with progress(f"verify {path}", len(stores), unit="stores") as advance:
        return [store for store in counting(stores, advance) if _damages(store)]


def _as_settings_name_it(store: Path) -> Path:
    """Path of a store below ``CACHE``, however it was given, if it exists."""
    whole, cache = store.resolve(), CACHE.resolve()
    return CACHE / whole.relative_to(cache) if whole.is_relative_to(cache) else store


def _repair(name: CellName, params: Params) -> None:
    stage = "extract" if name.with_masks else "extract_train"
    arguments = {"split": name.split, "model": name.model}
    if name.with_masks:
        arguments["view"] = name.view.name
    with running(stage, arguments):
        run_cell(name, params.splits[name.split], params.extract, params.executor)
    files = [file for store in name.outputs.values() for file in store.rglob("*")]
    for cached in mend_cache(file for file in files if file.is_file()):
        print(f"replaced  {cached}")


@app.command("push")
def push_command(
    remote: Annotated[
        str | None, typer.Option(help="Name of a DVC remote; the default remote if left out.")
    ] = None,
) -> None:
    """Send the outputs in dvc.lock to a DVC remote, until it lists every file.

    Files are compared with their digests before they are sent. Files that the remote has are not
    sent again, unless `usam cache repair` has repaired them since.
    """
    with reported_errors(), stoppable("files that were sent stay in the remote"):
        pushes = push(remote, lambda n_files: progress("push", n_files, unit="files"))
    for pushed in pushes:
        repaired = f", {pushed.n_repaired} of them repaired" if pushed.n_repaired else ""
        n_files = counted(pushed.n_files, "file")
        print(f"{pushed.remote} has {n_files} of dvc.lock; {pushed.n_sent} were sent{repaired}")


@app.command("adopt")
def adopt_command() -> None:
    """Put the shards of published cells into the pool.

    Do this before you remove outputs whose shards you want to keep; `usam fill` and `dvc repro`
    do it, too.
    """
    with reported_errors():
        n_shards = sum(adopt_outputs(name, cells) for name, cells in _cells(read_params()))
    print(f"{counted(n_shards, 'shard')} put into {POOL}")


@app.command("clean")
def clean_command() -> None:
    """Remove shards from the pool that no cell of params.yaml uses.

    Unpublished shards are kept and named.
    """
    with reported_errors():
        used: dict[Path, set[str]] = {}
        for _, cells in _cells(read_params()):
            for cell in cells.values():
                used.setdefault(cell.folder, set()).update(cell.split.names)
        cleaned = clean(used)
    print(f"removed {counted(cleaned.n_shards, 'shard')}, {bytes_text(cleaned.n_bytes)}")
    for folder, n_shards in cleaned.unpublished.items():
        some = counted(n_shards, "shard")
        print(f"kept    {some} that were never published; `rm -r {folder}` removes them")


def _cells(params: Params) -> Iterator[tuple[CellName, dict[FillJob, Cell]]]:
    """All cells of the settings, each on every device that these allow."""
    for name, split, _ in assigned_shards(all_cells(params), params):
        yield name, jobs_of(name, params.splits[name.split], params.extract, split)
