"""``usam cache card`` and ``usam heads card``: files that describe what goes to a hub."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from stages.cards.croissant import croissant
from stages.cards.readme import describe_stores, heads_readme, stores_readme
from stages.cards.stores import Publication, card_stores
from stages.program.main import reported_errors
from stages.settings.parsing import ParamsError
from storage.errors import printable
from storage.folders import write_json, write_text
from storage.head_files.head_file import read_head_file

License = Annotated[str, typer.Option("--license", help="As the hub names it, such as cc-by-4.0.")]
Folder = Annotated[Path, typer.Option("--to", help="Folder to write to.")]


def cache_card(
    stores: Annotated[list[str], typer.Argument(help="Stores, zipped or not, or folders of them.")],
    *,
    address: Annotated[
        str, typer.Option(help="Where they will be, such as hf://datasets/ann/usam@main.")
    ],
    license_name: License,
    creator: Annotated[str, typer.Option(help="Who made them.")],
    to: Folder = Path("hub"),
    date: Annotated[str, typer.Option(help="Date of publication; today by default.")] = "",
    version: Annotated[str, typer.Option(help="Version of the data.")] = "1.0.0",
) -> None:
    """Write README.md and croissant.json of stores, for a hub.

    The stores keep their paths below the address.
    """
    with reported_errors():
        if "://" not in address:
            raise ParamsError(
                f"address must have a scheme, such as hf:// or https://, got {address}"
            )
        day = date or datetime.now(UTC).date().isoformat()
        publication = Publication(address.rstrip("/"), license_name, creator, day, version)
        found = card_stores(stores)
        write_text(to / "README.md", stores_readme(found, publication))
        write_json(to / "croissant.json", croissant(found, publication, describe_stores(found)))
    print(printable(f"{to}: README.md and croissant.json of {describe_stores(found)}"))


def heads_card(
    file: Annotated[Path, typer.Argument(help="File of `export`.")],
    *,
    license_name: License,
    to: Folder = Path("hub"),
) -> None:
    """Write README.md of a file of heads, for a hub."""
    with reported_errors():
        text = heads_readme(file, read_head_file(file), license_name)
        write_text(to / "README.md", text)
    print(printable(f"{to / 'README.md'}: card of {file}"))
