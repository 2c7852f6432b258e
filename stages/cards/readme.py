"""``usam cache card`` and ``usam heads card``: descriptions of data sets and heads for a hub.

A card is a ``README.md``, which begins with the YAML that Hugging Face reads.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from pipeline.sam.families import FAMILIES
from stages.cards.stores import HUB, Publication, card_stores, croissant, n_objects
from stages.program.main import reported_errors
from stages.settings.parsing import ParamsError
from storage.errors import counted, printable
from storage.files.manifest import FILE, record_of
from storage.folders import check_output, write_json, write_text
from storage.head_files.head_file import OBJECTIVES, HeadFile, read_head_file
from storage.store.inspection import Store

PROJECT: Final = "usam-cache"

TAGS: Final = (PROJECT, "uncertainsam", "segment-anything", "sam2", "uncertainty")

HUB_TASKS: Final = ("mask-generation", "image-segmentation")
"""Hugging Face's categories of tasks; a card of stores names all, a card of heads the first."""

SIZES: Final = ("n<1K", "1K<n<10K", "10K<n<100K", "100K<n<1M", "1M<n<10M", "10M<n<100M")
"""Hugging Face's categories of size, each ten times the previous; n is the number of objects."""

KINDS_TO_OPEN: Final = ("features", "masks", "objects", "entropy", "embeddings")
"""Kinds of stores, the most useful first; the card's example opens a store of the first kind."""

NOT_LISTED: Final = ("split", "model", "view", "schema_version")
"""Entries of a signature that a card's table leaves out: paths and other rows show them."""


def size_category(n: int) -> str:
    """Hugging Face's category of size for a number of objects.

    >>> size_category(999), size_category(1000)
    ('n<1K', '1K<n<10K')
    """
    return SIZES[min(max(len(str(n)) - 3, 0), len(SIZES) - 1)]


def describe_stores(stores: Sequence[Store]) -> str:
    """Describe stores in a sentence: their number, families, objects and megabytes."""
    families = sorted({str(store.signature.get("family", "")) for store in stores} - {""})
    origin = f"by SAM2 models of the family {', '.join(families)}" if families else "of a data set"
    return (
        f"{counted(len(stores), 'Zarr v3 store')} of {PROJECT}, made {origin}: "
        f"{n_objects(stores):,} objects, {_megabytes(*stores)}."
    )


def _megabytes(*stores: Store) -> str:
    return f"{sum(store.size_bytes for store in stores) / 1e6:,.1f} MB"


def stores_readme(stores: Sequence[Store], publication: Publication) -> str:
    """Text of ``README.md``, the card of a data set of stores."""
    families = sorted({str(store.signature.get("family", "")) for store in stores} - {""})
    front = {
        "license": publication.license,
        "pretty_name": publication.name,
        "tags": [*TAGS, "zarr", *families],
        "task_categories": HUB_TASKS,
        "size_categories": [size_category(n_objects(stores))],
        "viewer": False,  # Hugging Face's viewer reads tables alone
    }
    return _page(
        front,
        publication.name,
        describe_stores(stores),
        _opening(stores, publication),
        f"## Stores\n\n{_store_table(stores)}",
        f"## What they were made of\n\n{_table(('entry', 'values'), _entries(stores).items())}",
    )


def _opening(stores: Sequence[Store], publication: Publication) -> str:
    first = min(stores, key=_rank)
    kind, address = first.kind, f"{publication.address}/{first.path.as_posix()}"
    packages = f"{PROJECT} huggingface_hub" if HUB.fullmatch(publication.address) else PROJECT
    code = f'import usam_cache\n\n{kind} = usam_cache.open_{kind}("{address}")'
    plain = f'import zarr\n\n{kind} = zarr.open_group("{address}", mode="r")'
    paragraphs = (
        *(f"## Open\n\nAfter `pip install {packages}`:", _code(code)),
        *("or by Zarr alone:", _code(plain)),
        f"`usam cache verify {address}` holds every file to the store's manifest.",
    )
    return "\n\n".join(paragraphs)


def _rank(store: Store) -> tuple[int, bool]:
    """Sort key: the most useful kind of store first, of a kind the view ``identity`` first."""
    return KINDS_TO_OPEN.index(store.kind), store.signature.get("view") != "identity"


def _store_table(stores: Sequence[Store]) -> str:
    headings = ("store", "kind", "objects", "prompt sets", "size", "sha256 of its manifest")
    rows = [
        (
            *(f"`{store.path.as_posix()}`", store.kind, str(store.sizes.get("object", 0))),
            *(str(store.sizes.get("prompt", "")), _megabytes(store)),
            f"`{store.files.record(FILE).sha256}`",
        )
        for store in stores
    ]
    return _table(headings, rows)


def _entries(stores: Sequence[Store]) -> dict[str, str]:
    """Signature entries of the stores as rows of a table: label and all values, joined by ``;``.

    Entries in ``NOT_LISTED`` are left out.
    """
    entries: dict[str, dict[str, None]] = {}
    for store in stores:
        model, view = (store.signature.get(key, "") for key in ("model", "view"))
        labels = {"weights": f"weights of {model}", "view_parameters": f"view {view}"}
        for key, value in store.signature.items():
            if key not in NOT_LISTED:
                text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
                entries.setdefault(labels.get(key, key), {})[text or "as it is"] = None
    return {key: "; ".join(values) for key, values in sorted(entries.items())}


def heads_readme(path: Path, heads: HeadFile, license_name: str) -> str:
    """Text of ``README.md``, the card of a head file, whose content is ``heads``.

    ``license_name`` is the license as the hub names it.
    """
    card = {key: value for key, value in heads.card.items() if key != OBJECTIVES}
    family = card.get("family", "none")
    front = {
        "license": license_name,
        "library_name": PROJECT,
        "pipeline_tag": HUB_TASKS[0],
        "tags": [*TAGS, family],
    }
    smallest = heads.models[0]
    code = (
        f'import usam_cache\n\npredictor = usam_cache.load_predictor("{family}", "{smallest}", '
        f'heads="{path.name}")'
    )
    entries = {"file": path.name, "sha256 of the file": record_of(path).sha256} | card
    entries["terms of the models"] = FAMILIES[family].licence
    by_objective = heads.by_objective
    keys = list(dict.fromkeys(key for facts in by_objective.values() for key in facts))
    rows = [(name, *(facts.get(key, "") for key in keys)) for name, facts in by_objective.items()]
    return _page(
        front,
        path.stem,
        f"{len(rows)} heads of {PROJECT}, which say how wrong a mask of SAM2 may be, and why.",
        f"## Use\n\nAfter `pip install '{PROJECT}[predict]'`:\n\n{_code(code)}",
        f"## What they learned from\n\n{_table(('entry', 'value'), entries.items())}",
        f"## Heads\n\n{_table(('objective', *keys), rows)}",
    )


def _page(front: Mapping[str, Any], title: str, *paragraphs: str) -> str:
    # Written as JSON, which is valid YAML: no character of a value can break the front matter.
    lines = [f"{key}: {json.dumps(value, ensure_ascii=False)}" for key, value in front.items()]
    return "\n\n".join(["\n".join(["---", *lines, "---"]), f"# {title}", *paragraphs]) + "\n"


def _code(code: str) -> str:
    return f"```python\n{code}\n```"


def _table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    table = [headings, ["---"] * len(headings), *rows]
    return "\n".join(
        f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in table
    )


CROISSANT: Final = "croissant.json"
"""Name of the file in Croissant's format, which is written beside the card of stores."""

README: Final = "README.md"

CARD_BEGINS: Final = re.compile(rb"---\nlicense: .*\npretty_name: ")

HEADS_CARD_BEGINS: Final = re.compile(rb"---\nlicense: .*\nlibrary_name: ")

CROISSANT_BEGINS: Final = re.compile(rb'\{\n  "@context": ')

License = Annotated[str, typer.Option("--license", help="As the hub names it, such as cc-by-4.0.")]
Folder = Annotated[Path, typer.Option("--to", help="Folder to write to.")]


def cache_card(
    stores: Annotated[list[str], typer.Argument(help="Stores, or folders of them.")],
    *,
    address: Annotated[
        str, typer.Option(help="Where they will be, such as hf://datasets/ann/usam@main.")
    ],
    license_name: License,
    creator: Annotated[str, typer.Option(help="Who made them.")],
    to: Folder = Path("hub"),
    version: Annotated[str, typer.Option(help="Version of the data.")] = "1.0.0",
) -> None:
    """Write README.md and croissant.json of stores, for a hub; the stores are not copied.

    Their paths below the address must be the paths given here.
    """
    with reported_errors():
        if "://" not in address:
            raise ParamsError(
                f"address must have a scheme, such as hf:// or https://, got {address}"
            )
        today = datetime.now(UTC).date().isoformat()
        publication = Publication(address.rstrip("/"), license_name, creator, today, version)
        opened = card_stores(stores)
        check_output(to / README, CARD_BEGINS)
        check_output(to / CROISSANT, CROISSANT_BEGINS)
        description = describe_stores(opened)
        write_text(to / README, stores_readme(opened, publication))
        write_json(to / CROISSANT, croissant(opened, publication, description))
    print(printable(f"{to}: README.md and croissant.json of {description}"))


def heads_card(
    file: Annotated[Path, typer.Argument(help="File of `export`.")],
    *,
    license_name: License,
    to: Folder = Path("hub-heads"),
) -> None:
    """Write README.md of a head file, for a hub; the file is not copied."""
    with reported_errors():
        check_output(to / README, HEADS_CARD_BEGINS, [file])
        text = heads_readme(file, read_head_file(file), license_name)
        write_text(to / README, text)
    print(printable(f"{to / README}: card of {file}"))
