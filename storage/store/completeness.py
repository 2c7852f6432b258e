"""Whether a store has all that it should: marks, and files as its manifest lists them."""

import os
from collections.abc import Mapping
from contextlib import suppress
from typing import Final

import numpy as np
from jaxtyping import Bool

from storage.errors import StoreError
from storage.store.grid import file_name
from storage.store.inspection import (
    DECODE_ERRORS,
    AnyArray,
    Store,
    array_grid,
    naming_damage,
    read_arrays,
)

N_NAMED: Final = 3
"""Most files that an error lists."""


def check_complete(store: Store) -> dict[str, AnyArray]:
    """Arrays of a store with every mark and file in place; contents are not read.

    Elsewhere than in a folder the manifest alone is asked which files there are.

    Raises
    ------
    StoreError
        If any is missing or of another size (the message names the shards or files).
    """
    arrays = read_arrays(store)
    done = done_shards(store, arrays)
    if done is not None and not done.all():
        undone = np.flatnonzero(~done)
        raise StoreError(
            f"{store}: every shard must be done, got {len(undone)} of {len(done)} not done "
            f"({_some([str(index) for index in undone])})"
        )
    missing = missing_files(store, arrays)
    if missing:
        raise StoreError(
            f"{store}: every chunk must be there, got {len(missing)} missing ({_some(missing)})"
        )
    resized = [] if store.files.folder is None else [name for name, _ in resized_files(store)]
    if resized:
        raise StoreError(
            f"{store}: every chunk must be intact, got {len(resized)} of another size than in the "
            f"manifest ({_some(resized)}); `usam cache verify {store}` lists the damaged ones"
        )
    return arrays


def done_shards(store: Store, arrays: Mapping[str, AnyArray]) -> Bool[np.ndarray, " shard"] | None:
    """Marks of a store's shards; None for kinds without shards.

    Raises
    ------
    StoreError
        If a mark is damaged.
    """
    if "done" not in arrays:
        return None
    with naming_damage(store, "done"):
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
    folder = store.files.folder
    missing = []
    for name, files in expected_files(store, arrays).items():
        if folder is None:
            present = {file for file in files if f"{name}/{file}" in store.manifest}
        else:
            present = {entry.name for entry in os.scandir(folder / name) if entry.stat().st_size}
        missing += [f"{name}/{file}" for file in files if file not in present]
    return missing


def resized_files(store: Store) -> list[tuple[str, int]]:
    """Files of another size than in the manifest, with the size they have; absent ones are not."""
    sizes = store.files.sizes(store.manifest)
    records = store.manifest.items()
    return [
        (name, sizes[name])
        for name, record in records
        if sizes.get(name) not in {None, record.n_bytes}
    ]


def _some(names: list[str]) -> str:
    return ", ".join(names[:N_NAMED]) + (", ..." if len(names) > N_NAMED else "")
