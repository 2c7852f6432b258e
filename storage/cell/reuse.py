"""Rows that other cells hold already, found by what they were computed from.

A cell may hold some of the prompt sets that are asked for. Each serves by itself, if it was decoded
in the calls that would be made for it.
"""

from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import chain, groupby
from pathlib import Path
from typing import Final

import numpy as np

from pipeline.prompt_kinds import same_calls
from storage.cell.parts import Part
from storage.cell.recorded import lay_out, recorded_listings
from storage.cell.source import Source, open_source, prompts_of
from storage.errors import StoreError
from storage.folders import SUFFIX
from storage.paths import CACHE, WORK, features_path, masks_path
from storage.store.arrays import naming_damage
from storage.writers import new_tag

OF_A_SPLIT: Final = ("split", "objects_digest", "shard_objects")
"""Entries of a signature that say which rows there are; what a row holds follows from others."""


@dataclass(frozen=True, eq=False)
class _Place:
    """Where rows are, and which prompt sets are taken from there."""

    source: Source
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

    def add(self, source: Source, rows: Mapping[str, slice], prompts: Collection[str]) -> None:
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
    is_estimate
        Write nothing: what DVC's cache alone has does not count.
    """
    own_keys = (*OF_A_SPLIT, "prompts")
    asked = {key: value for key, value in signature.items() if key not in own_keys}
    kinds = ("features", "masks") if with_masks else ("features",)
    made = MadeRows(prompts_of(signature))
    model, view = str(asked["model"]), str(asked["view"])
    replaced = () if is_estimate else _replaced(model, view, own, kinds)
    for paths in chain(_candidates(model, view, own, kinds), replaced):
        lacking = {digest: names for digest in wanted if (names := made.lacking(digest))}
        if not lacking:
            break
        # `usam cache ls` and `verify` name the stores that cannot be used; others may remove one.
        with suppress(StoreError, FileNotFoundError):
            source = open_source(paths, asked)
            prompts = same_calls(made.prompts, source.prompts)
            missing = {digest for digest, names in lacking.items() if {*names} & {*prompts}}
            made.add(source, _find(source, missing), prompts)
    return made


def _find(source: Source, missing: Collection[str]) -> dict[str, slice]:
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
    by_shard = {digest: shard_of[rows.start] for digest, rows in found.items()}
    unusable = source.unusable(set(by_shard.values()))
    return {name: rows for name, rows in found.items() if by_shard[name] not in unusable}


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
