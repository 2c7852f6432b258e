"""Lists, writes and reads the shards of a cell in the pool.

::

    cache/pool/<digest of the settings>/settings.json                 the settings, readable
                                       /<inputs>.npz                  a shard's features
                                       /<inputs>.<digest>.masks       its masks, as Zarr keeps them

A shard exists if the file of its features exists. This file appears whole and after the masks, has
the digest of the masks, and never changes: a second process that computes the shard makes the same
bytes. So processes need not communicate, and a kill at any instant loses only unfinished shards.
"""

import io
import json
import zipfile
from collections.abc import Collection, Iterator, Mapping, Sequence
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
from storage.store.schema import FIXED_COORDINATES, SCHEMA, ArraySpec, Value, cell_specs
from storage.store.signature import DIGEST_CHARS, SOURCE, compare, digest, parse_signature
from storage.store.writing import check_names, checked, create_array, writable

OF_A_SPLIT: Final = ("split", "objects_digest", "shard_objects")
"""Signature entries that say which rows a store has, but nothing about the content of a row."""

SETTINGS: Final = "settings.json"
NPZ: Final = ".npz"
MASKS: Final = ".masks"

MAKER: Final = "maker"
"""Key in a shard's file: processor or GPU that computed it; empty if from published stores."""

MASKS_SHA256: Final = "masks_sha256"
"""Key in a shard's file: sha256 of its file of masks; empty for a cell without masks."""

SETTINGS_DIGEST: Final = "settings_digest"
"""Key in a shard's file: digest of the settings that made the shard, which names the folder, too.

A shard's file name does not contain its settings, and people copy files from folder to folder.
"""

DAMAGE: Final = (zipfile.BadZipFile, ValueError, KeyError, EOFError, OSError, RuntimeError)
"""Types of the errors that NumPy raises for a damaged ``.npz`` file; ``RuntimeError`` if the file
seems to be encrypted."""

ShardArrays = dict[str, np.ndarray]
"""Arrays of one shard by their names in the schema."""


@dataclass(frozen=True, eq=False)
class ShardRows:
    """Content of a shard's features file.

    Attributes
    ----------
    rows
        Arrays of a features store by name, coordinates excepted, with the shard's rows.
    maker
        Name of the processor or GPU that computed the shard; empty if taken from published stores.
    masks_sha256
        Sha256 of the file of masks; empty without masks.
    """

    rows: ShardArrays
    maker: str
    masks_sha256: str


@dataclass(frozen=True, eq=False)
class Cell:
    """One model on one split in one view, and its shards in the pool.

    Attributes
    ----------
    signature
        Signature of the cell's stores.
    sizes
        Sizes of the dimensions ``channel``, ``encoder_channel`` and, with masks, ``y`` and ``x``.
    assigned
        Names of the shards that this process computes; None means all shards.
    """

    signature: Mapping[str, object]
    split: PreparedSplit
    sizes: Mapping[str, int]
    pool: Path = POOL
    assigned: Collection[str] | None = None

    @property
    def kinds(self) -> tuple[str, ...]:
        """Kinds of the cell's stores: ``features`` and, with masks, ``masks``."""
        return ("features", "masks") if "y" in self.sizes else ("features",)

    @cached_property
    def settings(self) -> dict[str, Value]:
        """All that determines the bytes of a shard, apart from the shard's inputs."""
        return parse_signature({**of_rows(self.signature), "stores": self.kinds})

    @cached_property
    def settings_digest(self) -> str:
        """Digest of ``settings``, the name of the cell's folder in the pool."""
        return digest(self.settings)

    @property
    def folder(self) -> Path:
        """Folder in the pool of all shards with these settings, of any split."""
        return self.pool / self.settings_digest

    def fits(self, signature: Mapping[str, object]) -> bool:
        """Whether the rows of a published store with this signature were made by these settings."""
        settings = {key: value for key, value in self.settings.items() if key != "stores"}
        return compare(of_rows(signature), settings) is None

    def lacking(self) -> list[str]:
        """Names of the cell's shards that the pool lacks, in row order."""
        present = names_in(self.folder)
        return [name for name in self.split.shards if name not in present]

    def todo(self) -> list[str]:
        """Names of the shards that the pool lacks and this process must compute, in row order."""
        lacking = self.lacking()
        return [n for n in lacking if self.assigned is None or n in self.assigned]

    def features_path(self, name: str) -> Path:
        """Path of the file with a shard's features."""
        return self.folder / f"{name}{NPZ}"

    def masks_path(self, name: str, sha256: str) -> Path:
        """Path of the file with a shard's masks; ``sha256`` is that of the file."""
        return self.folder / f"{name}.{sha256[:DIGEST_CHARS]}{MASKS}"

    def put(self, name: str, rows: Mapping[str, np.ndarray], *, maker: str) -> None:
        """Write a computed shard to the pool, unless it exists.

        Parameters
        ----------
        rows
            Arrays of the cell's stores by name, coordinates excepted, with the shard's rows.
        maker
            Name of the processor or GPU.

        Raises
        ------
        StoreError
            If an array is missing or unexpected, has another dtype or shape than the schema says,
            or was computed from other inputs than the shard's name says.
        OSError
            If the disk is full (the message names the file).
        """
        arrays = self._checked(name, rows, self.kinds)
        if self.features_path(name).exists():
            return
        sha256 = ""
        if MASK_CODE in arrays:
            data = self._encoded(arrays.pop(MASK_CODE))
            sha256 = FileRecord.of(data).sha256
            put_file(self.masks_path(name, sha256), data)
        self._put_features(name, ShardRows(arrays, maker, sha256))

    def adopt(self, name: str, rows: ShardArrays, masks: tuple[Path, str] | None) -> None:
        """Put a shard of published stores into the pool; ``masks`` is a file and its sha256."""
        file, sha256 = masks or (None, "")
        if file is not None:
            put_link(file.resolve(), self.masks_path(name, sha256))
        arrays = self._checked(name, rows, ("features",))
        self._put_features(name, ShardRows(arrays, "", sha256))

    def read(self, name: str) -> ShardRows:
        """Read the features of a shard from the pool.

        Raises
        ------
        StoreError
            If the file is missing or damaged, or was copied from the folder of other settings.
        """
        path = self.features_path(name)
        try:
            # Opened explicitly because NumPy does not close a damaged file.
            with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
                rows = {key: archive[key] for key in archive.files}
                maker, sha256, settings = (
                    str(rows.pop(key)) for key in (MAKER, MASKS_SHA256, SETTINGS_DIGEST)
                )
            if settings != self.settings_digest:
                raise StoreError(f"rows of the settings {settings}, not {self.settings_digest}")
            return ShardRows(self._checked(name, rows, ("features",)), maker, sha256)
        except DAMAGE as error:
            raise StoreError(f"{path} must be features of a shard, got {error}") from error

    def drop(self, name: str) -> None:
        """Remove a damaged shard; hard links to its files elsewhere stay."""
        self.features_path(name).unlink(missing_ok=True)
        for path in self.folder.glob(f"{name}.*{MASKS}"):
            path.unlink(missing_ok=True)

    def _put_features(self, name: str, shard: ShardRows) -> None:
        settings = self.folder / SETTINGS
        if not settings.exists():
            put_file(settings, f"{json.dumps(self.settings, indent=1)}\n".encode())
        data = io.BytesIO()
        origin = {
            MAKER: np.array(shard.maker),
            MASKS_SHA256: np.array(shard.masks_sha256),
            SETTINGS_DIGEST: np.array(self.settings_digest),
        }
        # NumPy cannot save text of variable length.
        text = {k: np.array(v.tolist()) for k, v in shard.rows.items() if v.dtype.kind == "T"}
        np.savez(data, allow_pickle=False, **{**origin, **shard.rows, **text})
        put_file(self.features_path(name), data.getvalue(), is_first=True)

    def _checked(
        self, name: str, rows: Mapping[str, np.ndarray], kinds: Sequence[str]
    ) -> ShardArrays:
        """Check a shard's arrays against the schema, and their inputs against the shard's name."""
        shard = self.split.shards[name]
        by_kind = [shard_arrays(kind, self.signature) for kind in kinds]
        specs = {key: spec for arrays in by_kind for key, spec in arrays.items()}
        check_names(f"rows of shard {shard.index}", rows, set(specs))
        sizes = self._sizes | {"object": shard.stop - shard.start}
        arrays = {
            key: checked(key, spec, rows[key], tuple(sizes[dim] for dim in spec.dims))
            for key, spec in specs.items()
        }
        name_of_rows = shard_name(self.split.full_rows, map(str, arrays["input_sha256"]))
        if name_of_rows != name:
            raise StoreError(
                f"rows of shard {shard.index} must be of the inputs {name[:N_HEX]}, got those of "
                f"{name_of_rows[:N_HEX]}"
            )
        return arrays

    @property
    def _sizes(self) -> dict[str, int]:
        prompts = cast("Sequence[str]", self.signature["prompts"])
        fixed = {name: len(values) for name, values in FIXED_COORDINATES.items()}
        return {**fixed, **self.sizes, "prompt": len(prompts)}

    def _encoded(self, codes: np.ndarray) -> bytes:
        """Encode mask codes as the bytes of the file that Zarr would write for the shard."""
        sizes = self._sizes | {"object": self.split.full_rows}
        spec, files = SCHEMA["masks"][MASK_CODE], dict[str, Buffer]()
        group = zarr.create_group(MemoryStore(files), zarr_format=3)
        create_array(group, MASK_CODE, spec, chunk_grid(spec, sizes, self.split.full_rows))
        writable(group, MASK_CODE)[: len(codes)] = codes
        return files[mask_file(0)].to_bytes()


def of_rows(signature: Mapping[str, object]) -> dict[str, object]:
    """Signature entries that determine the content of a row; a ladder's model gets its own family.

    >>> of_rows({"family": "releases", "model": "edgetam", "source": ["edgetam", "tiny"]})
    {'family': 'edgetam', 'model': 'tiny'}
    """
    skipped = (*OF_A_SPLIT, SOURCE)
    entries = {key: value for key, value in signature.items() if key not in skipped}
    source = cast("Sequence[str]", signature.get(SOURCE, ()))
    return entries | dict(zip(("family", "model"), source, strict=False))


def shard_arrays(kind: str, signature: Mapping[str, object]) -> dict[str, ArraySpec]:
    """Specifications of the arrays that are computed shard by shard, for a kind of store."""
    specs = cell_specs(kind, signature["view"])
    return {name: spec for name, spec in specs.items() if not spec.is_constant}


def names_in(folder: Path) -> set[str]:
    """Names of all shards in one folder of the pool."""
    return {path.stem for path in folder.glob(f"*{NPZ}")}


def settings_of(
    names: Collection[str], entries: Mapping[str, object], pool: Path = POOL
) -> Iterator[dict[str, Any]]:
    """Yield settings that contain ``entries`` and under which the pool has one of the named shards.

    The settings serve messages alone; they come from the readable ``settings.json`` files.
    """
    for path in sorted(pool.glob(f"*/{SETTINGS}")):
        with suppress(OSError, ValueError, RecursionError):
            settings = json.loads(path.read_bytes())
            if not isinstance(settings, dict) or compare(settings, entries) is not None:
                continue
            # Not listed: a folder has the shards of all splits.
            if any((path.parent / f"{name}{NPZ}").exists() for name in names):
                yield settings
