"""Lists, writes and reads the shards of a cell in the pool, the folder of all cells' shards.

::

    cache/pool/<digest of the settings>/settings.json                 the settings, readable
                                       /<in>/<inputs>.npz             a shard's features
                                       /<in>/<inputs>.<digest>.masks  its masks, as Zarr keeps them
                                       /<in>/<inputs>.<digest>.level  a level of its embeddings

``<in>`` are the first two digits of the name: no folder gets too many files. A shard of embeddings
has facts about its images in place of features. A shard exists if its ``.npz`` file exists. This
file appears whole and after its masks or levels, has their digests, and never changes: a second
process that computes the shard makes the same rows. So processes need not communicate, and a kill
at any instant loses only unfinished shards.
"""

import io
import json
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Final, cast

import numpy as np
import zarr
from zarr.abc.buffer import Buffer
from zarr.storage import MemoryStore

from pipeline.embeddings import StoredEmbedding
from pipeline.sam.families import FAMILIES
from storage.errors import N_HEX, StoreError
from storage.files.manifest import FileRecord
from storage.folders import put_file, put_link
from storage.paths import POOL
from storage.split.cell_name import CellName
from storage.split.sharded_table import ShardedTable, shard_name
from storage.store.chunk_grid import MASK_CODE, chunk_grid, shard_file
from storage.store.embedding_rows import embedding_of
from storage.store.mask_chunks import read_chunk
from storage.store.opening import naming_damage
from storage.store.schema import FIXED_COORDINATES, ArraySpec, Value, cell_specs, specs_of
from storage.store.signature import DIGEST_CHARS, compare, digest, parse_signature
from storage.store.writing import check_names, checked, create_array, writable

OF_A_SPLIT: Final = (
    *("split", "objects_digest", "shard_objects"),
    *("images_digest", "shard_images"),
)
"""Signature entries that say which rows a store has, but nothing about the content of a row."""

SETTINGS: Final = "settings.json"
NPZ: Final = ".npz"
MASKS: Final = ".masks"
LEVEL: Final = ".level"

MAKER: Final = "maker"
"""Key in a shard's file: processor or GPU that computed it; empty if from published stores."""

MASKS_SHA256: Final = "masks_sha256"
"""Key in a shard's file: sha256 of its file of masks; empty for a cell without masks."""

SETTINGS_DIGEST: Final = "settings_digest"
"""Key in a shard's file: digest of the settings that made the shard, which names the folder, too. A
shard's file name does not contain its settings, and people copy files from folder to folder."""

WORK: Final = ("host", "job", "seconds")
"""Keys in a shard's file: the host and the job of SLURM that computed the shard, and the seconds
since its process began to compute shards, or to write the shard before. No result has them; earlier
shards lack them."""

Work = Mapping[str, str]
"""The values of ``WORK``."""

NO_WORK: Final[Work] = MappingProxyType({})

DAMAGE: Final = (zipfile.BadZipFile, ValueError, KeyError, EOFError, OSError, RuntimeError)
"""Types of the errors that NumPy raises for a damaged ``.npz`` file; ``RuntimeError`` if the file
seems to be encrypted."""

ShardArrays = dict[str, np.ndarray]
"""Arrays of one shard by their names in the schema."""


@dataclass(frozen=True, eq=False)
class ShardRows:
    """Content of a shard's ``.npz`` file.

    Attributes
    ----------
    rows
        Arrays with the shard's rows by name: of a features store without coordinates, or of an
        embeddings store without coordinates and levels.
    maker
        Name of the processor or GPU that computed the shard; empty if taken from published stores.
    files_sha256
        Sha256 of the file of masks, or of each level's file, by the name of its array.
    """

    rows: ShardArrays
    maker: str
    files_sha256: Mapping[str, str]


@dataclass(frozen=True, eq=False)
class Cell:
    """All that determines the bytes of a cell, or of a model's embeddings; access to its shards.

    Attributes
    ----------
    signature
        Signature of the cell's stores.
    split
        The rows of the stores, cut into shards: objects or, for embeddings, images.
    sizes
        Sizes of the dimensions of tokens, masks and levels, see ``Family.sizes``.
    pool
        Folder of the pool, which has a folder of shards for each ``settings_digest``.
    """

    name: CellName
    signature: Mapping[str, object]
    split: ShardedTable
    sizes: Mapping[str, int]
    pool: Path = POOL

    def __str__(self) -> str:
        return str(self.name)

    @property
    def kinds(self) -> tuple[str, ...]:
        """Kinds of the stores: ``features`` and, with masks, ``masks``; or ``embeddings`` alone."""
        return tuple(self.name.outputs)

    def part(self, first: int, stop: int) -> "Cell":
        """The cell's shards from ``first`` to before ``stop`` alone, see ``ShardedTable.part``."""
        return replace(self, split=self.split.part(first, stop))

    @cached_property
    def sharded(self) -> dict[str, ArraySpec]:
        """Declarations of the arrays with a file of their own per shard, by name: masks, levels."""
        by_kind = [shard_arrays(kind, self.signature, sharded=True) for kind in self.kinds]
        return {name: spec for arrays in by_kind for name, spec in arrays.items()}

    @cached_property
    def settings(self) -> dict[str, Value]:
        """Entries that determine the bytes of a shard, apart from its images, masks and clicks."""
        return parse_signature({**of_rows(self.signature), "stores": self.kinds})

    @cached_property
    def settings_digest(self) -> str:
        """Digest of ``settings``, the name of the cell's folder in the pool."""
        return digest(self.settings)

    @property
    def folder(self) -> Path:
        """Folder in the pool of all shards with these settings, of any split."""
        return self.pool / self.settings_digest

    def difference(self, signature: Mapping[str, object]) -> str | None:
        """Describe how a store's settings differ from the cell's; None if they do not."""
        settings = {key: value for key, value in self.settings.items() if key != "stores"}
        return compare(of_rows(signature), settings)

    def lacking(self) -> list[str]:
        """Names of the cell's shards that the pool lacks, in row order."""
        present = names_in(self.folder)
        return [name for name in self.split.shards if name not in present]

    def rows_path(self, name: str) -> Path:
        """Path of a shard's ``.npz`` file."""
        return subfolder(self.folder, name) / f"{name}{NPZ}"

    def array_path(self, name: str, sha256: str) -> Path:
        """Path of the file with a shard's masks or one of its levels; ``sha256`` is the file's."""
        file = f"{name}.{sha256[:DIGEST_CHARS]}{self._suffix}"
        return subfolder(self.folder, name) / file

    @property
    def _suffix(self) -> str:
        return LEVEL if self.name.is_embeddings else MASKS

    @property
    def _file_keys(self) -> dict[str, str]:
        """Key in a shard's ``.npz`` file for the sha256 of an array's own file, by array.

        Features without masks have the key of masks, too, with an empty text.
        """
        named = {array: f"{array}_sha256" for array in self.sharded}
        return named if self.name.is_embeddings else {MASK_CODE: MASKS_SHA256}

    def put(
        self, name: str, rows: Mapping[str, np.ndarray], *, maker: str, work: Work = NO_WORK
    ) -> None:
        """Write a computed shard to the pool, unless the pool has it; ``name`` is the shard's name.

        ``rows`` has the shard's arrays of the cell's stores by name, coordinates excepted;
        ``maker`` is the name of the processor or GPU; ``work`` has the entries ``WORK``.

        Raises
        ------
        StoreError
            If an array is missing or unexpected, has another dtype or shape than the schema says,
            or was computed from other inputs than the shard's name says.
        OSError
            If the disk is full (the message names the file).
        """
        arrays = self._checked(name, rows, with_files=True)
        if self.rows_path(name).exists():
            return
        files_sha256 = {}
        for array in self.sharded:
            data = self._encoded(array, arrays.pop(array))
            files_sha256[array] = FileRecord.of(data).sha256
            put_file(self.array_path(name, files_sha256[array]), data)
        self._put_rows(name, ShardRows(arrays, maker, files_sha256), work)

    def adopt(self, name: str, rows: ShardArrays, files: Mapping[str, tuple[Path, str]]) -> None:
        """Put a shard of published stores into the pool; its ``files`` are linked and not read.

        ``rows`` are those of the stores, and refused as by ``put``. ``files`` has the
        file with the shard's masks, or with each level, and its sha256, by array.
        """
        for file, sha256 in files.values():
            put_link(file.resolve(), self.array_path(name, sha256))
        files_sha256 = {array: sha256 for array, (_, sha256) in files.items()}
        arrays = self._checked(name, rows, with_files=False)
        self._put_rows(name, ShardRows(arrays, "", files_sha256), NO_WORK)

    def read(self, name: str) -> ShardRows:
        """Read a shard from the pool, without its masks or levels.

        Raises a StoreError if the ``.npz`` file is missing or damaged, or of other settings or
        inputs.
        """
        path = self.rows_path(name)
        try:
            # Opened explicitly because NumPy does not close a damaged file.
            with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
                rows = {key: archive[key] for key in archive.files if key not in WORK}
                maker, settings = (str(rows.pop(key)) for key in (MAKER, SETTINGS_DIGEST))
                digests = {array: str(rows.pop(key)) for array, key in self._file_keys.items()}
            if settings != self.settings_digest:
                raise StoreError(f"rows of the settings {settings}, not {self.settings_digest}")
            files_sha256 = {array: sha256 for array, sha256 in digests.items() if sha256}
            return ShardRows(self._checked(name, rows, with_files=False), maker, files_sha256)
        except DAMAGE as error:
            raise StoreError(f"{path} must be rows of a shard, got {error}") from error

    def drop(self, name: str) -> None:
        """Remove the files of a shard, if any, from the pool; hard links to them elsewhere stay."""
        self.rows_path(name).unlink(missing_ok=True)
        for path in subfolder(self.folder, name).glob(f"{name}.*{self._suffix}"):
            path.unlink(missing_ok=True)

    def _put_rows(self, name: str, shard: ShardRows, work: Work) -> None:
        settings = self.folder / SETTINGS
        if not settings.exists():
            put_file(settings, f"{json.dumps(self.settings, indent=1)}\n".encode())
        data = io.BytesIO()
        origin = {
            MAKER: np.array(shard.maker),
            **{
                key: np.array(shard.files_sha256.get(array, ""))
                for array, key in self._file_keys.items()
            },
            SETTINGS_DIGEST: np.array(self.settings_digest),
            **{key: np.array(value) for key, value in work.items()},
        }
        # NumPy cannot save text of variable length.
        text = {k: np.array(v.tolist()) for k, v in shard.rows.items() if v.dtype.kind == "T"}
        np.savez(data, allow_pickle=False, **{**origin, **shard.rows, **text})
        put_file(self.rows_path(name), data.getvalue(), is_first=True)

    def _checked(
        self, name: str, rows: Mapping[str, np.ndarray], *, with_files: bool
    ) -> ShardArrays:
        """Return the arrays of a shard by name, checked: types, shapes, digests of their inputs.

        The shard's name is a hash of these digests. ``with_files`` says whether ``rows`` has the
        arrays in ``sharded``. Raises a StoreError if an array is missing or of another type or
        shape, or the inputs are of another shard.
        """
        shard = self.split.shards[name]
        specs = shard_arrays(self.kinds[0], self.signature, sharded=False)
        specs |= self.sharded if with_files else {}
        check_names(f"rows of shard {shard.index}", rows, set(specs))
        sizes = self.dim_sizes | {self.split.dim: shard.stop - shard.start}
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
    def dim_sizes(self) -> dict[str, int]:
        """Sizes of the dimensions of a shard's arrays but ``object`` and ``image``, by name."""
        prompts = cast("Sequence[str]", self.signature.get("prompts", ()))
        fixed = {name: len(values) for name, values in FIXED_COORDINATES.items()}
        return {**fixed, **self.sizes, "prompt": len(prompts)}

    def _encoded(self, array: str, values: np.ndarray) -> bytes:
        """Encode an array as the bytes of the file that Zarr would write for the shard."""
        sizes = self.dim_sizes | {self.split.dim: self.split.full_rows}
        spec, files = self.sharded[array], dict[str, Buffer]()
        group = zarr.create_group(MemoryStore(files), zarr_format=3)
        create_array(group, array, spec, chunk_grid(spec, sizes, self.split.full_rows))
        writable(group, array)[: len(values)] = values
        return files[shard_file(array, spec, 0)].to_bytes()

    def read_embedding(self, image: int) -> StoredEmbedding | None:
        """Read the embedding of the image in row ``image`` from the pool; None if it is not there.

        Raises a StoreError if a file of the shard is missing or damaged.
        """
        name = self.split.names[image // self.split.shard_rows]
        if not self.rows_path(name).exists():
            return None
        shard, row = self.read(name), image % self.split.shard_rows
        levels = {
            array: self._chunk(self.array_path(name, sha256), array, row)
            for array, sha256 in shard.files_sha256.items()
        }
        return embedding_of(shard.rows, row, levels, where=f"row {row} of {self.rows_path(name)}")

    def _chunk(self, path: Path, array: str, row: int) -> np.ndarray:
        """Read one row of an array, from the file that holds a shard's rows of this array."""
        spec = self.sharded[array]
        level = np.empty([self.dim_sizes[dim] for dim in spec.dims[1:]], spec.dtype)
        with naming_damage(path), path.open("rb") as file:
            read_chunk(file, row, self.split.full_rows, level)
        return level


def of_rows(signature: Mapping[str, object]) -> dict[str, object]:
    """Signature entries that determine the content of a row."""
    return {key: value for key, value in signature.items() if key not in OF_A_SPLIT}


def store_specs(kind: str, signature: Mapping[str, object]) -> dict[str, ArraySpec]:
    """Declarations of the arrays of a cell's store, by name.

    Of the cell's ``signature``, ``levels`` decides for embeddings, else ``view``, ``prompts`` and
    ``family``.
    """
    if kind == "embeddings":
        return specs_of(kind, cast("Sequence[str]", signature["levels"]))
    prompts = cast("Sequence[str]", signature["prompts"])
    family = FAMILIES[str(signature["family"])]
    view, has_object_score = str(signature["view"]), family.has_object_score
    return cell_specs(kind, view, prompts, has_object_score=has_object_score)


def shard_arrays(
    kind: str, signature: Mapping[str, object], *, sharded: bool
) -> dict[str, ArraySpec]:
    """Declarations of the arrays of a cell's store that are computed shard by shard, by name.

    They are those with a file of their own per shard (masks, levels), or all others.
    """
    return {
        name: spec
        for name, spec in store_specs(kind, signature).items()
        if not spec.is_constant and (spec.chunking == "single_rows") == sharded
    }


def subfolder(folder: Path, name: str) -> Path:
    """Folder with the files of a shard, or of a file that begins with its name: one of 256."""
    return folder / name[:2]


def names_in(folder: Path) -> set[str]:
    """Names of all shards in one folder of the pool; none if there is no such folder."""
    return {path.stem for path in folder.glob(f"*/*{NPZ}")}
