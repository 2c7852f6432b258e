"""Opens stores as xarray datasets."""

from collections.abc import Mapping
from pathlib import Path

import xarray

from storage.store.completeness import check_complete
from storage.store.inspection import (
    DECODE_ERRORS,
    check_identity,
    naming_damage,
    open_store,
)


def open_objects(path: str | Path, expected: Mapping[str, object] | None = None) -> xarray.Dataset:
    """Images, objects, ground truth and clicks of a split; see ``open_checked``."""
    return open_checked(path, "objects", expected)


def open_features(path: str | Path, expected: Mapping[str, object] | None = None) -> xarray.Dataset:
    """Scores and tokens of a cell; see ``open_checked``."""
    return open_checked(path, "features", expected)


def open_masks(path: str | Path, expected: Mapping[str, object] | None = None) -> xarray.Dataset:
    """Coded masks of a cell; read slices: fancy indices are 20 times slower."""
    return open_checked(path, "masks", expected)


def open_entropy(path: str | Path, expected: Mapping[str, object] | None = None) -> xarray.Dataset:
    """Bayesian entropies of a split; see ``open_checked``."""
    return open_checked(path, "entropy", expected)


def open_checked(
    path: str | Path, kind: str, expected: Mapping[str, object] | None = None
) -> xarray.Dataset:
    """Open a complete store lazily, without dask.

    Parameters
    ----------
    expected
        Entries that the store's signature must have; it may have more.

    Raises
    ------
    StoreError
        If there is no store, it is of another kind, schema or signature, incomplete, or one of
        its coordinates is damaged. Data are read, and their checksums tested, only when used.
    """
    path = Path(path)
    store = open_store(path)
    check_identity(store, kind, expected or {})
    arrays = check_complete(store)
    try:
        dataset: xarray.Dataset = xarray.open_zarr(path, chunks=None, consolidated=False)
    except DECODE_ERRORS:
        # xarray reads the coordinates it indexes by, and does not say which one is damaged.
        for name in (name for name, spec in store.specs.items() if spec.dims == (name,)):
            with naming_damage(path, name):
                arrays[name][...]
        raise
    return dataset
