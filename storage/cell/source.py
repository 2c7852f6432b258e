"""A cell whose rows may serve another: its stores, and whether what is read of them is intact."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import cast

import numpy as np

from storage.cell import shards
from storage.cell.marked import MarkedShards
from storage.cell.parts import Part
from storage.cell.seeding import damaged_shards
from storage.files.manifest import ROOT, record_of
from storage.store.arrays import (
    array_grid,
    check_same_images,
    naming_damage,
    read_arrays,
    read_images,
)
from storage.store.grid import file_name
from storage.store.inspection import AnyArray, Store, check_identity, open_store
from storage.store.marks import UNKNOWN, load_mark
from storage.store.row_blocks import RowBlocks
from storage.store.signature import in_full


@dataclass(frozen=True, eq=False)
class Source:
    """The stores of one cell, by their kinds."""

    stores: Mapping[str, Store]
    arrays: Mapping[str, AnyArray]
    blocks: Mapping[str, RowBlocks]
    """The arrays of the features, whose chunks hold the rows of many images."""
    roots: Mapping[str, tuple[int, int]]
    """Identity of each store's own file when its shards were found."""
    marked: MarkedShards
    """Of a cell in the making."""
    prompts: tuple[str, ...]
    _compared: dict[Path, bool] = field(default_factory=dict)
    """Whether files are as the manifest says, of those that were asked for."""

    def part(self, place: slice, prompts: tuple[str, ...]) -> Part:
        """Some prompt sets of consecutive rows, without ``input_sha256``."""
        columns = [self.prompts.index(prompt) for prompt in prompts]
        found = {}
        for kind, store in self.stores.items():
            arrays = self.blocks if kind == "features" else self.arrays
            for name in shards.data_names(store):
                if name != "input_sha256":
                    with naming_damage(store, name):
                        found[name] = np.asarray(arrays[name][place])[:, columns]
        return Part(prompts, self.kinds(place), found)

    def kinds(self, place: slice) -> frozenset[str]:
        """Processors and GPUs that made the rows, by the mark of their shard."""
        features = self.stores["features"]
        mark = None
        if features.layout == "work":
            mark = load_mark(features.path.parent, place.start // features.shard_objects)
        return frozenset({UNKNOWN}) if mark is None else mark.kinds

    def is_from(self, input_sha256: str, place: slice) -> bool:
        """Whether the rows are those that were found there."""
        features = self.stores["features"]
        # A published store is never written again, but replaced.
        arrays = self.arrays if features.layout == "work" else self.blocks
        with naming_damage(features, "input_sha256"):
            return bool((np.asarray(arrays["input_sha256"][place]) == input_sha256).all())

    def is_there(self, place: slice) -> bool:
        """Whether what was read is intact, and nobody removed or replaced it since.

        Each file is compared once, by whoever copies rows of it: a cell may be larger than what is
        taken of it. Absent chunks read as fill values.
        """
        try:
            same = all(_root(store) == self.roots[kind] for kind, store in self.stores.items())
            return same and self._is_intact(place)
        except OSError:
            return False

    def unusable(self, asked: Collection[int]) -> Collection[int]:
        """Shards that are not done, or of which a file is missing or cut short."""
        if not asked:
            return ()
        if self.stores["features"].layout == "work":
            return {s for s in asked if self.marked.fault(s, sizes_only=True) is not None}
        damaged = [damaged_shards(store, sizes_only=True) for store in self.stores.values()]
        return set(chain.from_iterable(damaged))

    def _is_intact(self, place: slice) -> bool:
        features = self.stores["features"]
        if features.layout == "work":
            return self.marked.fault(place.start // features.shard_objects) is None
        return all(self._is_as_listed(*file) for file in self._files(place))

    def _is_as_listed(self, store: Store, name: str) -> bool:
        file = store.path / name
        if file not in self._compared:
            self._compared[file] = record_of(file) == store.manifest.get(name)
        return self._compared[file] and file.exists()

    def _files(self, place: slice) -> Iterator[tuple[Store, str]]:
        for store in self.stores.values():
            for name in shards.data_names(store):
                for index in array_grid(self.arrays[name]).file_indices(place):
                    yield store, f"{name}/{file_name(index)}"


def open_source(paths: Mapping[str, Path], asked: Mapping[str, object]) -> Source:
    """Open the stores of a cell, by their kinds.

    Raises
    ------
    StoreError
        If one is missing, damaged or of other settings than ``asked``, or not of the same cell and
        images as the others.
    """
    stores = {kind: open_store(path) for kind, path in paths.items()}
    signature = stores["features"].signature
    check_identity(stores["features"], "features", asked)
    for kind, store in stores.items():
        # DVC checks out each alone: those of one cell alone have the same rows and columns.
        check_identity(store, kind, in_full(signature))
    if "masks" in stores and stores["masks"].layout != "work":
        check_same_images(stores["masks"], read_images(stores["features"]))
    roots = {kind: _root(store) for kind, store in stores.items()}
    by_kind = {kind: read_arrays(store) for kind, store in stores.items()}
    arrays = {name: array for own in by_kind.values() for name, array in own.items()}
    names = shards.data_names(stores["features"])
    blocks = {name: RowBlocks(by_kind["features"][name]) for name in names}
    features = stores["features"]
    marked = MarkedShards(features.path.parent, by_kind["features"]["done"].shape[0])
    return Source(stores, arrays, blocks, roots, marked, prompts_of(signature))


def prompts_of(signature: Mapping[str, object]) -> tuple[str, ...]:
    """Prompt sets of a cell."""
    return tuple(cast("Sequence[str]", signature["prompts"]))


def _root(store: Store) -> tuple[int, int]:
    known = (store.path / ROOT).stat()
    return known.st_dev, known.st_ino
