"""The shards of a cell in the pool: lists, keeps, reads and compares them.

::

    cache/pool/<digest of the settings>/settings.json                 the settings, readable
                                       /<inputs>.npz                  a shard's features
                                       /<inputs>.<digest>.masks       its masks, as Zarr keeps them

A shard is there if its features are. They appear whole, after its masks, name these by their
digest, and never change: who comes second has made the same. So no process asks another, and a kill
at any instant costs the shards in hand.
"""

import io
import json
import zipfile
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final, cast

import numpy as np
import zarr
from zarr.abc.buffer import Buffer
from zarr.storage import MemoryStore

from storage.errors import N_HEX, StoreError
from storage.files.manifest import FileRecord
from storage.folders import put_file, put_link
from storage.paths import POOL
from storage.split.object_table import PreparedSplit, shard_name
from storage.store.chunk_grid import MASK_CODE, chunk_grid, mask_file
from storage.store.schema import FIXED_COORDINATES, SCHEMA, ArraySpec, Value
from storage.store.signature import DIGEST_CHARS, SOURCE, compare, digest, parse_signature
from storage.store.writing import check_names, checked, create_array, writable

OF_A_SPLIT: Final = ("split", "objects_digest", "shard_objects")
"""Entries of a signature that say which rows exist, not what they hold."""

SETTINGS: Final = "settings.json"
NPZ: Final = ".npz"
MASKS: Final = ".masks"

PUBLISHED: Final = "published"
"""Folder beside the shards, with a list of those that were published together, for each time."""

MAKER: Final = "maker"
"""Beside the rows: name of the processor or GPU; empty for rows of published stores."""

MASKS_SHA256: Final = "masks_sha256"
"""Beside the rows: digest of the file of the masks; empty where there are none."""

DAMAGE: Final = (zipfile.BadZipFile, ValueError, KeyError, EOFError, OSError, RuntimeError)
"""What NumPy raises for a damaged archive, a ``RuntimeError`` if it seems to be encrypted."""

Rows = dict[str, np.ndarray]


@dataclass(frozen=True, eq=False)
class ShardRows:
    """Features of a shard.

    Attributes
    ----------
    rows
        Every array of the features store that has rows and is no coordinate.
    """

    rows: Rows
    maker: str
    masks_sha256: str


@dataclass(frozen=True, eq=False)
class Cell:
    """One model on one split in one view: its shards in the pool.

    Attributes
    ----------
    signature
        Of its stores.
    sizes
        Of ``channel``, ``encoder_channel`` and, with masks, ``y`` and ``x``.
    assigned
        Names of the shards that this process computes; None is all.
    """

    signature: Mapping[str, object]
    split: PreparedSplit
    sizes: Mapping[str, int]
    pool: Path = POOL
    assigned: Collection[str] | None = None

    @property
    def kinds(self) -> tuple[str, ...]:
        """Kinds of its stores."""
        return ("features", "masks") if "y" in self.sizes else ("features",)

    @cached_property
    def settings(self) -> dict[str, Value]:
        """All that determines its shards' bytes, apart from their inputs."""
        return parse_signature({**of_rows(self.signature), "stores": self.kinds})

    @cached_property
    def folder(self) -> Path:
        """Folder of all shards of the same settings, of any split."""
        return self.pool / digest(self.settings)

    def fits(self, signature: Mapping[str, object]) -> bool:
        """Whether a published store with this signature has the rows of these settings."""
        settings = {key: value for key, value in self.settings.items() if key != "stores"}
        return compare(of_rows(signature), settings) is None

    def lacking(self) -> list[str]:
        """Names of the missing shards, in row order."""
        there = names_in(self.folder)
        return [name for name in self.split.shards if name not in there]

    def todo(self) -> list[str]:
        """Names of the missing shards that are assigned to this process, in row order."""
        lacking = self.lacking()
        return [n for n in lacking if self.assigned is None or n in self.assigned]

    def features_path(self, name: str) -> Path:
        """File of a shard's features."""
        return self.folder / f"{name}{NPZ}"

    def masks_path(self, name: str, sha256: str) -> Path:
        """File of a shard's masks with this digest."""
        return self.folder / f"{name}.{sha256[:DIGEST_CHARS]}{MASKS}"

    def put(self, name: str, rows: Mapping[str, np.ndarray], *, maker: str) -> None:
        """Keep a shard, unless it exists.

        Parameters
        ----------
        rows
            Every array of its stores that has rows and is no coordinate, by name.
        maker
            Name of the processor or GPU.

        Raises
        ------
        StoreError
            If an array is missing, unexpected, or of another dtype, shape or input than planned.
        OSError
            If the disk is full (the message names the file).
        """
        kept = self._checked(name, rows, self.kinds)
        if self.features_path(name).exists():
            return
        sha256 = ""
        if MASK_CODE in kept:
            data = self._encoded(kept.pop(MASK_CODE))
            sha256 = FileRecord.of(data).sha256
            put_file(self.masks_path(name, sha256), data)
        self._put_features(name, ShardRows(kept, maker, sha256))

    def adopt(self, name: str, rows: Rows, masks: tuple[Path, str] | None) -> None:
        """Keep a shard of published stores, whose masks, a file and its digest, are linked."""
        file, sha256 = masks or (None, "")
        if file is not None:
            put_link(file.resolve(), self.masks_path(name, sha256))
        kept = self._checked(name, rows, ("features",))
        self._put_features(name, ShardRows(kept, "", sha256))

    def read(self, name: str) -> ShardRows:
        """Features of a shard.

        Raises
        ------
        StoreError
            If they are missing or damaged.
        """
        path = self.features_path(name)
        try:
            # Opened here because NumPy leaves a damaged file open.
            with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
                rows = {key: archive[key] for key in archive.files}
                maker, sha256 = str(rows.pop(MAKER)), str(rows.pop(MASKS_SHA256))
            return ShardRows(self._checked(name, rows, ("features",)), maker, sha256)
        except DAMAGE as error:
            raise StoreError(f"{path} must be features of a shard, got {error}") from error

    def drop(self, name: str) -> None:
        """Remove a damaged shard; links to it elsewhere stay."""
        self.features_path(name).unlink(missing_ok=True)
        for path in self.folder.glob(f"{name}.*{MASKS}"):
            path.unlink(missing_ok=True)

    def note_published(self, names: Iterable[str]) -> None:
        """Keep a list of shards that were published together, see ``PUBLISHED``."""
        # By its content: the signature of a cell stays as it is where an image is repaired.
        data = f"{json.dumps([*names])}\n".encode()
        name = FileRecord.of(data).sha256[:DIGEST_CHARS]
        put_file(self.folder / PUBLISHED / f"{name}.json", data)

    def _put_features(self, name: str, shard: ShardRows) -> None:
        settings = self.folder / SETTINGS
        if not settings.exists():
            put_file(settings, f"{json.dumps(self.settings, indent=1)}\n".encode())
        data = io.BytesIO()
        own = {MAKER: np.array(shard.maker), MASKS_SHA256: np.array(shard.masks_sha256)}
        # NumPy has no files of text of any length.
        text = {k: np.array(v.tolist()) for k, v in shard.rows.items() if v.dtype.kind == "T"}
        np.savez(data, allow_pickle=False, **{**own, **shard.rows, **text})
        put_file(self.features_path(name), data.getvalue(), is_first=True)

    def _checked(self, name: str, rows: Mapping[str, np.ndarray], kinds: Sequence[str]) -> Rows:
        """Arrays of a shard, checked against the schema and its name."""
        shard = self.split.shards[name]
        specs = {key: spec for kind in kinds for key, spec in shard_arrays(kind).items()}
        check_names(f"rows of shard {shard.index}", rows, set(specs))
        sizes = self._sizes | {"object": shard.stop - shard.start}
        kept = {
            key: checked(key, spec, rows[key], tuple(sizes[dim] for dim in spec.dims))
            for key, spec in specs.items()
        }
        found = shard_name(self.split.full_rows, map(str, kept["input_sha256"]))
        if found != name:
            raise StoreError(
                f"rows of shard {shard.index} must be of the inputs {name[:N_HEX]}, got those of "
                f"{found[:N_HEX]}"
            )
        return kept

    @property
    def _sizes(self) -> dict[str, int]:
        prompts = cast("Sequence[str]", self.signature["prompts"])
        fixed = {name: len(values) for name, values in FIXED_COORDINATES.items()}
        return {**fixed, **self.sizes, "prompt": len(prompts)}

    def _encoded(self, codes: np.ndarray) -> bytes:
        """File of a shard of masks."""
        sizes = self._sizes | {"object": self.split.full_rows}
        spec, files = SCHEMA["masks"][MASK_CODE], dict[str, Buffer]()
        group = zarr.create_group(MemoryStore(files), zarr_format=3)
        create_array(group, MASK_CODE, spec, chunk_grid(spec, sizes, self.split.full_rows))
        writable(group, MASK_CODE)[: len(codes)] = codes
        return files[mask_file(0)].to_bytes()


def of_rows(signature: Mapping[str, object]) -> dict[str, object]:
    """Entries that say what the rows of a cell hold: a ladder's are those of a family's model.

    >>> of_rows({"family": "releases", "model": "edgetam", "source": ["edgetam", "tiny"]})
    {'family': 'edgetam', 'model': 'tiny'}
    """
    rest = {key: value for key, value in signature.items() if key not in (*OF_A_SPLIT, SOURCE)}
    named = cast("Sequence[str]", signature.get(SOURCE, ()))
    return rest | dict(zip(("family", "model"), named, strict=False))


def shard_arrays(kind: str) -> dict[str, ArraySpec]:
    """Arrays of a kind of store that come shard by shard."""
    return {name: spec for name, spec in SCHEMA[kind].items() if not spec.is_constant}


def names_in(folder: Path) -> set[str]:
    """Names of all shards of the same settings."""
    return {path.stem for path in folder.glob(f"*{NPZ}")}


def settings_of(names: Collection[str], pool: Path = POOL) -> Iterator[dict[str, Any]]:
    """Settings under which some of these shards exist, if they can be read.

    No shard is used by them.
    """
    for path in sorted(pool.glob(f"*/{SETTINGS}")):
        with suppress(OSError, ValueError):
            settings = json.loads(path.read_bytes())
            if isinstance(settings, dict) and not names_in(path.parent).isdisjoint(names):
                yield settings
