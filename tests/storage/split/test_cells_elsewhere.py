"""Cells of a split at an address: asked for little, and held to the same as those on the disk."""

import shutil
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from itertools import product
from pathlib import Path
from threading import Barrier

import fsspec
import numpy as np
import pytest
from zarr.abc.buffer import Buffer, BufferPrototype
from zarr.abc.store import ByteRequest
from zarr.buffer import default_buffer_prototype
from zarr.storage import FsspecStore, MemoryStore

from pipeline.views import default_view
from stages.settings.signatures import eval_settings
from storage.errors import StoreError
from storage.files.addresses import N_AT_ONCE
from storage.files.manifest import FILE
from storage.files.store_files import FileRange, Files, read_ranges
from storage.paths import CACHE, features_path, masks_path
from storage.split import mask_blocks
from storage.split.mask_blocks import MaskWindows, run_reader
from storage.split.split_cells import OpenCell, SplitCells, open_cells, read_entropies
from tests.fixtures.signatures import extract_params
from tests.fixtures.split_cells import draw_rows, write_cells

MODELS, VIEWS = ("tiny", "large"), ("identity", "vflip")
NAMES = list(product(MODELS, VIEWS))
N_OBJECTS, SHARD_OBJECTS = 5, 2
CELLS = {name: draw_rows(seed, N_OBJECTS, 6) for seed, name in enumerate(NAMES)}
# The same objects in another order: files of shards have the same length, and other bytes.
ORDER = [0, 1, 3, 2, 4]
CELLS[NAMES[2]] = replace(
    CELLS[NAMES[1]], mask_code=np.ascontiguousarray(CELLS[NAMES[1]].mask_code[ORDER])
)


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


def open_split(cache: str | Path, *, shard_objects: int = SHARD_OBJECTS) -> SplitCells:
    views = [default_view(view) for view in VIEWS]
    params = extract_params(shard_objects=shard_objects)
    asked = eval_settings(params, "val", MODELS, views)
    return open_cells("val", asked, with_masks=True, cache=cache)


@pytest.mark.no_cover
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


@pytest.fixture
def asked(root: Path, monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each file at the address was asked for."""
    found: Counter[str] = Counter()
    get = FsspecStore.get

    async def counted(
        store: FsspecStore,
        key: str,
        prototype: BufferPrototype,
        byte_range: ByteRequest | None = None,
    ) -> Buffer | None:
        found[f"{store.path}/{key}".removeprefix(f"{root}/")] += 1
        return await get(store, key, prototype, byte_range)

    monkeypatch.setattr(FsspecStore, "get", counted)
    return found


def test_a_store_is_opened_by_few_files_each_asked_for_once(
    root: Path, asked: Counter[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refused(_store: FsspecStore, key: str) -> None:
        raise AssertionError(key)  # a manifest answers that

    for name in ("getsize", "exists"):
        monkeypatch.setattr(FsspecStore, name, refused)
    open_split(address(root))
    assert set(asked.values()) == {1}
    opened = {"zarr.json", FILE}
    for path, files in (
        (features_path, {*opened, "images_sha256/c.0"}),
        (masks_path, opened),
    ):
        place = path("val", "tiny", "vflip").relative_to(CACHE)
        assert {key for key in asked if key.startswith(f"{place}/")} == {
            f"{place}/{file}" for file in files
        }


def test_of_two_faulty_cells_the_first_is_named(root: Path) -> None:
    for view in VIEWS:
        store = features_path("val", "large", view)
        shutil.rmtree(store / "manifest")
    with pytest.raises(StoreError, match=rf"^memory:/{root}/features/val/large/identity\.zarr/man"):
        open_split(address(root))


def read_all_masks(cells: SplitCells, run: range) -> None:
    """Read as `entropy` does: block by block, cell by cell."""
    read = run_reader(cells, run)
    rows = [read(*name) for name in NAMES]
    for block in range(len(run)):
        for of_cell in rows:
            of_cell.mask_code[block : block + 1]


@pytest.mark.no_cover
@pytest.mark.parametrize("window_bytes", [1, 2**26], ids=["an object", "a shard"])
def test_a_shard_that_was_read_to_its_end_is_held_to_the_manifest(
    root: Path, window_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mask_blocks, "WINDOW_BYTES", window_bytes)
    one, other = (masks_path("val", *name) / "mask_code/c.1.0.0.0.0" for name in NAMES[1:3])
    first, second = one.read_bytes(), other.read_bytes()
    assert len(first) == len(second)
    whole = open_split(address(root))
    with monkeypatch.context() as patch:
        patch.setattr(Files, "record", None)  # what came is not asked for again
        for run in (range(2), range(2, 4), range(4, 5)):
            read_all_masks(whole, run)
    one.write_bytes(second)
    other.write_bytes(first)
    fsspec.filesystem("memory").rm(f"/{root}", recursive=True)
    swapped = open_split(address(root))
    read_all_masks(swapped, range(2))
    message = (
        r"masks/val/tiny/vflip\.zarr/mask_code: every chunk .*, got c\.1\.0\.0\.0\.0 with sha256"
    )
    with pytest.raises(StoreError, match=message):
        read_all_masks(swapped, range(2, 4))


def test_windows_of_whole_blocks_fetch_each_object_once(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.rmtree(CACHE)
    write_cells(root, CELLS, N_OBJECTS, N_OBJECTS)
    cells = open_split(address(root), shard_objects=N_OBJECTS).by_name
    masks = {name: cell.mask_chunks for name, cell in cells.items()}
    n_bytes = sum(chunks.manifest[chunks.shard_file(0)].n_bytes for chunks in masks.values())
    monkeypatch.setattr(mask_blocks, "WINDOW_BYTES", 3.5 * n_bytes / N_OBJECTS)  # three objects
    windows = MaskWindows(masks, range(N_OBJECTS))
    monkeypatch.setattr(Files, "record", None)  # nothing is read again for the manifest
    for block in (range(2), range(2, 4), range(4, 5)):
        for name, chunks in masks.items():
            mask_code = np.empty((len(block), *chunks.shape[1:]), np.uint8)
            windows.read_into(name, block, mask_code)


def test_scores_of_all_cells_are_asked_for_side_by_side(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    all_here, scores = Barrier(len(NAMES), timeout=120), OpenCell.scores

    def waited(cell: OpenCell, name: str, rows: range | None = None) -> np.ndarray:
        all_here.wait()
        return scores(cell, name, rows)

    cells = open_split(address(root))
    monkeypatch.setattr(OpenCell, "scores", waited)
    assert len(NAMES) <= N_AT_ONCE
    assert run_reader(cells, range(2))(*NAMES[0]).iou.shape == (2, 9, 3)


def test_a_chunk_of_scores_is_asked_for_once_by_all_shards(root: Path, asked: Counter[str]) -> None:
    cells = open_split(address(root))
    with ThreadPoolExecutor(2) as threads:
        list(threads.map(partial(read_all_masks, cells), (range(2), range(2, 4), range(4, 5))))
    for name, array in product(NAMES, ("sam_score", "iou")):
        assert asked[f"{features_path('val', *name).relative_to(CACHE)}/{array}/c.0.0.0"] == 1


def test_parts_of_files_come_without_a_copy() -> None:
    prototype = default_buffer_prototype()
    data = prototype.buffer.from_bytes(bytes(range(100)))
    files = Files("memory", MemoryStore({"some": data}))
    (found,) = read_ranges([FileRange(files, "some", 10, 90)])
    assert bytes(found) == bytes(range(10, 90))
    assert np.shares_memory(np.frombuffer(found, np.uint8), data.as_numpy_array())


def test_whoever_reads_cells_elsewhere_is_told_how_to_have_entropies_here(root: Path) -> None:
    here, there = open_split(CACHE), open_split(address(root))
    path = r"cache/entropy/val\.zarr must be a Zarr store, got none; "
    with pytest.raises(StoreError, match=path + "`dvc repro entropy@val` makes it$"):
        read_entropies(here)
    way = r"`python -m stages\.entropy val` .* where USAM_CACHE says, .* `dvc pull cache/ent"
    with pytest.raises(StoreError, match=path + way):
        read_entropies(there)
