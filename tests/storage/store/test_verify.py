"""Damage is found wherever it lies."""

import re
import shutil
import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pipeline.masks import N_CODES
from storage.errors import StoreError
from storage.files.manifest import FILE
from storage.store.checks import damaged_files, find_stores
from storage.store.inspection import open_store
from tests.fixtures.made_up_cell import (
    PROMPTS,
    cell_of,
    flip,
    publish_whole,
    rows_of,
    split_of,
)

N_FLIPS = 20
SHARD = "masks/identity.zarr/mask_code/c.1.0.0.0.0"


@pytest.fixture
def root(made: Path, tmp_path: Path) -> Path:
    """Root of a complete cell to damage."""
    return shutil.copytree(made, tmp_path / "cell")


def store_of(file: Path) -> Path:
    return file.parents[1]


@pytest.mark.no_cover
def test_20_of_20_flipped_bits_are_found(root: Path) -> None:
    files = sorted(root.glob("[fm]*s/identity.zarr/*/c.*"))
    ends = np.cumsum([8 * file.stat().st_size for file in files])
    for place in np.random.default_rng(5).integers(ends[-1], size=N_FLIPS):
        file = files[np.searchsorted(ends, place, side="right")]
        bit = int(ends[-1] - place) % (8 * file.stat().st_size)
        flip(file, bit)
        found = damaged_files(store_of(file))
        assert [*found] == [f"{file.parent.name}/{file.name}"], bit
        flip(file, bit)
        assert damaged_files(store_of(file)) == {}


@pytest.mark.no_cover
def test_any_flipped_bit_at_either_end_of_the_manifest_is_found(root: Path) -> None:
    store = root / "masks/identity.zarr"
    manifest = (store / FILE).read_bytes()
    n_bits = 8 * len(manifest)
    for bit in (*range(600), *range(n_bits - 8 * 160, n_bits)):
        flip(store / FILE, bit)
        with pytest.raises(StoreError):
            open_store(store)
        (store / FILE).write_bytes(manifest)


@pytest.mark.parametrize(
    ("kind", "name", "other"),
    [
        ("masks", "mask_code/c.1.0.0.0.0", "mask_code/c.0.0.0.0.0"),
        ("features", "iou/zarr.json", "sam_score/zarr.json"),
    ],
)
def test_a_file_swapped_for_an_intact_one_is_found(
    root: Path, kind: str, name: str, other: str
) -> None:
    """Its own checksums hold."""
    store = root / kind / "identity.zarr"
    shutil.copyfile(store / other, store / name)
    ((found, why),) = damaged_files(store).items()
    assert found == name
    assert re.fullmatch(r"sha256 \w{12} -> \w{12}|\d+ bytes -> \d+", why)


@pytest.mark.parametrize("n_bytes", [0, -1])
def test_what_is_missing_or_cut_is_found(root: Path, n_bytes: int) -> None:
    store, shard = root / "masks/identity.zarr", root / SHARD
    n_before = shard.stat().st_size
    shard.write_bytes(shard.read_bytes()[:n_bytes])
    (store / "probability/c.0").unlink()
    assert damaged_files(store) == {
        "mask_code/c.1.0.0.0.0": f"{n_before} bytes -> {shard.stat().st_size}",
        "probability/c.0": "missing",
    }


def test_a_shard_is_never_whole_in_memory(tmp_path: Path) -> None:
    n_objects, side_px = 64, 128
    split = split_of(n_objects, n_objects)
    shape = (n_objects, len(PROMPTS), 3, side_px, side_px)
    codes = np.random.default_rng(0).integers(0, N_CODES, shape, np.uint8)
    cell = cell_of(tmp_path, split)
    cell = replace(cell, sizes={**cell.sizes, "y": side_px, "x": side_px})
    cell.put(split.names[0], rows_of(0, split) | {"mask_code": codes}, maker="")
    publish_whole(tmp_path, cell)
    masks = tmp_path / "masks/identity.zarr"
    flip(masks / "mask_code/c.0.0.0.0.0", 8 * codes.size // 2)
    damaged_files(masks)  # imports
    tracemalloc.start()
    ((name, why),) = damaged_files(masks).items()
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (name, why[:6]) == ("mask_code/c.0.0.0.0.0", "sha256")
    assert peak_bytes < codes.size / 4


def test_damaged_metadata_are_an_error_those_of_an_array_alone_are_listed(root: Path) -> None:
    store = root / "features/identity.zarr"
    n_bytes = (store / "iou/zarr.json").stat().st_size
    (store / "iou/zarr.json").write_text("{")
    assert damaged_files(store) == {"iou/zarr.json": f"{n_bytes} bytes -> 1"}
    (store / "zarr.json").write_text("{")
    with pytest.raises(StoreError, match="must be a Zarr store, got none"):
        damaged_files(store)


def test_a_complete_store(made: Path) -> None:
    path = made / "masks/identity.zarr"
    masks = open_store(path)
    assert (masks.kind, masks.faulty) == ("masks", ())
    assert masks.sizes["object"] == 10
    assert masks.size_bytes == sum(file.stat().st_size for file in path.glob("*/c.*"))
    assert masks.signature["precision"] == "fp32"


def test_stores_below_a_folder_are_found_whole_those_without_their_own_file_too(
    tmp_path: Path,
) -> None:
    whole, headless, hidden = (tmp_path / name for name in ("a", "b/b.zarr", "b/.b.zarr.partial"))
    for folder in (whole, whole / "iou", headless / "iou", hidden):
        folder.mkdir(parents=True)
        (folder / "zarr.json").touch()
    assert find_stores(tmp_path) == [whole, headless]
    assert find_stores(whole) == [whole]


def test_no_store_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="must be a store or hold some, got none"):
        find_stores(tmp_path)
