"""Rows that other cells hold already, found by what they were computed from.

A cell may hold some of the prompt sets that are asked for. Each serves by itself, if it was decoded
in the calls that would be made for it.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import chain, groupby
from pathlib import Path
from typing import Final, cast

import numpy as np

from pipeline.prompt_kinds import same_calls
from storage.cell import shards
from storage.cell.marked import MarkedShards
from storage.cell.parts import Part
from storage.cell.recorded import lay_out, recorded_listings
from storage.cell.seeding import damaged_shards
from storage.errors import StoreError
from storage.files.manifest import ROOT, record_of
from storage.folders import SUFFIX
from storage.paths import CACHE, WORK, features_path, masks_path
from storage.store.arrays import array_grid, naming_damage, read_arrays
from storage.store.grid import file_name
from storage.store.images import check_same_images, read_images
from storage.store.inspection import AnyArray, Store, check_identity, open_store
from storage.store.marks import UNKNOWN, load_mark
from storage.store.row_blocks import RowBlocks
from storage.store.signature import in_full
from storage.writers import new_tag

OF_A_SPLIT: Final = ("split", "objects_digest", "shard_objects")
"""Entries of a signature that say which rows there are; what a row holds follows from others."""


@dataclass(frozen=True, eq=False)
class _Source:
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


@dataclass(frozen=True, eq=False)
class _Place:
    """Where rows are, and which prompt sets are taken from there."""

    source: _Source
    rows: slice
    prompts: tuple[str, ...]


@dataclass(eq=False)
class MadeRows:
    """Rows of finished shards that the settings of a cell would give again.

    Attributes
    ----------
    prompts
        Prompt sets of that cell.
    """

    prompts: tuple[str, ...] = ()
    _places: dict[str, list[_Place]] = field(default_factory=dict)

    def lacking(self, input_sha256: str) -> tuple[str, ...]:
        """Prompt sets that no rows have which were computed from these inputs."""
        held = {name for place in self._places.get(input_sha256, ()) for name in place.prompts}
        return tuple(name for name in self.prompts if name not in held)

    def kinds(self, input_sha256: str) -> frozenset[str]:
        """Processors and GPUs that made the rows which were computed from these inputs."""
        places = self._places.get(input_sha256, ())
        return frozenset[str]().union(*(place.source.kinds(place.rows) for place in places))

    def parts(self, input_sha256: str) -> list[Part]:
        """The rows that were computed from these inputs, without ``input_sha256`` itself.

        Those of a cell that was removed, replaced or damaged meanwhile are left out.
        """
        found = []
        for place in self._places.get(input_sha256, ()):
            with suppress(StoreError):
                part = place.source.part(place.rows, place.prompts)
                is_asked = place.source.is_from(input_sha256, place.rows)
                if is_asked and place.source.is_there(place.rows):
                    found.append(part)
        return found

    def add(self, source: _Source, rows: Mapping[str, slice], prompts: Collection[str]) -> None:
        """Take what is still lacking of some prompt sets from rows by their digests."""
        for input_sha256, place in rows.items():
            taken = tuple(name for name in self.lacking(input_sha256) if name in prompts)
            if taken:
                self._places.setdefault(input_sha256, []).append(_Place(source, place, taken))


def find_made(
    signature: Mapping[str, object],
    wanted: Collection[str],
    own: Path,
    *,
    with_masks: bool,
    made_by: str | None = None,
    is_estimate: bool = False,
) -> MadeRows:
    """Find rows in cells of any split: in the making, published, or replaced but in DVC's cache.

    Cells of other settings are passed over, and so are files that are missing or cut short; others
    are compared with what they must be as their rows are taken.

    Parameters
    ----------
    signature
        Of the cell that is to be made.
    wanted
        Digests of the inputs of its rows, from ``storage.split.objects.input_sha256``.
    own
        Its work folder, whose shards need no search.
    made_by
        Name of the processor or GPU that must have made the rows, if it matters: receipts tell,
        which stores have only while they are in the making.
    is_estimate
        Write nothing: what DVC's cache alone has does not count.
    """
    own_keys = (*OF_A_SPLIT, "prompts")
    asked = {key: value for key, value in signature.items() if key not in own_keys}
    kinds = ("features", "masks") if with_masks else ("features",)
    made = MadeRows(_prompts(signature))
    model, view = str(asked["model"]), str(asked["view"])
    replaced = () if is_estimate else _replaced(model, view, own, kinds)
    for paths in chain(_candidates(model, view, own, kinds), replaced):
        lacking = {digest: names for digest in wanted if (names := made.lacking(digest))}
        if not lacking:
            break
        # `usam cache ls` and `verify` name the stores that cannot be used; others may remove one.
        with suppress(StoreError, FileNotFoundError):
            source = _opened(paths, asked)
            prompts = same_calls(made.prompts, source.prompts)
            missing = {digest for digest, names in lacking.items() if {*names} & {*prompts}}
            made.add(source, _find(source, missing, made_by), prompts)
    return made


def _opened(paths: Mapping[str, Path], asked: Mapping[str, object]) -> _Source:
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
    return _Source(stores, arrays, blocks, roots, marked, _prompts(signature))


def _prompts(signature: Mapping[str, object]) -> tuple[str, ...]:
    return tuple(cast("Sequence[str]", signature["prompts"]))


def _find(source: _Source, missing: Collection[str], made_by: str | None) -> dict[str, slice]:
    """Places of the rows in shards that are done, and whose files are there."""
    features = source.stores["features"]
    with naming_damage(features, "input_sha256"):
        digests = [str(text) for text in np.asarray(source.arrays["input_sha256"][...])]
    found: dict[str, slice] = {}
    start = 0
    # Objects that are alike have one digest, and may end a shard and begin the next.
    shard_of = [row // features.shard_objects for row in range(len(digests))]
    for (_, digest), same in groupby(zip(shard_of, digests, strict=True)):
        stop = start + len(list(same))
        if digest in missing:
            found[digest] = slice(start, stop)
        start = stop
    if made_by is not None:
        found = {name: rows for name, rows in found.items() if source.kinds(rows) == {made_by}}
    by_shard = {digest: shard_of[rows.start] for digest, rows in found.items()}
    unusable = _unusable(source, set(by_shard.values()))
    return {name: rows for name, rows in found.items() if by_shard[name] not in unusable}


def _root(store: Store) -> tuple[int, int]:
    known = (store.path / ROOT).stat()
    return known.st_dev, known.st_ino


def _unusable(source: _Source, asked: Collection[int]) -> Collection[int]:
    """Shards that are not done, or of which a file is missing or cut short."""
    if not asked:
        return ()
    if source.stores["features"].layout == "work":
        return {shard for shard in asked if source.marked.fault(shard, sizes_only=True) is not None}
    damaged = [damaged_shards(store, sizes_only=True) for store in source.stores.values()]
    return set(chain.from_iterable(damaged))


def _candidates(
    model: str, view: str, own: Path, kinds: Collection[str]
) -> Iterator[dict[str, Path]]:
    """Stores of a model and a view, by kind; those of masks may not exist."""
    for folder in sorted(WORK.glob(f"*/{model}/{view}/*/")):
        if folder != own:
            yield {kind: folder / f"{kind}.zarr" for kind in kinds}
    for split in sorted(path.name for path in CACHE.glob("features/*/")):
        yield _outputs(split, model, view, kinds)


def _replaced(
    model: str, view: str, own: Path, kinds: Collection[str]
) -> Iterator[dict[str, Path]]:
    """Outputs that DVC's cache has, and DVC has removed to make them again."""
    listings = recorded_listings()
    splits = {Path(name).parts[2] for name in listings if name.startswith(f"{CACHE}/features/")}
    for split in sorted(splits):
        outputs = _outputs(split, model, view, kinds)
        if any(path.exists() or path.as_posix() not in listings for path in outputs.values()):
            continue
        folder = own / f".{split}.{new_tag()}{SUFFIX}"  # gone with this process
        laid_out = {kind: folder / f"{kind}.zarr" for kind in kinds}
        if all(lay_out(listings[outputs[kind].as_posix()], laid_out[kind]) for kind in kinds):
            yield laid_out


def _outputs(split: str, model: str, view: str, kinds: Collection[str]) -> dict[str, Path]:
    found = {
        "features": features_path(split, model, view),
        "masks": masks_path(split, model, view),
    }
    return {kind: found[kind] for kind in kinds}
