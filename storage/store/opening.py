"""Opens stores as zarr arrays or xarray datasets, checked against the schema and the manifest."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from storage.errors import StoreError, listed
from storage.store.inspection import DECODE_ERRORS, Store, check_identity, open_store
from storage.store.signature import digest

if TYPE_CHECKING:
    import xarray

ALL: Final = slice(None)
"""Selection of all rows of an array."""

IMAGES_DIGEST: Final = "images_digest"
"""Attribute of a masks store: digest of all images. Features have the array ``images_sha256``
instead."""


def open_objects(
    where: str | Path, expected: Mapping[str, object] | None = None
) -> "xarray.Dataset":
    """Images, objects, ground truth and clicks of a split; see ``open_checked``."""
    return open_checked(where, "objects", expected)


def open_features(
    where: str | Path, expected: Mapping[str, object] | None = None
) -> "xarray.Dataset":
    """Scores and tokens of a cell; see ``open_checked``."""
    return open_checked(where, "features", expected)


def open_masks(where: str | Path, expected: Mapping[str, object] | None = None) -> "xarray.Dataset":
    """Coded masks of a cell, to be read in slices; see ``open_checked``.

    ``decode_masks`` decodes them. Reading by an array of indices takes 20 times as long.
    """
    return open_checked(where, "masks", expected)


def open_entropy(
    where: str | Path, expected: Mapping[str, object] | None = None
) -> "xarray.Dataset":
    """Bayesian entropies of a split; see ``open_checked``."""
    return open_checked(where, "entropy", expected)


def open_embeddings(
    where: str | Path, expected: Mapping[str, object] | None = None
) -> "xarray.Dataset":
    """Embeddings of images, from which a model answers prompts; see ``open_checked``.

    Arrays with one number or text per image are read at once: ``read_embedding`` finds images by
    their digests.
    """
    embeddings = open_checked(where, "embeddings", expected)
    with naming_damage(where):
        for array in embeddings.variables.values():
            if array.dims == ("image",):
                array.load()
    return embeddings


def open_checked(
    where: str | Path, kind: str, expected: Mapping[str, object] | None = None
) -> "xarray.Dataset":
    """Open a complete store as a lazy dataset, without dask.

    Parameters
    ----------
    where
        A folder, or an address: ``s3://bucket/path`` (also ``gs``, ``az``, ``https``
        and other schemes of fsspec), or ``dvc://REPOSITORY@REVISION/path``, which needs no clone.
    kind
        Kind that the store must have, a key of ``SCHEMA``.
    expected
        Entries that the store's signature must have; the signature may have more.

    Raises
    ------
    StoreError
        If the store is missing, out of reach, incomplete, or of another kind, schema or signature,
        or a coordinate is damaged. Other arrays are read and checked when they are used.
    """
    # The import takes a third of a second, and workers of `entropy` do not need it.
    import xarray  # noqa: PLC0415

    store = open_complete(where, kind, expected or {})
    with naming_damage(store):  # xarray reads coordinates here, for its indexes
        dataset: xarray.Dataset = xarray.open_zarr(
            store.group.store, chunks=None, consolidated=True, zarr_format=3
        )
    dataset.encoding["source"] = str(store)
    return dataset


def open_complete(where: str | Path, kind: str, expected: Mapping[str, object]) -> Store:
    """Open a store, and check its kind, signature, arrays and the sizes of its files.

    Chunks are not read. At an address, sizes are not compared. Raises a StoreError if the store is
    missing, out of reach or of another kind or schema version, its signature differs from
    ``expected``, an array breaks the schema, or a file is missing or of another size (the message
    names files).
    """
    store = open_store(where)
    check_identity(store, kind, expected)
    store.arrays  # noqa: B018 - checks them
    if store.faulty:
        raise StoreError(
            f"{store}: every file must be there whole, got {len(store.faulty)} missing or cut "
            f"short ({listed(store.faulty)}); `usam cache verify {store}` lists them"
        )
    return store


@contextmanager
def naming_damage(store: object, array: str | None = None) -> Iterator[None]:
    """Context that turns decoding errors into a ``StoreError`` with the names of store and array.

    Decoding fails where a chunk is damaged or fails its checksum.
    """
    try:
        yield
    except StoreError:
        raise
    except DECODE_ERRORS as error:
        reason = str(error) or "a size that does not fit into memory"
        raise StoreError(
            f"{store}{f'/{array}' if array else ''}: every chunk must be intact, got {reason}; "
            f"`usam cache verify {store}` lists the damaged ones"
        ) from error


def read_array(store: Store, name: str, selection: slice | tuple[slice, int] = ALL) -> np.ndarray:
    """Read a selection of an array into memory.

    Raises a StoreError, which names store and array, if a chunk is missing or damaged.
    """
    with naming_damage(store, name):
        return np.asarray(store.arrays[name][selection])


def images_digest(images_sha256: Sequence[str]) -> str:
    """Digest of all images of a cell, from the digest of each shard's images in row order."""
    return digest({"sha256": list(images_sha256)})


def read_images(features: Store) -> list[str]:
    """Read the digest of each shard's images from a features store, in row order."""
    return [str(sha256) for sha256 in read_array(features, "images_sha256")]


def check_same_images(masks: Store, images_sha256: Sequence[str]) -> None:
    """Raise a StoreError for a masks store of other images than the features of its cell.

    ``images_sha256`` is ``read_images`` of the features; the message has both digests.
    """
    of_features = images_digest(images_sha256)
    of_masks = masks.group.attrs.get(IMAGES_DIGEST, "none")
    if of_masks != of_features:
        raise StoreError(
            f"{masks} must be of the images of its features "
            f"({IMAGES_DIGEST}: {of_masks} -> {of_features})"
        )
