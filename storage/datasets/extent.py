"""How many objects a split has, and how many bytes its stores will take, before anything runs."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

import numpy as np

from storage.datasets.records import Part
from storage.rle import area_rle
from storage.store.schema import SCHEMA

N_SAMPLED: Final = 500
"""Fewest images whose annotations are read before the rest of a split is estimated."""

MASK_BYTES: Final = (5_000, 32_000)
"""Size on the disk of a coded mask of ``MASK_SIDE_PX``, from sharp to soft.

Measured: 23,840 B for photographs (docs/cache.md), 6,000 B and more for crisp outlines; by the mini
models, of 64 px, 1,260 to 1,850 B for drawn scenes.
"""

MASK_SIDE_PX: Final = 256

_GOLDEN: Final = (math.sqrt(5) - 1) / 2


@dataclass(frozen=True)
class Extent:
    """Images with an object, and objects."""

    n_images: int
    n_objects: int
    is_exact: bool


def estimate_extent(
    parts: Sequence[Part], *, min_area_px: int, max_objects: int | None, n_sampled: int = N_SAMPLED
) -> Extent:
    """Extent of a split, from the annotations of some of its parts, or of all if there are few.

    Parameters
    ----------
    parts
        Taken from all over the split, until they have ``n_sampled`` images.

    Raises
    ------
    DataError
        If an annotation that is read is faulty.
    """
    counts: list[int] = []
    n_read = 0
    for part in _scattered(parts):
        if len(counts) >= n_sampled:
            break
        counts += [
            sum(area_rle(rle) >= min_area_px for _, rle in item.masks) for item in part.read()
        ]
        n_read += 1
    n_images, n_objects = sum(count > 0 for count in counts), sum(counts)
    share = Fraction(len(parts), max(n_read, 1))
    most = n_objects * share
    if max_objects is not None and max_objects < most:
        # The last image that counts may have more objects than are taken.
        return Extent(math.ceil(n_images * share * max_objects / most), max_objects, is_exact=False)
    return Extent(round(n_images * share), round(most), is_exact=n_read == len(parts))


def object_bytes(kind: str, sizes: Mapping[str, int]) -> int:
    """Uncompressed bytes per object in one kind of store, coordinates aside."""
    total = 0
    for spec in SCHEMA[kind].values():
        if spec.dims[0] == "object" and not spec.is_coordinate:
            total += np.dtype(spec.dtype).itemsize * math.prod(sizes[d] for d in spec.dims[1:])
    return total


def mask_bytes(side_px: int) -> tuple[int, int]:
    """Fewest and most bytes of a coded mask on the disk.

    Notes
    -----
    A sharp mask takes the bytes of its outline, which grow with the side; a soft one those of its
    area.
    """
    low, high = MASK_BYTES
    return low * side_px // MASK_SIDE_PX, high * side_px**2 // MASK_SIDE_PX**2


def _scattered(parts: Sequence[Part]) -> Iterator[Part]:
    """All parts, in an order whose first few are spread over the sequence."""
    places = sorted(range(len(parts)), key=lambda place: (place * _GOLDEN) % 1)
    return (parts[place] for place in places)
