"""Opens a store and holds its description to the schema and to its manifest."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, cast

import numpy as np
import zarr

from storage.errors import StoreError, shown
from storage.files.addresses import files_at
from storage.files.files import Files
from storage.files.manifest import FILE, NAME, Manifest, parse_manifest
from storage.paths import remedy
from storage.store.grid import Grid, Layout, grid
from storage.store.schema import CODEC, MIGRATED, SCHEMA, SCHEMA_VERSION, ArraySpec
from storage.store.signature import compare

AnyArray = zarr.Array[Any]

DECODE_ERRORS: Final = (RuntimeError, ValueError, OSError)
"""What zarr raises for a damaged chunk: from zstd, a shard's index or a file."""

PLACE_KEYS: Final = ("split", "model", "view")
"""Entries of a signature that the store's path repeats."""

ROOT: Final = "zarr.json"
"""File of a store's attributes."""


@dataclass(frozen=True)
class Store:
    """A store of the present schema; one in the making has no manifest."""

    files: Files
    group: zarr.Group
    kind: str
    layout: Layout
    signature: Mapping[str, object]
    manifest: Manifest

    def __str__(self) -> str:
        return str(self.files)

    @property
    def path(self) -> Path:
        """Folder of a store that is in one."""
        assert self.files.folder is not None
        return self.files.folder

    @property
    def specs(self) -> Mapping[str, ArraySpec]:
        """Arrays that the schema asks for."""
        return SCHEMA[self.kind]

    @property
    def shard_objects(self) -> int:
        """Objects per shard; 1 for kinds without shards."""
        return cast("int", self.signature.get("shard_objects", 1))


def open_store(where: str | Path | Files, mode: Literal["r", "r+"] = "r") -> Store:
    """Open a store, for reading by default, and check that it has this schema.

    Raises
    ------
    StoreError
        If there is no store, one of another project or schema version, or one whose manifest is
        missing or damaged, or tells of other attributes.
    """
    files = where if isinstance(where, Files) else files_at(where)
    group, kind, signature = read_description(files, mode)
    version = signature.get("schema_version")
    if version != SCHEMA_VERSION:
        way = f"; `usam cache migrate {files}` brings it there" if version in MIGRATED else ""
        raise StoreError(
            f"{files}: schema_version must be {SCHEMA_VERSION}, got {shown(version)}{way}"
        )
    layout = cast("Layout", group.attrs.get("layout"))
    manifest = {} if layout == "work" else _read_manifest(files)
    return Store(files, group, kind, layout, signature, manifest)


def read_description(
    files: Files, mode: Literal["r", "r+"] = "r"
) -> tuple[zarr.Group, str, Mapping[str, object]]:
    """Group, kind and signature of a store of any schema version.

    Raises
    ------
    StoreError
        If there is no store, or one of another project.
    """
    if files.folder is not None and not files.folder.exists():
        raise StoreError(f"{files} must be a Zarr store, got none{remedy(files.folder)}")
    try:
        group = zarr.open_group(files.target, mode=mode, zarr_format=3, use_consolidated=False)
        attributes = dict(group.attrs)
    except StoreError:
        raise
    except FileNotFoundError as error:
        raise StoreError(f"{files} must be a Zarr store, got none") from error
    except (*DECODE_ERRORS, KeyError, TypeError) as error:
        raise StoreError(f"{files} must be a Zarr store, got none ({error})") from error
    kind, signature = attributes.get("kind"), attributes.get("signature")
    if not isinstance(kind, str) or kind not in SCHEMA:
        raise StoreError(f"{files}: kind must be one of {', '.join(SCHEMA)}, got {shown(kind)}")
    if not isinstance(signature, Mapping):
        raise StoreError(f"{files}: signature must be a mapping, got {shown(signature)}")
    return group, kind, signature


def check_identity(store: Store, kind: str, expected: Mapping[str, object]) -> None:
    """Refuse a store of another kind or place, or one written under other inputs.

    Raises
    ------
    StoreError
        If it is such a store (the message names the path, the key and both values).
    """
    if store.kind != kind:
        raise StoreError(f"{store}: kind must be {kind}, got {store.kind}")
    for key in PLACE_KEYS:
        if key in expected and (found := store.signature.get(key, "none")) != expected[key]:
            raise StoreError(f"{store}: {key} must be {expected[key]}, got {found}")
    difference = compare(store.signature, expected)
    if difference is not None:
        raise StoreError(f"{store} was written under other inputs ({difference})")


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
                f"{store}/{name} must be {spec.dtype} in {wanted} under {CODEC}, "
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
            raise StoreError(f"{store}/{name} must have dimensions {spec.dims}, got {dims}")
        for dim, size in zip(spec.dims, array.shape, strict=True):
            sizes.setdefault(dim, size)
    return sizes


def array_grid(array: AnyArray) -> Grid:
    """How a stored array is cut."""
    return Grid(array.shape, array.chunks, array.shards)


@contextmanager
def naming_damage(store: object, array: str | None = None) -> Iterator[None]:
    """Name the store, by its path or address, and the array in errors that name neither.

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
            f"{store}{f'/{array}' if array else ''}: every chunk must be intact, got {error}; "
            f"`usam cache verify {store}` lists the damaged ones"
        ) from error


def _read_manifest(files: Files) -> Manifest:
    """The manifest of a store, which must tell of the store's attributes as they are."""
    data = files.read(FILE)
    if data is None:
        raise StoreError(f"{files}/{FILE} must be the manifest of the store, got none")
    manifest = parse_manifest(f"{files}/{FILE}", data)
    if (wanted := manifest.get(ROOT)) != (found := files.record(ROOT)):
        raise StoreError(
            f"{files}/{ROOT} must be the file of the manifest, "
            f"with sha256 {shown(wanted and wanted.sha256)}, got {found.sha256!r}"
        )
    return manifest


def _check_no_strays(store: Store) -> None:
    """Refuse an array that the schema does not know: xarray would open it as one of the store's."""
    if store.files.folder is None:
        return
    for metadata in store.files.folder.glob("*/zarr.json"):
        if (name := metadata.parent.name) not in {*store.specs, NAME}:
            raise StoreError(
                f"{metadata} must not be there: arrays of {store.kind} must be "
                f"{', '.join(store.specs)}, got {shown(name)}"
            )


def _read_array(store: Store, name: str) -> AnyArray:
    try:
        return cast("AnyArray", store.group[name])
    except StoreError:
        raise
    except (*DECODE_ERRORS, KeyError, TypeError) as error:
        raise StoreError(f"{store}/{name} must be a Zarr array, got none ({error})") from error


def _numpy_dtype(spec: ArraySpec) -> np.dtype:
    return np.dtypes.StringDType() if spec.dtype == "str" else np.dtype(spec.dtype)
