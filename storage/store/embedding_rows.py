"""Finds an image in an open embeddings store, and reads its embedding."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

import numpy as np

from pipeline.embeddings import LEVELS, Levels, StoredEmbedding, levels_sha256
from pipeline.vocabulary import IMAGE_STATISTICS
from storage.errors import N_HEX, StoreError, shown
from storage.store.opening import naming_damage

if TYPE_CHECKING:
    import xarray

FACTS: Final = ("levels_sha256", "pixels_sha256", "height_px", "width_px", *IMAGE_STATISTICS)
"""Names of the arrays from which ``embedding_of`` makes an embedding, beside its levels."""


def image_rows(embeddings: "xarray.Dataset", key: str = "pixels_sha256") -> dict[str, int]:
    """Row of each image of an embeddings store, by the image's entry in the array ``key``.

    Of images with equal entries, the first counts. ``key`` is ``pixels_sha256``, ``image_sha256``
    or ``file``.
    """
    rows: dict[str, int] = {}
    for row, name in enumerate(embeddings[key].to_numpy().tolist()):
        rows.setdefault(name, row)
    return rows


def find_image(embeddings: "xarray.Dataset", image: int | str) -> int:
    """Row of an image in a store, by row, file or sha256 of its pixels; a StoreError without it."""
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
        Row of the image, its file, or the sha256 of its pixels.

    Raises
    ------
    StoreError
        If there is no such image, a chunk is damaged, or the levels are those of another image or
        model: their digest differs.
    """
    row = find_image(embeddings, image)
    of_image = embeddings.isel(image=slice(row, row + 1))
    names = [str(name) for name in embeddings.data_vars if str(name).startswith(LEVELS)]
    with naming_damage(_name(embeddings)):
        levels = {name: of_image[name].to_numpy()[0] for name in names}
        facts = {name: of_image[name].to_numpy() for name in FACTS}
    return embedding_of(facts, 0, levels, where=f"image {row} of {_name(embeddings)}")


def embedding_of(
    facts: Mapping[str, np.ndarray], row: int, levels: Levels, *, where: str
) -> StoredEmbedding:
    """Make the embedding of the image in a row of ``facts``, after a check of its levels.

    ``facts`` has the arrays ``FACTS`` of one image or more, ``levels`` the arrays of the image's
    levels (outputs of the image encoder at each resolution), both by name. Raises a StoreError,
    which names the image by ``where``, if the levels do not have the digest ``levels_sha256``, or
    no image has the size.
    """
    listed, present = str(facts["levels_sha256"][row]), levels_sha256(levels)
    if present != listed:
        raise StoreError(
            f"levels of {where} must have the sha256 {listed[:N_HEX]}, got {present[:N_HEX]}"
        )
    try:
        return StoredEmbedding(
            levels=levels,
            size_px=(int(facts["height_px"][row]), int(facts["width_px"][row])),
            statistics={name: facts[name][row] for name in IMAGE_STATISTICS},
            pixels_sha256=str(facts["pixels_sha256"][row]),
        )
    except ValueError as error:
        raise StoreError(f"{where}: {error}") from error


def _name(embeddings: "xarray.Dataset") -> str:
    """Path or address of an opened store, for messages."""
    return str(embeddings.encoding.get("source", "embeddings"))
