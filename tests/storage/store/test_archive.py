"""A packed store is read as it is, held to its manifest, and unpacked to the same bytes."""

import shutil
import warnings
import zipfile
from pathlib import Path

import pytest
import xarray
from zarr.storage import ZipStore

import storage
from storage.errors import StoreError
from storage.files import manifest
from storage.files.manifest import write_manifest
from storage.store.archive import pack, unpack
from storage.store.verify import verify
from tests.fixtures.made_up_cell import extract, open_cell


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Root of a complete cell."""
    root = tmp_path_factory.mktemp("made")
    extract(root)
    return root


@pytest.fixture(params=["features", "masks"])
def store(made: Path, tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """A store to pack."""
    return shutil.copytree(made / request.param / "identity.zarr", tmp_path / "identity.zarr")


@pytest.fixture
def packed(store: Path, tmp_path: Path) -> Path:
    """The store as one file."""
    pack(store, tmp_path / "identity.zip")
    return tmp_path / "identity.zip"


def test_zarr_opens_what_was_packed_as_it_is(store: Path, packed: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        there = xarray.open_zarr(ZipStore(packed), chunks=None, consolidated=False).load()
    xarray.testing.assert_identical(
        there, xarray.open_zarr(store, chunks=None, consolidated=False).load()
    )
    with zipfile.ZipFile(packed) as archive:
        assert {entry.compress_type for entry in archive.infolist()} == {zipfile.ZIP_STORED}


def test_a_packed_store_opens_by_its_path(store: Path, packed: Path) -> None:
    kind = storage.open_features if (store / "iou").exists() else storage.open_masks
    for where in (str(packed), f"file://{packed}"):
        xarray.testing.assert_identical(kind(where).load(), kind(store).load())
    assert verify(packed) == []
    assert verify(packed, sizes_only=True) == []


def test_packed_twice_is_byte_equal_and_unpacked_is_the_store(
    store: Path, packed: Path, tmp_path: Path
) -> None:
    counted: list[int] = []
    pack(store, tmp_path / "again.zip", counted.append)
    assert (tmp_path / "again.zip").read_bytes() == packed.read_bytes()
    unpack(packed, tmp_path / "back.zarr")
    files = {
        root: {p.relative_to(root): p.read_bytes() for p in root.rglob("*") if p.is_file()}
        for root in (store, tmp_path / "back.zarr")
    }
    assert files[store] == files[tmp_path / "back.zarr"]
    assert sum(counted) == len(files[store])


def flip(path: Path, content: bytes) -> None:
    """Flip a bit in the middle of some content of a file."""
    data = bytearray(path.read_bytes())
    data[data.index(content) + len(content) // 2] ^= 1
    path.write_bytes(data)


def test_damage_of_a_packed_store_is_found_and_never_unpacked(
    store: Path, packed: Path, tmp_path: Path
) -> None:
    flip(packed, (store / "object_id/c.0").read_bytes())
    assert [(d.array, d.key) for d in verify(packed)] == [("object_id", "c.0")]
    with pytest.raises(StoreError, match=r"object_id/c\.0 must be intact, got: Bad CRC-32"):
        unpack(packed, tmp_path / "back.zarr")
    assert not (tmp_path / "back.zarr").exists()


def test_a_damaged_store_is_not_packed(store: Path, tmp_path: Path) -> None:
    flip(store / "object_id/c.0", (store / "object_id/c.0").read_bytes())
    with pytest.raises(StoreError, match=r"object_id/c\.0 must have \d+ bytes with sha256 \w{12}"):
        pack(store, tmp_path / "identity.zip")
    assert not (tmp_path / "identity.zip").exists()


def test_what_cannot_be_packed_or_unpacked_is_refused(
    store: Path, packed: Path, tmp_path: Path
) -> None:
    with pytest.raises(StoreError, match=r"must be a folder to be packed, got a file"):
        pack(packed, tmp_path / "twice.zip")
    before = set(tmp_path.rglob("*"))
    with pytest.raises(StoreError, match=rf"^{tmp_path} must be the name of a file .*, got a fold"):
        pack(store, tmp_path)
    with pytest.raises(StoreError, match=r"/new/x\.zip must lie outside of the store, got a place"):
        pack(store, store / "new/x.zip")
    assert set(tmp_path.rglob("*")) == before
    with pytest.raises(StoreError, match="must be an archive, got a folder"):
        unpack(store, tmp_path / "back.zarr")
    with pytest.raises(StoreError, match="must not exist before a store is unpacked"):
        unpack(packed, store)
    cell = open_cell(tmp_path)
    work = cell.folder / "masks.zarr"
    with pytest.raises(StoreError, match="must be a published store, got one in the making"):
        pack(work, tmp_path / "work.zip")


def test_a_name_that_leads_out_of_the_store_is_refused(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copyfile(store / "object_id/c.0", tmp_path / "outside")
    monkeypatch.setattr(
        manifest, "_files", lambda path: [*path.glob("*.json"), path / "../outside"]
    )
    write_manifest(store)
    with pytest.raises(
        StoreError, match=r"names of files must stay in the store, got \.\./outside"
    ):
        pack(store, tmp_path / "identity.zip")
