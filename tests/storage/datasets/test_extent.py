"""How much a split holds, from some of its annotations."""

from collections.abc import Iterator
from functools import partial

import numpy as np
import pytest

from storage.datasets.extent import estimate_extent, mask_bytes, object_bytes
from storage.datasets.records import Annotated, ImageRecord, Part
from storage.rle import encode_rle

MASK, SMALL = (encode_rle(np.arange(100).reshape(10, 10) < n) for n in (50, 5))


def parts(n: int, n_images: int, read: list[str]) -> list[Part]:
    """Videos of pictures with two large objects and a small one; the last picture has none."""

    def images(name: str) -> Iterator[Annotated]:
        read.append(name)
        for k in range(n_images):
            masks = ((1, MASK), (2, MASK), (3, SMALL)) if k < n_images - 1 else ()
            yield Annotated(ImageRecord(f"{name}/{k}", 10, 10), masks)

    return [Part(f"{k}", partial(images, f"{k}")) for k in range(n)]


def extent(
    n: int, *, max_objects: int | None = None, n_sampled: int = 500
) -> tuple[int, int, bool, int]:
    read: list[str] = []
    found = estimate_extent(
        parts(n, 5, read), min_area_px=10, max_objects=max_objects, n_sampled=n_sampled
    )
    return found.n_images, found.n_objects, found.is_exact, len(read)


def test_a_small_split_is_counted_whole() -> None:
    assert extent(7) == (28, 56, True, 7)


def test_of_a_large_split_some_parts_are_read_from_all_over_it() -> None:
    assert extent(1000, n_sampled=50) == (4000, 8000, False, 10)
    read: list[str] = []
    estimate_extent(parts(1000, 5, read), min_area_px=1, max_objects=None, n_sampled=50)
    places = [0, *sorted(int(name) for name in read), 1000]
    assert np.diff(places).max() < 250


def test_a_limit_cuts_objects_and_their_images() -> None:
    assert extent(7, max_objects=20) == (10, 20, False, 7)
    assert extent(7, max_objects=56) == (28, 56, True, 7)


def test_an_empty_split_holds_nothing() -> None:
    assert extent(0) == (0, 0, True, 0)


def test_bytes_follow_from_the_schema() -> None:
    sizes = {"prompt": 9, "proposal": 3, "pair": 3, "token": 4, "channel": 256}

    assert object_bytes("features", sizes) == 4 * 9 * (2 * 3 + 256 + 4 * 256 + 1 + 4 * 3)


@pytest.mark.parametrize(("side_px", "n_bytes"), [(256, (5000, 32000)), (64, (1250, 2000))])
def test_a_mask_takes_its_sides_to_its_areas_share(side_px: int, n_bytes: tuple[int, int]) -> None:
    assert mask_bytes(side_px) == n_bytes
