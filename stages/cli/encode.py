"""``usam encode``: embeddings of the images in a folder, as a store on disk."""

import shutil
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from pipeline.sam.families import FAMILIES, models_of
from stages.cli.columns import bytes_text
from stages.cli.doctor import DEFAULTS
from stages.filling.fill_cells import adopt_fitting, publish_filled, unread_error
from stages.predictor import command_options
from stages.predictor.model_choice import PRECISIONS, default_family
from stages.program.main import reported_errors
from stages.program.progress import progress
from stages.program.stopping import stoppable
from stages.settings.blocks import ExecutorParams, ExtractParams
from stages.settings.parsing import ParamsError, check_known, parse
from stages.settings.signatures import embedding_cells, embedding_settings, library_versions
from storage.datasets.mask_folders import read_sizes
from storage.errors import ImageError, StoreError, counted, hidden, listed, printable, shown
from storage.files.addresses import is_address
from storage.folders import sha256_file
from storage.images.videos import SplitImages
from storage.pool.cell import Cell
from storage.split.cell_name import CellName
from storage.split.object_table import ObjectTable
from storage.split.sharded_table import SHARD_IMAGES, ShardedTable
from storage.store.inspection import Store, open_store
from storage.store.opening import read_array
from storage.store.writing import full_signature

Images = Annotated[Path, typer.Argument(help="Folder of images.")]
ModelName = Annotated[
    str | None, typer.Option("--model", help="Model of the family; by default the smallest.")
]
Out = Annotated[str, typer.Option(metavar="STORE", help="Path of the store to write.")]
PrecisionName = Annotated[
    str, typer.Option("--precision", help="fp32 or bf16: that of the heads that will judge masks.")
]
Replace = Annotated[
    bool, typer.Option("--replace", help="Replace a store of other settings or images.")
]


def encode(  # noqa: PLR0913, PLR0917 - one for each option
    images: Images,
    out: Out,
    family: command_options.Family = None,
    model: ModelName = None,
    precision: PrecisionName = "fp32",
    weights: command_options.Weights = None,
    device: command_options.Device = "auto",
    replace: Replace = False,  # noqa: FBT002 - typer's options
) -> None:
    """Encode the images of a folder once, so that clicks need no GPU.

    An interrupted run continues where it stopped. If STORE has embeddings of this folder by the
    same settings, those of unchanged images are kept on a disk. A store of another folder, family,
    model or precision is replaced only with --replace.
    """
    with reported_errors():
        if not images.is_dir():
            raise ParamsError(f"IMAGES must be a folder, got {printable(str(images))}")
        if is_address(out):
            raise ParamsError(f"STORE must be a path, got the address {hidden(out)}")
        store = Path(out)
        former = _former(store)
        family, model = _model_of(family, model, images, None if replace else former)
        params = _settings(family, model, weights, precision=precision, device=device)
        work = store.with_name(f"{store.name}.work")
        with stoppable(f"finished shards are kept in {work}"):
            rows = read_rows(images, _files(former) if former else ())
            (name,) = embedding_cells(str(images), [model])
            cell = _cell(name, params, rows, work)
            if former and not replace:
                _check_continued(former, cell, images)
            n_bytes = _written(cell, params, images, store)
            # The folder may be the user's, or have shards of other settings.
            with suppress(OSError):
                work.rmdir()
    encoded = f"{counted(rows.n_rows, 'image')} by {family} {model}"
    print(f"{printable(out)}: {encoded}, {bytes_text(n_bytes)}")


def _model_of(
    family: str | None, model: str | None, images: Path, former: Store | None
) -> tuple[str, str]:
    """Family and model to encode with: by default, those of a former store, if there is one."""
    begun = former.signature if former else {}
    if family not in {None, begun.get("family")}:
        begun = {}
    family = family or str(begun.get("family", default_family(images)))
    check_known("family", family, FAMILIES)
    return family, model or str(begun.get("model", models_of(family)[0]))


def _written(cell: Cell, params: ExtractParams, images: Path, out: Path) -> int:
    """Write the embeddings of images to a path; return the bytes of the store."""
    store = out.resolve()
    if store.exists():
        adopt_fitting({str(cell.signature["device"]): cell}, {"embeddings": store})
    encode_lacking = partial(_encode, cell, params, images)
    publish_filled(cell, {"embeddings": store}, ExecutorParams(), encode_lacking)
    shutil.rmtree(cell.folder, ignore_errors=True)
    return open_store(store).size_bytes


def read_rows(folder: Path, encoded: Sequence[str] = ()) -> ShardedTable:
    """Read the names, sizes and digests of all image files of a folder and its subfolders.

    The images in ``encoded`` (the files of an earlier store) come first, so that their shards stay
    as they are; images that the folder lacks are left out. All others follow by name. No image, or
    one that cannot be read, is an ``ImageError``.
    """
    records, faults = read_sizes(folder)
    if faults or not records:
        raise ImageError(
            f"images in {folder} must be readable, got "
            f"{listed(faults, separator='; ') if faults else 'none'}"
        )
    by_file = {record.file: record for record in records}
    in_store = [file for file in encoded if file in by_file]
    records = [by_file[file] for file in dict.fromkeys((*in_store, *by_file))]
    text = np.dtypes.StringDType()
    digests = [sha256_file(folder / record.file) for record in records]
    images = {
        "file": np.array([record.file for record in records], text),
        "height_px": np.array([record.height_px for record in records], np.int32),
        "width_px": np.array([record.width_px for record in records], np.int32),
        "image_sha256": np.array(digests, text),
    }
    return ShardedTable(ObjectTable.of_images(images), SHARD_IMAGES, "image")


def _settings(
    family: str, model: str, weights: Path | None, *, precision: str, device: str
) -> ExtractParams:
    """Settings by which images are encoded."""
    check_known("model", model, models_of(family))
    check_known("precision", precision, PRECISIONS)
    settings = DEFAULTS | {"family": family, "precision": precision, "device": device}
    if weights is not None:
        settings["weights"] = str(weights.absolute())
    return parse("usam encode", settings, ExtractParams)


def _former(out: Path) -> Store | None:
    """Open the store of embeddings that is at a path; None if nothing is there.

    Anything else is a ``ParamsError``.
    """
    if not out.exists() and not out.is_symlink():
        return None
    try:
        store = open_store(out)
        kind = store.kind
    except StoreError:
        kind = "something else"
    if kind != "embeddings":
        raise ParamsError(f"STORE must be free or embeddings, got {kind} at {shown(str(out))}")
    return store


def _check_continued(former: Store, cell: Cell, images: Path) -> None:
    """Refuse to replace a store of which little would be kept: other settings, or other images.

    Images are others where fewer than half of the store's are in the folder as they were: folders
    have names in common, such as 000001.jpg, and may share an image.

    Raises
    ------
    ParamsError
        The message names what differs, and the option that replaces the store.
    """
    advice = "name another --out, or add --replace to replace that store"
    difference = cell.difference(former.signature)
    if difference is not None:
        raise ParamsError(f"{former} was written under other inputs ({difference}): {advice}")
    pieces = (piece for shard in cell.split.shards.values() for piece in shard.pieces)
    digests = {*map(cell.split.input_sha256, pieces)}
    is_kept = [digest in digests for digest in read_array(former, "input_sha256").tolist()]
    if sum(is_kept) < len(is_kept) / 2:
        raise ParamsError(
            f"{images} must have at least half of the images of {former} "
            f"({listed(_files(former))}) unchanged, got {sum(is_kept)} of {len(is_kept)}: {advice}"
        )


def _cell(name: CellName, params: ExtractParams, rows: ShardedTable, pool: Path) -> Cell:
    from stages.extraction.models import settled_device  # noqa: PLC0415 - torch takes seconds

    signature = {
        **embedding_settings(params, name.model),
        "shard_images": rows.shard_rows,
        "images_digest": rows.digest,
        "device": settled_device(params.device).type,
        **library_versions(params.family, name.model),
    }
    return Cell(name, full_signature(signature), rows, FAMILIES[params.family].sizes, pool)


def _files(store: Store) -> list[str]:
    return [str(file) for file in read_array(store, "file")]


def _encode(cell: Cell, params: ExtractParams, folder: Path) -> None:
    """Encode the images of missing shards, unless all shards are there."""
    names = cell.lacking()
    if not names:
        return
    from stages.extraction.models import load_model  # noqa: PLC0415
    from stages.filling.shards import fill_shards  # noqa: PLC0415

    files = cell.split.table.file.tolist()
    images = SplitImages(folder, files, "the next run encodes it as it is then")
    with progress("encode", cell.split.count_rows(names), unit="images") as count:
        unread = fill_shards(cell, names, images, load_model(params, cell.name.model), count)
    if unread:
        raise unread_error(cell, folder, unread)
