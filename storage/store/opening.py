"""Opens complete stores, as arrays of zarr or datasets of xarray, wherever they are."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from storage.errors import StoreError, listed
from storage.files.files import Files
from storage.store.arrays import (
    missing_files,
    naming_damage,
    read_arrays,
    resized_files,
)
from storage.store.inspection import DECODE_ERRORS, AnyArray, Store, check_identity, open_store

if TYPE_CHECKING:
    import xarray


def open_objects(
    where: str | Path, expected: Mapping[str, object] | None = None
) -> "xarray.Dataset":
    """Images, objects, ground truth and clicks of a split; see ``open_checked``."""
    return open_checked(where, "objects", expected)


def open_features(
    where: str | Path | Files, expected: Mapping[str, object] | None = None
) -> "xarray.Dataset":
    """Scores and tokens of a cell; see ``open_checked``."""
    return open_checked(where, "features", expected)


def open_masks(
    where: str | Path | Files, expected: Mapping[str, object] | None = None
) -> "xarray.Dataset":
    """Coded masks of a cell; read slices: fancy indices are 20 times slower."""
    return open_checked(where, "masks", expected)


def open_entropy(
    where: str | Path, expected: Mapping[str, object] | None = None
) -> "xarray.Dataset":
    """Bayesian entropies of a split; see ``open_checked``."""
    return open_checked(where, "entropy", expected)


def open_checked(
    where: str | Path | Files, kind: str, expected: Mapping[str, object] | None = None
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
        If there is no store or no way to it, it is of another kind, schema or signature,
        incomplete, or one of its coordinates is damaged. Data are read, and their checksums
        tested, only when used.
    """
    return dataset_of(*open_complete(where, kind, expected or {}))


def dataset_of(store: Store, arrays: Mapping[str, AnyArray]) -> "xarray.Dataset":
    """A complete store as xarray shows it.

    Raises
    ------
    StoreError
        If one of its coordinates is damaged.
    """
    # It takes a third of a second, and workers of `entropy` do without.
    import xarray  # noqa: PLC0415

    try:
        dataset: xarray.Dataset = xarray.open_zarr(
            store.group.store, chunks=None, consolidated=True, zarr_format=3
        )
    except DECODE_ERRORS:
        # xarray reads the coordinates it indexes by, and does not say which one is damaged.
        for name in (name for name, spec in store.specs.items() if spec.dims == (name,)):
            with naming_damage(store, name):
                arrays[name][...]
        raise
    return dataset


def open_complete(
    where: str | Path | Files, kind: str, expected: Mapping[str, object]
) -> tuple[Store, dict[str, AnyArray]]:
    """A store whose signature has what is expected, and its arrays, see ``check_complete``.

    Raises
    ------
    StoreError
        If there is none such.
    """
    store = open_store(where)
    check_identity(store, kind, expected)
    return store, check_complete(store)


def check_complete(store: Store) -> dict[str, AnyArray]:
    """Arrays of a store with every file in place; contents are not read.

    Elsewhere than in a folder the manifest alone is asked which files there are.

    Raises
    ------
    StoreError
        If any is missing or of another size (the message names the files).
    """
    arrays = read_arrays(store)
    missing = missing_files(store, arrays)
    if missing:
        raise StoreError(
            f"{store}: every chunk must be there, got {len(missing)} missing ({listed(missing)})"
        )
    resized = [] if store.files.folder is None else resized_files(store)
    if resized:
        raise StoreError(
            f"{store}: every chunk must be intact, got {len(resized)} of another size than in the "
            f"manifest ({listed(resized)}); `usam cache verify {store}` lists the damaged ones"
        )
    return arrays
