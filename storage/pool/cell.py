"""Lists, writes and reads the shards of a cell in the pool.

::

    cache/pool/<digest of the settings>/settings.json                 the settings, readable
                                       /<inputs>.npz                  a shard's features
                                       /<inputs>.<digest>.masks       its masks, as Zarr keeps them

A shard exists if the file of its features exists. This file appears whole and after the masks, has
the digest of the masks, and never changes: a second process that computes the shard makes the same
bytes. So no process asks another, and a kill at any instant costs the shards in the making.
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
"""Entries of a signature that tell which rows a store has, but nothing about their content."""

SETTINGS: Final = "settings.json"
NPZ: Final = ".npz"
MASKS: Final = ".masks"

MAKER: Final = "maker"
"""Array beside the rows: name of the processor or GPU; empty for shards of published stores."""

MASKS_SHA256: Final = "masks_sha256"
"""Array beside the rows: digest of the file of masks; empty for a cell without masks."""

SETTINGS_DIGEST: Final = "settings_digest"
"""Array beside the rows: digest of the settings that made them, the name of the folder.

A shard's own name says nothing of its settings, and people copy files from folder to folder.
"""

DAMAGE: Final = (zipfile.BadZipFile, ValueError, KeyError, EOFError, OSError, RuntimeError)
"""Errors of NumPy at a damaged archive; ``RuntimeError`` if it seems to be encrypted."""

ShardArrays = dict[str, np.ndarray]
"""Arrays of a shard by name."""


@dataclass(frozen=True, eq=False)
class ShardRows:
    """Features of a shard.

    Attributes
    ----------
    rows
        The arrays of a features store that have rows and are no coordinates, by name.
    maker
        Name of the processor or GPU that computed the shard.
    masks_sha256
        Digest of the file of masks.
    """

    rows: ShardArrays
    maker: str
    masks_sha256: str


@dataclass(frozen=True, eq=False)
class Cell:
    """One model on one split in one view: its shards in the pool.

    Attributes
    ----------
    signature
        Signature of its stores.
    sizes
        Sizes of ``channel``, ``encoder_channel`` and, with masks, ``y`` and ``x``.
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
        """Kinds of the cell's stores."""
        return ("features", "masks") if "y" in self.sizes else ("features",)

    @cached_property
    def settings(self) -> dict[str, Value]:
        """All that determines the bytes of a shard, apart from the shard's inputs."""
        return parse_signature({**of_rows(self.signature), "stores": self.kinds})

    @cached_property
    def settings_digest(self) -> str:
        """Digest of its settings."""
        return digest(self.settings)

    @property
    def folder(self) -> Path:
        """Folder of all shards with the same settings, whatever their split."""
        return self.pool / self.settings_digest

    def fits(self, signature: Mapping[str, object]) -> bool:
        """Whether a published store with this signature has the rows of these settings."""
        settings = {key: value for key, value in self.settings.items() if key != "stores"}
        return compare(of_rows(signature), settings) is None

    def lacking(self) -> list[str]:
        """Names of the missing shards, in row order."""
        present = names_in(self.folder)
        return [name for name in self.split.shards if name not in present]

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
        """Write a shard, unless it exists.

        Parameters
        ----------
        rows
            The arrays of the cell's stores that have rows and are no coordinates, by name.
        maker
            Name of the processor or GPU.

        Raises
        ------
        StoreError
            If an array is missing, unexpected, or of another dtype, shape or input than planned.
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
        """Put a shard of published stores into the pool; ``masks`` are a file and its digest."""
        file, sha256 = masks or (None, "")
        if file is not None:
            put_link(file.resolve(), self.masks_path(name, sha256))
        arrays = self._checked(name, rows, ("features",))
        self._put_features(name, ShardRows(arrays, "", sha256))

    def read(self, name: str) -> ShardRows:
        """Read the features of a shard.

        Raises
        ------
        StoreError
            If the file is missing, damaged, or a shard of other settings, copied here.
        """
        path = self.features_path(name)
        try:
            # Opened here because NumPy leaves a damaged file open.
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
        """Arrays of a shard, checked against the schema and its name."""
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
        """Bytes of the file of a shard's masks."""
        sizes = self._sizes | {"object": self.split.full_rows}
        spec, files = SCHEMA["masks"][MASK_CODE], dict[str, Buffer]()
        group = zarr.create_group(MemoryStore(files), zarr_format=3)
        create_array(group, MASK_CODE, spec, chunk_grid(spec, sizes, self.split.full_rows))
        writable(group, MASK_CODE)[: len(codes)] = codes
        return files[mask_file(0)].to_bytes()


def of_rows(signature: Mapping[str, object]) -> dict[str, object]:
    """Entries that determine the content of rows; a ladder's model is named as in its own family.

    >>> of_rows({"family": "releases", "model": "edgetam", "source": ["edgetam", "tiny"]})
    {'family': 'edgetam', 'model': 'tiny'}
    """
    skipped = (*OF_A_SPLIT, SOURCE)
    entries = {key: value for key, value in signature.items() if key not in skipped}
    source = cast("Sequence[str]", signature.get(SOURCE, ()))
    return entries | dict(zip(("family", "model"), source, strict=False))


def shard_arrays(kind: str, signature: Mapping[str, object]) -> dict[str, ArraySpec]:
    """Arrays of a cell's store of a kind that are computed shard by shard."""
    specs = cell_specs(kind, signature["view"])
    return {name: spec for name, spec in specs.items() if not spec.is_constant}


def names_in(folder: Path) -> set[str]:
    """Names of all shards in a folder of the pool."""
    return {path.stem for path in folder.glob(f"*{NPZ}")}


def settings_of(
    names: Collection[str], entries: Mapping[str, object], pool: Path = POOL
) -> Iterator[dict[str, Any]]:
    """Readable settings with these entries under which some of these shards exist.

    They serve messages alone: no shard is found by them.
    """
    for path in sorted(pool.glob(f"*/{SETTINGS}")):
        with suppress(OSError, ValueError, RecursionError):
            settings = json.loads(path.read_bytes())
            if not isinstance(settings, dict) or compare(settings, entries) is not None:
                continue
            # Not listed: a folder has the shards of all splits.
            if any((path.parent / f"{name}{NPZ}").exists() for name in names):
                yield settings
