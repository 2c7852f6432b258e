"""An image's embedding is found by its file and digests, and held to the digest of its levels."""

from pathlib import Path

import numpy as np
import pytest

import usam_cache
from storage.errors import StoreError
from storage.store.checks import damaged_files
from storage.store.embedding_rows import find_image, image_rows, read_embedding
from storage.store.opening import open_embeddings
from tests.fixtures.made_up_embeddings import draw_embedding, write_embeddings


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_an_embedding_is_read_as_it_was_written(tmp_path: Path, precision: str) -> None:
    embeddings = usam_cache.open_embeddings(write_embeddings(tmp_path / "a.zarr", 5, precision))
    for row in (0, 3, 4):
        written, read = draw_embedding(row, precision), read_embedding(embeddings, row)
        assert read.size_px == written.size_px
        assert read.pixels_sha256 == written.pixels_sha256
        for part in ("levels", "statistics"):
            assert getattr(read, part).keys() == getattr(written, part).keys()
            for name, values in getattr(written, part).items():
                np.testing.assert_array_equal(getattr(read, part)[name], values, strict=True)


def test_an_image_is_found_by_row_file_and_pixels_and_else_named(tmp_path: Path) -> None:
    embeddings = open_embeddings(write_embeddings(tmp_path / "a.zarr"))
    names = (3, "3.png", draw_embedding(3).pixels_sha256)
    assert [find_image(embeddings, name) for name in names] == [3, 3, 3]
    assert image_rows(embeddings, "image_sha256")[f"{103:064x}"] == 3
    for name in (5, -1, "other.png"):
        message = rf"one of the 5 of .*a\.zarr, .*, got '?{name}"
        with pytest.raises(StoreError, match=message):
            find_image(embeddings, name)


def test_a_store_of_another_precision_is_refused_by_both_names(tmp_path: Path) -> None:
    path = write_embeddings(tmp_path / "a.zarr", weights="ab" * 32)
    with pytest.raises(StoreError, match=r"\(precision: fp32 -> bf16, weights: ab\w+ -> cd\w+\)"):
        open_embeddings(path, {"precision": "bf16", "weights": "cd" * 32})


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 4] ^= 1
    path.write_bytes(data)


def test_a_flipped_bit_is_seen_when_the_image_is_read_and_by_verify(tmp_path: Path) -> None:
    path = write_embeddings(tmp_path / "a.zarr")
    flip(path / "finer_level/c.1.0.0.0")
    embeddings = open_embeddings(path)
    read_embedding(embeddings, 0)
    with pytest.raises(StoreError, match=r"a\.zarr: every chunk must be intact"):
        _ = [read_embedding(embeddings, row) for row in (2, 3)]
    assert [*damaged_files(path)] == ["finer_level/c.1.0.0.0"]


def test_a_level_of_another_image_is_refused_though_its_checksum_holds(tmp_path: Path) -> None:
    embeddings = open_embeddings(write_embeddings(tmp_path / "a.zarr", 4))
    embeddings["finest_level"] = embeddings["finest_level"][::-1]
    with pytest.raises(StoreError, match=r"levels of image 3 of .*sha256 \w{12}, got \w"):
        read_embedding(embeddings, 3)


def test_a_size_that_no_image_has_is_refused_before_masks_of_it_are_made(tmp_path: Path) -> None:
    embeddings = open_embeddings(write_embeddings(tmp_path / "a.zarr", 2))
    embeddings["width_px"] = embeddings["width_px"] * 0 + np.int32(2**31 - 1)
    message = r"image 1 of .*a\.zarr: embedding must .* pixels, got 48 x 2147483647$"
    with pytest.raises(StoreError, match=message):
        read_embedding(embeddings, 1)
