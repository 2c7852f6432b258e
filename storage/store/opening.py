"""Opens stores as xarray datasets: in a folder, at an address, or in a DVC repository."""

from collections.abc import Mapping
from pathlib import Path

import xarray

from storage.files.files import Files
from storage.store.arrays import naming_damage, open_complete
from storage.store.inspection import DECODE_ERRORS, AnyArray, Store


def open_objects(where: str | Path, expected: Mapping[str, object] | None = None) -> xarray.Dataset:
    """Images, objects, ground truth and clicks of a split; see ``open_checked``."""
    return open_checked(where, "objects", expected)


def open_features(
    where: str | Path | Files, expected: Mapping[str, object] | None = None
) -> xarray.Dataset:
    """Scores and tokens of a cell; see ``open_checked``."""
    return open_checked(where, "features", expected)


def open_masks(
    where: str | Path | Files, expected: Mapping[str, object] | None = None
) -> xarray.Dataset:
    """Coded masks of a cell; read slices: fancy indices are 20 times slower."""
    return open_checked(where, "masks", expected)


def open_entropy(where: str | Path, expected: Mapping[str, object] | None = None) -> xarray.Dataset:
    """Bayesian entropies of a split; see ``open_checked``."""
    return open_checked(where, "entropy", expected)


def open_checked(
    where: str | Path | Files, kind: str, expected: Mapping[str, object] | None = None
) -> xarray.Dataset:
    """Open a complete store lazily, without dask.

    Parameters
    ----------
    where
        A folder, a packed store, or an address: ``s3://bucket/path`` (also ``gs``, ``az``,
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


def dataset_of(store: Store, arrays: Mapping[str, AnyArray]) -> xarray.Dataset:
    """A complete store as xarray shows it.

    Raises
    ------
    StoreError
        If one of its coordinates is damaged.
    """
    try:
        dataset: xarray.Dataset = xarray.open_zarr(
            store.files.target, chunks=None, consolidated=False, zarr_format=3
        )
    except DECODE_ERRORS:
        # xarray reads the coordinates it indexes by, and does not say which one is damaged.
        for name in (name for name, spec in store.specs.items() if spec.dims == (name,)):
            with naming_damage(store, name):
                arrays[name][...]
        raise
    return dataset
