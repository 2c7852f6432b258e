"""Describes the cells that settings ask for, on each device that they allow."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from pipeline.extraction.shards import decoder_batch
from pipeline.sam.families import FAMILIES
from stages.settings.blocks import ExtractParams
from stages.settings.signatures import cell_settings, embedding_cells, library_versions
from storage.errors import StoreError, counted
from storage.paths import POOL
from storage.pool.cell import Cell
from storage.split.cell_name import CellName
from storage.split.sharded_table import ShardedTable
from storage.store.writing import full_signature

DEVICES: Final = ("cuda", "cpu")
"""Kinds of devices; results on different devices differ in the last digits."""


def cell_on(
    device: str, name: CellName, params: ExtractParams, split: ShardedTable, pool: Path = POOL
) -> Cell:
    """Describe a cell that a kind of device, ``cpu`` or ``cuda``, computes; the pool is not read.

    ``split`` are the objects of the cell's split.
    """
    rows, family = name.rows(split), FAMILIES[params.family]
    if name.is_embeddings:
        of_rows: dict[str, object] = {"images_digest": rows.digest}
    else:
        batch = decoder_batch(params.decoder_batch, device=device, mask_size_px=family.mask_side_px)
        of_rows = {"objects_digest": rows.digest, "decoder_batch": batch}
    entries = cell_settings(params, name) | of_rows | {"device": device}
    signature = full_signature(entries | library_versions(params.family, name.model))
    return Cell(name, signature, rows, family.sizes, pool)


def on_devices(name: CellName, params: ExtractParams, split: ShardedTable) -> dict[str, Cell]:
    """Describe a cell on each device that the settings allow, by the kind of the device.

    With ``extract.device: auto``, the devices are ``cuda`` and ``cpu``, in this order.
    """
    devices = DEVICES if params.device == "auto" else (params.device,)
    return {device: cell_on(device, name, params, split) for device in devices}


def choose_device(cells: Mapping[str, Cell], find_device: Callable[[], str]) -> Cell:
    """Choose the cell on the device that has made all shards, else on the device that will compute.

    ``cells`` are those of ``on_devices``. ``find_device`` returns the device that will compute, and
    is called only if a shard is missing.

    Raises
    ------
    StoreError
        If a GPU has made some of the shards and only a CPU is here, which would start from zero.
    """
    n_lacking = {device: len(cell.lacking()) for device, cell in cells.items()}
    for device, cell in cells.items():
        if not n_lacking[device]:
            return cell
    device = find_device()
    cell = cells[device]
    n_shards = len(cell.split.shards)
    n_done = n_shards - n_lacking.get("cuda", n_shards)
    if device == "cpu" and n_done:
        raise StoreError(
            f"{cell} must be finished on a GPU, as it was begun ({n_done} of "
            f"{counted(n_shards, 'shard')} done), got none here; extract.device: cpu would begin "
            "it anew on this processor, and keep what the GPU has done"
        )
    return cell


def embeddings_of(cell: Cell, params: ExtractParams) -> Cell | None:
    """Embeddings from which a cell may be decoded, whether they exist or not.

    None for embeddings themselves, for other views than ``identity``, and for an encoder batch of
    more than 1: embeddings are of images that were encoded one by one.
    """
    of_cell = cell.name
    if of_cell.is_embeddings or of_cell.view.name != "identity" or params.encoder_batch > 1:
        return None
    (name,) = embedding_cells(of_cell.split, [of_cell.model])
    return cell_on(str(cell.signature["device"]), name, params, cell.split)
