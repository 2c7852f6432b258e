"""``usam cache``: lists, verifies, repairs, sends and describes stores, and cleans the pool."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from stages.cards.readme import cache_card
from stages.cli.columns import aligned, bytes_text
from stages.cli.fill import assigned_shards
from stages.cli.listing import ls
from stages.cli.repair import repair, store_faults
from stages.extraction.cells import on_devices
from stages.filling.plans import all_cells
from stages.program.main import reported_errors
from stages.program.progress import counting, progress
from stages.program.stopping import stoppable
from stages.settings.params import Params, read_params
from storage.errors import counted, printable
from storage.files.addresses import is_address
from storage.paths import POOL
from storage.pool.cleaning import find_removable, remove
from storage.pool.dvc_remote import push
from storage.store.checks import find_stores

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="List, check, repair, send and describe stores.",
)

app.command("ls")(ls)
app.command("card")(cache_card)

Where = str | Path
"""Path or address of a store."""

AnyStore = Annotated[str, typer.Argument(help="A store, a folder of stores, or an address.")]


@app.command("verify")
def verify_command(where: AnyStore) -> None:
    """Check every file of a store, or of all stores in a folder, against the store's manifest.

    Print each file that is damaged, missing or not in the manifest; exit 1 if there are any.
    """
    damages: dict[Where, dict[str, str]] = {}
    with reported_errors():
        paths: list[Where] = [where] if is_address(where) else [*find_stores(Path(where))]
        # An interrupted check, perhaps of hours, still prints the damage that it has seen.
        try:
            with progress(f"verify {where}", len(paths), unit="stores") as advance:
                for store in counting(paths, advance):
                    damages[store] = store_faults(store)
        finally:
            if damages:
                print(_verdict(damages))
    if any(damages.values()):
        raise typer.Exit(1)


def _verdict(damages: Mapping[Where, Mapping[str, str]]) -> str:
    """Text with a line per store; damaged stores come last, with their damaged files below.

    ``damages`` has, for each store, the fault of each damaged file; an intact store has none.
    """
    lines = [f"intact   {printable(str(store))}" for store, files in damages.items() if not files]
    damaged = {store: files for store, files in damages.items() if files}
    for store, files in damaged.items():
        lines += [f"damaged  {printable(str(store))}", _indented(files)]
    if len(damages) > 1:
        n_intact = len(damages) - len(damaged)
        lines.append(f"{len(damages)} stores: {n_intact} intact, {len(damaged)} damaged")
    return "\n".join(lines)


def _indented(reasons: Mapping[str, str]) -> str:
    return aligned([("  ", *row) for row in reasons.items()])


app.command("repair")(repair)


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


@app.command("clean")
def clean_command(
    *, yes: Annotated[bool, typer.Option("--yes", help="Remove them without asking.")] = False
) -> None:
    """Remove shards from the pool that no cell of params.yaml uses; they are listed first."""
    with reported_errors():
        removable = find_removable(_used(read_params()))
    if not removable:
        print(f"every shard in {POOL} is used")
        return
    for folder in removable:
        unused = f"{counted(folder.n_unused, 'shard')} that no cell of params.yaml uses"
        print(f"{folder.description}: {unused if folder.n_unused else 'files without a shard'}")
    n_shards = counted(sum(folder.n_unused for folder in removable), "shard")
    size = bytes_text(sum(folder.n_bytes for folder in removable))
    if not yes:
        typer.confirm(f"Remove {n_shards}, {size}?", abort=True)
    with reported_errors():
        remove(removable)
    print(f"removed {n_shards}, {size}")


def _used(params: Params) -> dict[Path, set[str]]:
    """Names of the shards that cells of the settings use, by the shards' folder in the pool."""
    used: dict[Path, set[str]] = {}
    for name, split, _ in assigned_shards(all_cells(params), params):
        for cell in on_devices(name, params.extract, split).values():
            used.setdefault(cell.folder, set()).update(cell.split.names)
    return used
