"""Reads and writes the table of a split's images and objects."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np
from jaxtyping import Bool, Float32, Int32, Int64, Shaped

from pipeline.vocabulary import DRAWN_CLICK, SINGLE_CLICKS
from storage.errors import StoreError
from storage.paths import CACHE, located, objects_path, remedy
from storage.rle import decode_rle
from storage.store.opening import open_complete, read_array
from storage.store.schema import FIXED_COORDINATES, SCHEMA, ArraySpec
from storage.store.writing import checked, write_store

TABLE_ARRAYS: Final = tuple(name for name in SCHEMA["objects"] if name not in FIXED_COORDINATES)
"""Names of the arrays of an ``ObjectTable``, in the order of the schema."""

PERSON_ARRAYS: Final = {SINGLE_CLICKS[0]: "person_rle", DRAWN_CLICK: "person_rle_p1"}
"""Names of the arrays with each person's segment around a click, by click. No cell depends on them:
only comparisons read the segments of other persons."""


@dataclass(frozen=True, eq=False)
class ObjectTable:
    """Images, objects, ground truth and clicks of a split, in arrays named as in the schema.

    ``signature`` is that of the objects store, empty for a table that was not read from a store.
    ``annotator``, ``person_rle`` and ``person_rle_p1`` are None where one person outlined each
    image, and the last is None in older stores, too.

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
    person_rle: Shaped[np.ndarray, "object person"] | None = None
    person_rle_p1: Shaped[np.ndarray, "object person"] | None = None
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
    def segments_of_persons(self) -> dict[str, np.ndarray]:
        """RLE (object, person) of each person's segment around a click, by click; may be empty."""
        arrays = self.arrays
        return {click: arrays[name] for click, name in PERSON_ARRAYS.items() if name in arrays}

    @property
    def n_objects(self) -> int:
        """Number of objects, and of the rows of the split's features, masks and entropies."""
        return len(self.object_id)

    @classmethod
    def of_images(cls, images: Mapping[str, np.ndarray]) -> "ObjectTable":
        """Table of images without objects; ``images`` has the arrays of images by name."""
        specs = {name: SCHEMA["objects"][name] for name in TABLE_ARRAYS if name not in images}
        sizes = {name: len(values) for name, values in FIXED_COORDINATES.items()}
        arrays: dict[str, Any] = {**images}
        arrays |= {
            name: np.empty([sizes.get(dim, 0) for dim in spec.dims], spec.dtype)
            for name, spec in specs.items()
        }
        return cls(**arrays)

    def part(self, images: slice, objects: slice) -> "ObjectTable":
        """Table of some images and objects; the objects must be of these images."""
        slices = {"image": images, "object": objects}
        arrays: dict[str, Any] = {
            name: array[slices[SCHEMA["objects"][name].dims[0]]]
            for name, array in self.arrays.items()
        }
        arrays["image_index"] = arrays["image_index"] - np.int32(images.start)
        return replace(self, **arrays)

    def truth(self, row: int) -> Bool[np.ndarray, "h w"]:
        """Ground truth mask of the object in a row, at the size of its image."""
        image = self.image_index[row]
        height, width = int(self.height_px[image]), int(self.width_px[image])
        return decode_rle(str(self.mask_rle[row]), height, width)

    @cached_property
    def digest(self) -> str:
        """Sha256 of all arrays except ``image_sha256`` and ``PERSON_ARRAYS``, in hex.

        The content of images is part of the names of shards instead, so that a repaired image
        recomputes its shards, not the whole cell.
        """
        total = hashlib.sha256()
        for name, array in self.arrays.items():
            if name not in {"image_sha256", *PERSON_ARRAYS.values()}:
                total.update(f"{name}:{array_sha256(name, array)};".encode())
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


def array_sha256(name: str, values: np.ndarray) -> str:
    """Sha256 of values of an array of an objects store, in hex."""
    spec: ArraySpec = SCHEMA["objects"][name]
    array = checked(name, spec, values, values.shape)
    if spec.dtype == "str":
        texts = [str(text).encode() for text in array]
        data = b"".join(len(text).to_bytes(8, "little") + text for text in texts)
    else:
        data = array.astype(array.dtype.newbyteorder("<")).tobytes()
    return hashlib.sha256(f"{array.shape}".encode() + data).hexdigest()


assert set(TABLE_ARRAYS) == {item.name for item in fields(ObjectTable)} - {"signature"}
