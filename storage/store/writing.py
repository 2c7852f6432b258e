"""Creates Zarr stores and writes their arrays; a ``StoreError`` refuses what breaks the schema."""

import warnings
from collections.abc import Container, Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np
import zarr
from zarr.errors import ZarrUserWarning

from pipeline.masks import DECODE_TABLE
from storage.errors import StoreError
from storage.files.manifest import write_manifest
from storage.folders import whole_folder
from storage.store.chunk_grid import ChunkGrid, chunk_grid, shard_rows
from storage.store.inspection import AnyArray
from storage.store.schema import (
    CODEC,
    FIXED_COORDINATES,
    MASK_FORMULA,
    SCHEMA,
    SCHEMA_VERSION,
    ArraySpec,
    Value,
    specs_of,
)
from storage.store.signature import parse_signature


def create_store(
    path: Path,
    kind: str,
    sizes: Mapping[str, int],
    *,
    signature: Mapping[str, object],
    coords: Mapping[str, Any],
    optional: Container[str] = (),
) -> zarr.Group:
    """Make a store with its signature and coordinates, and return it open for writing.

    Other arrays exist, but their values are unwritten, except the table ``probability`` of a masks
    store. The signature, with ``schema_version``, is on the disk before any array.

    Parameters
    ----------
    sizes
        Sizes of the dimensions without coordinates by name, e.g. ``channel``.
    signature
        Signature of the store; for kinds with shards, ``shard_objects`` or ``shard_images`` in it
        is the number of rows per shard.
    coords
        Values of the coordinates that differ between stores, e.g. ``object_id`` and ``prompt``.
    optional
        Names of the store's optional arrays; other names are ignored.
    """
    specs = specs_of(kind, optional)
    fixed = {name: values for name, values in FIXED_COORDINATES.items() if name in specs}
    constants: dict[str, Any] = {**fixed, **coords}
    full = full_signature(signature)
    coordinates = " ".join(name for name, spec in specs.items() if spec.is_coordinate)
    attributes = {"kind": kind, "signature": full, "coordinates": coordinates}
    if kind == "masks":
        constants["probability"] = DECODE_TABLE
        attributes["formula"] = MASK_FORMULA
    n_rows = shard_rows(full)
    lengths = {SCHEMA[kind][name].dims[0]: len(values) for name, values in constants.items()}
    all_sizes = {**sizes, **lengths}
    all_sizes["shard"] = -(-all_sizes.get("object", 0) // n_rows)
    group = zarr.create_group(path, zarr_format=3, attributes=attributes)
    for name, spec in specs.items():
        create_array(group, name, spec, chunk_grid(spec, all_sizes, n_rows))
    with warnings.catch_warnings():
        # Readers then get all metadata from one file. zarr warns: Zarr v3 does not specify it yet.
        warnings.simplefilter("ignore", ZarrUserWarning)
        zarr.consolidate_metadata(path)
    group = zarr.open_group(path, mode="r+")
    for name, values in constants.items():
        write_array(group, name, SCHEMA[kind][name], values)
    return group


def full_signature(signature: Mapping[str, object]) -> dict[str, Value]:
    """Add ``schema_version`` to a signature, and convert it to the form in which stores keep it."""
    return parse_signature({**signature, "schema_version": SCHEMA_VERSION})


def write_store(
    path: Path, kind: str, arrays: Mapping[str, Any], *, signature: Mapping[str, object]
) -> None:
    """Write a store from arrays in memory, whole or not at all; a store at ``path`` is replaced.

    ``arrays`` has every array of the kind except ``FIXED_COORDINATES``; optional ones may be left
    out.
    """
    specs = specs_of(kind, arrays)
    check_names(path, arrays, set(specs) - set(FIXED_COORDINATES))
    sizes: dict[str, int] = {}
    for name, values in arrays.items():
        sizes |= dict(zip(specs[name].dims, np.shape(values), strict=False))
    coords = {name: values for name, values in arrays.items() if specs[name].is_coordinate}
    with whole_folder(path) as partial:
        group = create_store(
            partial, kind, sizes, signature=signature, coords=coords, optional=arrays
        )
        for name in arrays.keys() - coords.keys():
            write_array(group, name, specs[name], arrays[name])
        write_manifest(partial)


def write_array(group: zarr.Group, name: str, spec: ArraySpec, values: Any) -> None:  # noqa: ANN401
    """Write all values of an array that exists in ``group``, after checking them by ``spec``."""
    array = writable(group, name)
    array[...] = checked(name, spec, values, array.shape)


def writable(group: zarr.Group, name: str) -> AnyArray:
    """Open an array of a store for writing, so that chunks full of the fill value are written, too.

    A missing chunk then always means a loss. zarr forgets this setting when a store is reopened.
    """
    return cast("AnyArray", group[name]).with_config({"write_empty_chunks": True})


def checked(name: str, spec: ArraySpec, values: Any, shape: tuple[int, ...]) -> np.ndarray:  # noqa: ANN401
    """Return values as an array of the dtype in ``spec``; lists and text are converted to it.

    Raises a StoreError if the shape is not ``shape``, or an array of numbers has another dtype.
    """
    is_converted = spec.dtype == "str" or not isinstance(values, np.ndarray)
    dtype = np.dtypes.StringDType() if spec.dtype == "str" else np.dtype(spec.dtype)
    array = np.asarray(values, dtype=dtype) if is_converted else np.asarray(values)
    if array.dtype != dtype or array.shape != shape:
        raise StoreError(
            f"{name} must be {spec.dtype} of shape {shape} ({', '.join(spec.dims)}), "
            f"got {array.dtype} of shape {array.shape}"
        )
    return array


def check_names(label: object, arrays: Mapping[str, object], names: set[str]) -> None:
    """Raise a StoreError, beginning with ``label``, unless ``names`` are the keys of ``arrays``."""
    if set(arrays) != names:
        raise StoreError(
            f"{label} must hold {', '.join(sorted(names))}, got {', '.join(sorted(arrays))}"
        )


def create_array(group: zarr.Group, name: str, spec: ArraySpec, cut: ChunkGrid) -> None:
    """Create an array in a store by its declaration and its cut into chunks, without values."""
    group.create_array(
        name,
        shape=cut.shape,
        dtype=str if spec.dtype == "str" else spec.dtype,
        chunks=cut.chunks,
        shards=cut.shards,
        compressors=CODEC,
        filters=None,
        fill_value=spec.fill_value,
        dimension_names=spec.dims,
        attributes={"units": spec.unit, "long_name": spec.meaning},
        # Flat names: one folder per dimension would make more folders than files.
        chunk_key_encoding={"name": "default", "separator": "."},
    )
