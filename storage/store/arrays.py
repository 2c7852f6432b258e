"""Arrays of a store, held to the schema; which of their files are there."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Final, cast

import numpy as np

from storage.errors import StoreError, shown
from storage.files.manifest import NAME, ROOT
from storage.store.grid import Grid, file_name, grid
from storage.store.inspection import DECODE_ERRORS, AnyArray, Store
from storage.store.schema import CODEC, ArraySpec
from storage.store.signature import digest

IMAGES: Final = "images_digest"
"""Attribute of published masks; features have an array, ``images_sha256``."""


def missing_files(store: Store, arrays: Mapping[str, AnyArray]) -> list[str]:
    """Files of arrays that are absent or empty, as ``<array>/<file>``.

    A loss of power can leave empty files, and zarr reads an empty shard as fill values.
    """
    names = [
        f"{name}/{file}"
        for name, array in arrays.items()
        for file in (ROOT, *map(file_name, array_grid(array).file_indices()))
    ]
    there = file_sizes(store, names)
    return [name for name in names if not there.get(name)]


def file_sizes(store: Store, names: Iterable[str]) -> dict[str, int]:
    """Bytes of each named file that is there; elsewhere than in a folder, as the manifest says."""
    if store.files.folder is not None:
        return store.files.sizes(names)
    return {name: store.manifest[name].n_bytes for name in names if name in store.manifest}


def resized_files(store: Store) -> list[str]:
    """Files of another size than in the manifest; absent ones are not."""
    sizes = store.files.sizes(store.manifest)
    return [name for name, n_bytes in sizes.items() if n_bytes != store.manifest[name].n_bytes]


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
        wanted = grid(spec, sizes, store.shard_objects)
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


def images_digest(images_sha256: Sequence[str]) -> str:
    """Digest of the images of all shards, from that of each."""
    return digest({"sha256": list(images_sha256)})


def read_images(features: Store, arrays: Mapping[str, AnyArray] | None = None) -> list[str]:
    """Digest of the images of each shard of published features, whose arrays may be open already.

    Raises
    ------
    StoreError
        If they are damaged.
    """
    array = (arrays or read_arrays(features))["images_sha256"]
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
