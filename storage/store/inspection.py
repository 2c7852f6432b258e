"""Checks a store's files against its description."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, cast

import numpy as np
import zarr
from jaxtyping import Bool

from storage.errors import StoreError, shown
from storage.paths import remedy
from storage.store.grid import Grid, Layout, file_name, grid
from storage.store.schema import CODEC, SCHEMA, SCHEMA_VERSION, ArraySpec
from storage.store.signature import compare

AnyArray = zarr.Array[Any]

DECODE_ERRORS: Final = (RuntimeError, ValueError, OSError)
"""What zarr raises for a damaged chunk: from zstd, a shard's index or a file."""

PLACE_KEYS: Final = ("split", "model", "view")
"""Entries of a signature that the store's path repeats."""

N_NAMED: Final = 3
"""Most missing files that an error lists."""


@dataclass(frozen=True)
class Store:
    """A store of the present schema."""

    path: Path
    group: zarr.Group
    kind: str
    layout: Layout
    signature: Mapping[str, object]

    @property
    def specs(self) -> Mapping[str, ArraySpec]:
        """Arrays that the schema asks for."""
        return SCHEMA[self.kind]

    @property
    def shard_objects(self) -> int:
        """Objects per shard; 1 for kinds without shards."""
        return cast("int", self.signature.get("shard_objects", 1))


def open_store(path: Path, mode: Literal["r", "r+"] = "r") -> Store:
    """Open a store, for reading by default, and check that it has this schema.

    Raises
    ------
    StoreError
        If there is no store at ``path``, or one of another project or schema version.
    """
    if not path.exists():
        raise StoreError(f"{path} must be a Zarr store, got none{remedy(path)}")
    try:
        group = zarr.open_group(path, mode=mode, zarr_format=3, use_consolidated=False)
        attributes = dict(group.attrs)
    except (*DECODE_ERRORS, KeyError, TypeError) as error:
        raise StoreError(f"{path} must be a Zarr store, got none ({error})") from error
    kind, signature = attributes.get("kind"), attributes.get("signature")
    if not isinstance(kind, str) or kind not in SCHEMA:
        raise StoreError(f"{path}: kind must be one of {', '.join(SCHEMA)}, got {shown(kind)}")
    if not isinstance(signature, Mapping):
        raise StoreError(f"{path}: signature must be a mapping, got {shown(signature)}")
    version = signature.get("schema_version")
    if version != SCHEMA_VERSION:
        raise StoreError(f"{path}: schema_version must be {SCHEMA_VERSION}, got {shown(version)}")
    layout = cast("Layout", attributes.get("layout"))
    return Store(path, group, kind, layout, signature)


def check_identity(store: Store, kind: str, expected: Mapping[str, object]) -> None:
    """Refuse a store of another kind or place, or one written under other inputs.

    Raises
    ------
    StoreError
        If it is such a store (the message names the path, the key and both values).
    """
    if store.kind != kind:
        raise StoreError(f"{store.path}: kind must be {kind}, got {store.kind}")
    for key in PLACE_KEYS:
        if key in expected and (found := store.signature.get(key, "none")) != expected[key]:
            raise StoreError(f"{store.path}: {key} must be {expected[key]}, got {found}")
    difference = compare(store.signature, expected)
    if difference is not None:
        raise StoreError(f"{store.path} was written under other inputs ({difference})")


def read_arrays(store: Store) -> dict[str, AnyArray]:
    """Arrays of a store, each held to the schema.

    Raises
    ------
    StoreError
        If one is absent, unreadable, unknown to the schema, or of another dtype, shape, chunking
        or codec.
    """
    _check_no_strays(store)
    arrays = {name: _read_array(store, name) for name in store.specs}
    sizes = sizes_of(store, arrays)
    for name, spec in store.specs.items():
        array = arrays[name]
        wanted = grid(spec, sizes, store.layout, store.shard_objects)
        is_dtype = array.dtype == _numpy_dtype(spec)
        if array_grid(array) != wanted or not is_dtype or array.compressors != (CODEC,):
            raise StoreError(
                f"{store.path}/{name} must be {spec.dtype} in {wanted} under {CODEC}, "
                f"got {array.dtype} in {array_grid(array)} under {array.compressors}"
            )
    return arrays


def sizes_of(store: Store, arrays: Mapping[str, AnyArray]) -> dict[str, int]:
    """Size of every dimension, in the order of the schema."""
    sizes: dict[str, int] = {}
    for name, spec in store.specs.items():
        array = arrays[name]
        dims = getattr(array.metadata, "dimension_names", None)  # Zarr v2 has none
        if dims != spec.dims:
            raise StoreError(f"{store.path}/{name} must have dimensions {spec.dims}, got {dims}")
        for dim, size in zip(spec.dims, array.shape, strict=True):
            sizes.setdefault(dim, size)
    return sizes


def array_grid(array: AnyArray) -> Grid:
    """How a stored array is cut."""
    return Grid(array.shape, array.chunks, array.shards)


def done_shards(store: Store, arrays: Mapping[str, AnyArray]) -> Bool[np.ndarray, " shard"] | None:
    """Marks of a store's shards; None for kinds without shards.

    Raises
    ------
    StoreError
        If a mark is damaged.
    """
    if "done" not in arrays:
        return None
    with naming_damage(store.path, "done"):
        return np.asarray(arrays["done"][...])


def expected_files(store: Store, arrays: Mapping[str, AnyArray]) -> dict[str, list[str]]:
    """Files that each array must have: in a work store, those of constants and done shards."""
    done = readable(arrays["done"]) if store.layout == "work" else None
    files = {}
    for name, array in arrays.items():
        indices = array_grid(array).file_indices()
        if done is not None and not store.specs[name].is_constant:
            indices = [index for index in indices if done[index[0]]]
        files[name] = [file_name(index) for index in indices]
    return files


def readable(marks: AnyArray) -> np.ndarray:
    """Elements of a one-dimensional array; the fill value where a chunk is absent or damaged."""
    try:
        return np.asarray(marks[...])
    except DECODE_ERRORS:
        values = np.full(marks.shape, marks.fill_value, marks.dtype)
    for index in range(len(values)):
        with suppress(*DECODE_ERRORS):
            values[index : index + 1] = marks[index : index + 1]
    return values


def missing_files(store: Store, arrays: Mapping[str, AnyArray]) -> list[str]:
    """Files that are absent or empty, as ``<array>/<key>``.

    A loss of power can leave empty files, and zarr reads an empty shard as fill values.
    """
    missing = []
    for name, files in expected_files(store, arrays).items():
        present = {entry.name for entry in os.scandir(store.path / name) if entry.stat().st_size}
        missing += [f"{name}/{file}" for file in files if file not in present]
    return missing


def check_complete(store: Store) -> dict[str, AnyArray]:
    """Arrays of a store with every mark and file in place; contents are not read.

    Raises
    ------
    StoreError
        If any is missing (the message names the shards or files).
    """
    arrays = read_arrays(store)
    done = done_shards(store, arrays)
    if done is not None and not done.all():
        undone = np.flatnonzero(~done)
        raise StoreError(
            f"{store.path}: every shard must be done, got {len(undone)} of {len(done)} not done "
            f"({_some([str(index) for index in undone])})"
        )
    missing = missing_files(store, arrays)
    if missing:
        raise StoreError(
            f"{store.path}: every chunk must be there, got {len(missing)} missing "
            f"({_some(missing)})"
        )
    return arrays


@contextmanager
def naming_damage(path: Path, array: str | None = None) -> Iterator[None]:
    """Name the store, and the array if one is given, in errors that name neither.

    Raises
    ------
    StoreError
        If a chunk does not decode, or fails its checksum.
    """
    try:
        yield
    except StoreError:
        raise
    except DECODE_ERRORS as error:
        raise StoreError(
            f"{path / array if array else path}: every chunk must be intact, got {error}; "
            f"`usam cache verify {path}` lists the damaged ones"
        ) from error


def _check_no_strays(store: Store) -> None:
    """Refuse an array that the schema does not know: xarray would open it as one of the store's."""
    for metadata in store.path.glob("*/zarr.json"):
        if (name := metadata.parent.name) not in store.specs:
            raise StoreError(
                f"{metadata} must not be there: arrays of {store.kind} must be "
                f"{', '.join(store.specs)}, got {shown(name)}"
            )


def _read_array(store: Store, name: str) -> AnyArray:
    try:
        return cast("AnyArray", store.group[name])
    except (*DECODE_ERRORS, KeyError, TypeError) as error:
        raise StoreError(f"{store.path}/{name} must be a Zarr array, got none ({error})") from error


def _numpy_dtype(spec: ArraySpec) -> np.dtype:
    return np.dtypes.StringDType() if spec.dtype == "str" else np.dtype(spec.dtype)


def _some(names: list[str]) -> str:
    return ", ".join(names[:N_NAMED]) + (", ..." if len(names) > N_NAMED else "")
