"""Whether the stores of a cell were made from the same images, which their signatures leave out."""

from collections.abc import Sequence
from typing import Final

import numpy as np

from storage.errors import StoreError
from storage.store.arrays import naming_damage, read_arrays
from storage.store.inspection import Store
from storage.store.signature import digest

IMAGES: Final = "images_digest"
"""Attribute of published masks; features have an array, ``images_sha256``."""


def images_digest(images_sha256: Sequence[str]) -> str:
    """Digest of the images of all shards, from that of each."""
    return digest({"sha256": list(images_sha256)})


def read_images(features: Store) -> list[str]:
    """Digest of the images of each shard of published features.

    Raises
    ------
    StoreError
        If they are damaged.
    """
    array = read_arrays(features)["images_sha256"]
    with naming_damage(features, "images_sha256"):
        return [str(sha256) for sha256 in np.asarray(array[...])]


def check_same_images(masks: Store, images_sha256: Sequence[str]) -> None:
    """Refuse masks of other images than those of the shards of their features.

    Masks that do not tell are from before they did.

    Raises
    ------
    StoreError
        Naming both digests.
    """
    wanted = images_digest(images_sha256)
    found = masks.group.attrs.get(IMAGES, wanted)
    if found != wanted:
        raise StoreError(
            f"{masks} must be of the images of its features ({IMAGES}: {found} -> {wanted})"
        )
