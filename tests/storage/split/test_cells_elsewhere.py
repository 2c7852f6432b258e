"""Cells of a split at an address: asked for little, and held to the same as those on the disk."""

import asyncio
import hashlib
import shutil
from collections import Counter
from itertools import product
from pathlib import Path
from threading import Barrier

import fsspec
import numpy as np
import pytest
from zarr.abc.buffer import Buffer, BufferPrototype
from zarr.abc.store import ByteRequest, RangeByteRequest
from zarr.buffer import default_buffer_prototype
from zarr.storage import FsspecStore, MemoryStore

from pipeline.views import default_view
from stages.settings.signatures import eval_cells, settings_of_cells
from storage.errors import StoreError
from storage.files.addresses import AddressStore, Known
from storage.files.files import FileRange, Files, read_ranges
from storage.files.manifest import FILE
from storage.paths import CACHE, features_path, masks_path
from storage.split.cells import N_AT_ONCE, OpenCell, SplitCells, open_cells
from storage.split.mask_blocks import run_reader
from tests.fixtures.signatures import extract_params
from tests.fixtures.split_cells import draw_rows, write_cells

MODELS, VIEWS = ("tiny", "small", "large"), ("identity", "vflip")
NAMES = list(product(MODELS, VIEWS))
N_OBJECTS, SHARD_OBJECTS = 5, 2
CELLS = {name: draw_rows(seed, N_OBJECTS, 6) for seed, name in enumerate(NAMES)}


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("written")
    return write_cells(root, CELLS, N_OBJECTS, SHARD_OBJECTS)


@pytest.fixture(autouse=True)
def root(tmp_path: Path, written: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a copy of the cells, to work in."""
    shutil.copytree(written, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def address(root: Path) -> str:
    """Where a copy of the cells is, as they are now."""
    fsspec.filesystem("memory").put(str(root / "cache"), f"/{root}", recursive=True)
    return f"memory:/{root}"


def open_split(cache: str | Path) -> SplitCells:
    views = [default_view(view) for view in VIEWS]
    params = extract_params(shard_objects=SHARD_OBJECTS)
    asked = settings_of_cells(params, eval_cells("val", MODELS, views))
    return open_cells("val", asked, with_masks=True, cache=cache)


def damage(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(data)


def test_cells_at_an_address_are_those_on_the_disk(root: Path) -> None:
    here, there = open_split(CACHE), open_split(address(root))
    assert there.signature == here.signature
    for run in (range(2), range(4, 5)):
        read_here, read_there = run_reader(here, run), run_reader(there, run)
        for name in NAMES:
            wanted, found = read_here(*name), read_there(*name)
            np.testing.assert_array_equal(found.sam_score, wanted.sam_score)
            np.testing.assert_array_equal(found.iou, wanted.iou)
            np.testing.assert_array_equal(found.mask_code[:1], wanted.mask_code[:1])


def test_what_cells_have_in_common_is_asked_for_once(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: Counter[str] = Counter()
    get = FsspecStore.get

    async def counted(
        store: FsspecStore,
        key: str,
        prototype: BufferPrototype,
        byte_range: ByteRequest | None = None,
    ) -> Buffer | None:
        asked[f"{store.path}/{key}".removeprefix(f"{root}/")] += 1
        return await get(store, key, prototype, byte_range)

    async def refused(_store: FsspecStore, key: str) -> None:
        raise AssertionError(key)  # a manifest answers that

    monkeypatch.setattr(FsspecStore, "get", counted)
    for name in ("getsize", "exists"):
        monkeypatch.setattr(FsspecStore, name, refused)
    open_split(address(root))
    of_cells = [key for key in asked if not key.startswith("objects")]
    assert set(asked.values()) == {1}
    digests = [hashlib.sha256((CACHE / key).read_bytes()).digest() for key in of_cells]
    # Root and manifest alone say whose they are.
    assert len(set(digests)) == len(digests)
    for place in ("masks/val/large/vflip.zarr", "features/val/small/vflip.zarr"):
        own = {key.removeprefix(f"{place}/") for key in of_cells if key.startswith(place)}
        assert own == {"zarr.json", FILE}


def test_a_file_that_is_not_as_the_manifest_says_serves_no_other_store(root: Path) -> None:
    names = [masks_path("val", "tiny", view) for view in VIEWS]
    coordinate = "prompt/c.0"
    whole = (names[0] / coordinate).read_bytes()
    damage(names[0] / coordinate)
    known: Known = {}
    fsspec.filesystem("memory").put(str(root / "cache"), f"/{root}", recursive=True)
    for name, wanted in zip(names, (None, whole), strict=True):
        place = name.relative_to(CACHE)
        there = FsspecStore.from_url(f"memory:/{root}/{place}", read_only=True)
        store = AddressStore(there, "x", known=known)
        asyncio.run(store.get(FILE, default_buffer_prototype()))
        found = asyncio.run(store.get(coordinate, default_buffer_prototype()))
        assert found is not None
        assert (found.to_bytes() == whole) is (wanted is not None)


def test_of_two_faulty_cells_the_first_is_named(root: Path) -> None:
    for view in VIEWS:
        store = features_path("val", "large", view)
        shutil.rmtree(store / "manifest")
    with pytest.raises(StoreError, match=rf"^memory:/{root}/features/val/large/identity\.zarr/man"):
        open_split(address(root))


def test_scores_that_are_damaged_are_named_when_their_cell_is_read(root: Path) -> None:
    for name in NAMES[2:]:
        damage(features_path("val", *name) / "iou/c.0.0.0")
    read = run_reader(open_split(address(root)), range(2))
    for name in NAMES[:2]:
        read(*name)
    with pytest.raises(StoreError, match=rf"^memory:/{root}/features/val/small/identity\.zarr/iou"):
        read(*NAMES[2])


def test_scores_of_all_cells_are_asked_for_side_by_side(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    all_here, scores = Barrier(len(NAMES), timeout=30), OpenCell.scores

    def waited(cell: OpenCell, name: str, rows: range | None = None) -> np.ndarray:
        all_here.wait()
        return scores(cell, name, rows)

    cells = open_split(address(root))
    monkeypatch.setattr(OpenCell, "scores", waited)
    assert len(NAMES) <= N_AT_ONCE
    assert run_reader(cells, range(2))(*NAMES[0]).iou.shape == (2, 9, 3)


def test_parts_of_files_come_without_a_copy() -> None:
    prototype = default_buffer_prototype()
    data = prototype.buffer.from_bytes(bytes(range(100)))
    files = Files("memory", MemoryStore({"some": data}))
    (found,) = read_ranges([FileRange(files, "some", RangeByteRequest(10, 90))])
    assert bytes(found) == bytes(range(10, 90))
    assert np.shares_memory(np.frombuffer(found, np.uint8), data.as_numpy_array())
