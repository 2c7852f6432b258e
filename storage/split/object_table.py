"""Reads and writes the table of a split's images and objects, and plans and names its shards."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import ClassVar, Final

import numpy as np
from jaxtyping import Bool, Float32, Int32, Int64, Shaped

from pipeline.extraction.shards import Piece, Shard, plan_shards
from storage.errors import StoreError
from storage.paths import CACHE, located, objects_path, remedy
from storage.rle import decode_rle
from storage.split.image_rows import ImageRows, shard_name
from storage.store.opening import open_complete, read_array
from storage.store.schema import FIXED_COORDINATES, SCHEMA, ArraySpec
from storage.store.writing import checked, write_store

TABLE_ARRAYS: Final = tuple(name for name in SCHEMA["objects"] if name not in FIXED_COORDINATES)
"""Names of the arrays of an ``ObjectTable``, in the order of the schema."""


@dataclass(frozen=True, eq=False)
class ObjectTable:
    """Images, objects, ground truth and clicks of a split, in arrays named as in the schema.

    ``signature`` is that of the objects store, empty for a table that was not read from a store.
    ``annotator`` is None where one person outlined each image.

    Raises
    ------
    StoreError
        If objects are not sorted by image, or an image index is out of range.
    """

    file: Shaped[np.ndarray, " image"]
    height_px: Int32[np.ndarray, " image"]
    width_px: Int32[np.ndarray, " image"]
    image_sha256: Shaped[np.ndarray, " image"]
    image_index: Int32[np.ndarray, " object"]
    object_id: Int64[np.ndarray, " object"]
    area_px: Int64[np.ndarray, " object"]
    box_px: Float32[np.ndarray, "object 4"]
    mask_rle: Shaped[np.ndarray, " object"]
    point_px: Int32[np.ndarray, "object 8 2"]
    annotator: Int32[np.ndarray, " object"] | None = None
    signature: Mapping[str, object] = field(default_factory=dict)

    def __post_init__(self) -> None:
        index = self.image_index
        if np.any(np.diff(index) < 0) or np.any((index < 0) | (index >= len(self.file))):
            raise StoreError(
                f"image_index must rise from 0 to {len(self.file) - 1} at most, got {index}"
            )

    @property
    def arrays(self) -> dict[str, np.ndarray]:
        """Arrays by their names in the schema, without optional arrays that the table lacks."""
        arrays = {name: getattr(self, name) for name in TABLE_ARRAYS}
        return {name: array for name, array in arrays.items() if array is not None}

    @property
    def n_objects(self) -> int:
        """Number of objects, and of the rows of the split's features, masks and entropies."""
        return len(self.object_id)

    def truth(self, row: int) -> Bool[np.ndarray, "h w"]:
        """Ground truth mask of the object in a row, at the size of its image."""
        image = self.image_index[row]
        height, width = int(self.height_px[image]), int(self.width_px[image])
        return decode_rle(str(self.mask_rle[row]), height, width)

    @cached_property
    def digest(self) -> str:
        """Sha256 of all arrays except ``image_sha256``, in hex.

        The content of images is part of the names of shards instead, so that a repaired image
        recomputes its shards, not the whole cell.
        """
        total = hashlib.sha256()
        for name, array in self.arrays.items():
            if name != "image_sha256":
                total.update(f"{name}:{_array_sha256(name, array)};".encode())
        return total.hexdigest()


def read_objects(where: str | Path, expected: Mapping[str, object] | None = None) -> ObjectTable:
    """Read the objects store of a split; its signature must have the entries ``expected``.

    Raises a StoreError if the store is missing, out of reach, damaged, empty or of another schema
    or signature.
    """
    store = open_complete(where, "objects", expected or {})
    values = {name: read_array(store, name) for name in TABLE_ARRAYS if name in store.arrays}
    if not len(values["object_id"]):
        raise StoreError(f"{store} must have an object, got none{remedy(Path(where))}")
    return ObjectTable(**values, signature=store.signature)


def read_objects_of(split: str, cache: str | Path = CACHE) -> ObjectTable:
    """Read the objects store of a split in the cache ``cache``, see ``read_objects``."""
    return read_objects(located(objects_path(split), cache), {"split": split})


def write_objects(path: Path, table: ObjectTable, signature: Mapping[str, object]) -> None:
    """Write an objects store with the given signature; ``table.signature`` is not used.

    The store appears whole; a store at ``path`` is replaced.
    """
    write_store(path, "objects", table.arrays, signature=signature)


@dataclass(frozen=True, eq=False)
class PreparedSplit:
    """The table of a split, and its objects cut into shards of consecutive rows."""

    table: ObjectTable
    shard_objects: int
    """Number of objects per shard; the last shard may have fewer."""
    dim: ClassVar[str] = "object"
    """Name of the dimension of the rows."""

    @cached_property
    def images(self) -> ImageRows:
        """Rows of an embeddings store of the split: a row per image, also if it has no objects."""
        table = self.table
        return ImageRows(table.file, table.height_px, table.width_px, table.image_sha256)

    @property
    def digest(self) -> str:
        """Sha256 of the table without the content of images, in hex; see ``ObjectTable.digest``."""
        return self.table.digest

    @property
    def n_rows(self) -> int:
        """Number of rows, which are the split's objects."""
        return self.table.n_objects

    @property
    def shard_rows(self) -> int:
        """Number of objects per shard; the last shard may have fewer."""
        return self.shard_objects

    @cached_property
    def images_sha256(self) -> list[str]:
        """For each shard, the sha256 of the names and digests of its images, in hex."""
        starts = range(0, self.table.n_objects, self.shard_objects)
        return [_images_sha256(self.table, start, start + self.shard_objects) for start in starts]

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Names of the shards in row order; shards of equal images, masks and clicks share one."""
        inputs = ([self.input_sha256(piece) for piece in shard.pieces] for shard in self._plan)
        return tuple(shard_name(self.full_rows, digests) for digests in inputs)

    @cached_property
    def shards(self) -> dict[str, Shard]:
        """Shards by name, in row order; of several shards with the same name, the first."""
        shards: dict[str, Shard] = {}
        for name, shard in zip(self.names, self._plan, strict=True):
            shards.setdefault(name, shard)
        return shards

    @cached_property
    def _plan(self) -> tuple[Shard, ...]:
        return plan_shards(self.table.image_index, self.shard_objects)

    @property
    def full_rows(self) -> int:
        """Number of rows of a full shard: ``shard_objects``, or all objects if they are fewer."""
        return min(self.shard_objects, self.table.n_objects)

    def input_sha256(self, piece: Piece) -> str:
        """Sha256 of the inputs of a piece (the objects of one image in one shard), in hex.

        Inputs are name and sha256 of the image, and masks and clicks of the objects. The name seeds
        the noise of a view. Split, ids and areas are left out.
        """
        table, rows = self.table, slice(piece.start, piece.stop)
        of_image = [str(table.file[piece.image]), str(table.image_sha256[piece.image])]
        of_objects = [
            _array_sha256(name, getattr(table, name)[rows]) for name in ("mask_rle", "point_px")
        ]
        return hashlib.sha256("\n".join([*of_image, *of_objects]).encode()).hexdigest()

    def count_images(self, names: Sequence[str]) -> int:
        """Number of different images in the named shards."""
        return len({piece.image for name in names for piece in self.shards[name].pieces})

    def count_rows(self, names: Sequence[str]) -> int:
        """Number of objects in the named shards."""
        return sum(self.shards[name].stop - self.shards[name].start for name in names)


def _images_sha256(table: ObjectTable, start: int, stop: int) -> str:
    images = np.unique(table.image_index[start:stop])
    names = [f"{table.file[i]}\n{table.image_sha256[i]}\n" for i in images]
    return hashlib.sha256("".join(names).encode()).hexdigest()


def _array_sha256(name: str, values: np.ndarray) -> str:
    spec: ArraySpec = SCHEMA["objects"][name]
    array = checked(name, spec, values, values.shape)
    if spec.dtype == "str":
        texts = [str(text).encode() for text in array]
        data = b"".join(len(text).to_bytes(8, "little") + text for text in texts)
    else:
        data = array.astype(array.dtype.newbyteorder("<")).tobytes()
    return hashlib.sha256(f"{array.shape}".encode() + data).hexdigest()


assert set(TABLE_ARRAYS) == {item.name for item in fields(ObjectTable)} - {"signature"}
