"""Finds an image in an open embeddings store, and reads its embedding."""

from typing import TYPE_CHECKING, Final

import numpy as np

from pipeline.embeddings import LEVELS, StoredEmbedding, levels_sha256
from storage.errors import N_HEX, StoreError, shown
from storage.store.opening import naming_damage

if TYPE_CHECKING:
    import xarray

STATISTICS: Final = ("encoder_mean", "encoder_std")


def image_rows(embeddings: "xarray.Dataset", key: str = "pixels_sha256") -> dict[str, int]:
    """Row of each image by ``pixels_sha256``, ``image_sha256`` or ``file``; the first counts."""
    rows: dict[str, int] = {}
    for row, name in enumerate(embeddings[key].to_numpy().tolist()):
        rows.setdefault(name, row)
    return rows


def find_image(embeddings: "xarray.Dataset", image: int | str) -> int:
    """Row of an image, by its row, its file or the digest of its pixels.

    Raises
    ------
    StoreError
        If the store has no such image.
    """
    if isinstance(image, str):
        for key in ("file", "pixels_sha256"):
            row = image_rows(embeddings, key).get(image)
            if row is not None:
                return row
    elif 0 <= image < embeddings.sizes["image"]:
        return image
    raise StoreError(
        f"image must be one of the {embeddings.sizes['image']} of {_name(embeddings)}, by row, "
        f"file or pixels_sha256, got {shown(image)}"
    )


def read_embedding(embeddings: "xarray.Dataset", image: int | str) -> StoredEmbedding:
    """Read the embedding of an image from a dataset of ``open_embeddings``.

    Parameters
    ----------
    image
        Row of the image, its file, or the digest of its pixels.

    Raises
    ------
    StoreError
        If there is no such image, a chunk is damaged, or the levels are those of another image or
        model: their digest differs.
    """
    row = find_image(embeddings, image)
    names = [name for name in embeddings.data_vars if str(name).startswith(LEVELS)]
    with naming_damage(_name(embeddings)):
        levels = {str(name): _row(embeddings, str(name), row) for name in names}
        statistics = {name: _row(embeddings, name, row) for name in STATISTICS}
    listed, present = str(embeddings["levels_sha256"][row].item()), levels_sha256(levels)
    if present != listed:
        raise StoreError(
            f"{_name(embeddings)}: levels of image {row} must have the sha256 {listed[:N_HEX]}, "
            f"got {present[:N_HEX]}"
        )
    height, width = (int(embeddings[name][row]) for name in ("height_px", "width_px"))
    pixels = str(embeddings["pixels_sha256"][row].item())
    return StoredEmbedding(levels, (height, width), statistics, pixels)


def _row(embeddings: "xarray.Dataset", name: str, row: int) -> np.ndarray:
    return np.asarray(embeddings[name][row])


def _name(embeddings: "xarray.Dataset") -> str:
    """Path or address of an opened store, for messages."""
    return str(embeddings.encoding.get("source", "embeddings"))
