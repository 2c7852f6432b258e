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
"""Every row of an array."""

IMAGES_DIGEST: Final = "images_digest"
"""Attribute of published masks; features have the array ``images_sha256`` instead."""


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
    """Coded masks of a cell; read slices: fancy indices are 20 times slower."""
    return open_checked(where, "masks", expected)


def open_entropy(
    where: str | Path, expected: Mapping[str, object] | None = None
) -> "xarray.Dataset":
    """Bayesian entropies of a split; see ``open_checked``."""
    return open_checked(where, "entropy", expected)


def open_checked(
    where: str | Path, kind: str, expected: Mapping[str, object] | None = None
) -> "xarray.Dataset":
    """Open a complete store lazily, without dask.

    Parameters
    ----------
    where
        A folder, a ZIP file, or an address: ``s3://bucket/path`` (also ``gs``, ``az``,
        ``https`` and what else fsspec knows), or ``dvc://REPOSITORY@REVISION/path``, which needs
        no clone.
    expected
        Entries that the store's signature must have; it may have more.

    Raises
    ------
    StoreError
        If the store is missing, out of reach, incomplete, or of another kind, schema or signature,
        or a coordinate is damaged. Other data are read, and their checksums tested, when they are
        used.
    """
    # The import takes a third of a second, and workers of `entropy` do not need it.
    import xarray  # noqa: PLC0415

    store = open_complete(where, kind, expected or {})
    with naming_damage(store):  # xarray reads the coordinates that it indexes by
        dataset: xarray.Dataset = xarray.open_zarr(
            store.group.store, chunks=None, consolidated=True, zarr_format=3
        )
    return dataset


def open_complete(where: str | Path, kind: str, expected: Mapping[str, object]) -> Store:
    """Open a store whose arrays match the schema and whose files have the manifest's sizes.

    Chunks are not read. At an address or in an archive, sizes are not compared.

    Raises
    ------
    StoreError
        If the store is missing, its signature lacks an entry of ``expected``, or a file is missing
        or of another size (the message names the files).
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
    """Name the store and the array in errors about a damaged chunk.

    Raises
    ------
    StoreError
        If a chunk cannot be decoded, or fails its checksum.
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
    """Read a selection of an array; errors about damage name the store and the array."""
    with naming_damage(store, name):
        return np.asarray(store.arrays[name][selection])


def images_digest(images_sha256: Sequence[str]) -> str:
    """Digest of the images of all shards, from the digest of each shard's images."""
    return digest({"sha256": list(images_sha256)})


def read_images(features: Store) -> list[str]:
    """Digest of the images of each shard of published features.

    Raises
    ------
    StoreError
        If the array is damaged.
    """
    return [str(sha256) for sha256 in read_array(features, "images_sha256")]


def check_same_images(masks: Store, images_sha256: Sequence[str]) -> None:
    """Refuse masks of other images than their features have.

    Raises
    ------
    StoreError
        Naming both digests.
    """
    of_features = images_digest(images_sha256)
    of_masks = masks.group.attrs.get(IMAGES_DIGEST, "none")
    if of_masks != of_features:
        raise StoreError(
            f"{masks} must be of the images of its features "
            f"({IMAGES_DIGEST}: {of_masks} -> {of_features})"
        )
