"""A store in one file, written by any program, is read as it is and held to its manifest."""

import re
import shutil
import struct
import subprocess
import warnings
import zipfile
from pathlib import Path

import fsspec
import pytest
import xarray
from zarr.storage import ZipStore

from storage.errors import StoreError
from storage.files.addresses import files_at
from storage.files.store_files import FileRange, read_ranges
from storage.store import opening
from storage.store.checks import damaged_files
from storage.store.inspection import open_store
from tests.fixtures.made_up_cell import flip_middle


def by_zip(store: Path, target: Path) -> None:
    """As docs/share.md says."""
    subprocess.run(["zip", "-0", "-r", "-q", target, "."], cwd=store, check=True)


def by_python(store: Path, target: Path) -> None:
    """Compressed."""
    shutil.make_archive(str(target.with_suffix("")), "zip", store)


WRITERS = {"zip -0 -r": by_zip, "shutil.make_archive": by_python}


@pytest.fixture
def store(made: Path, tmp_path: Path) -> Path:
    """A published store, whose files are read whole and in part."""
    return shutil.copytree(made / "masks/identity.zarr", tmp_path / "identity.zarr")


@pytest.fixture(params=WRITERS)
def zipped(store: Path, tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """The store as one file."""
    if request.param == "zip -0 -r" and shutil.which("zip") is None:
        pytest.skip("no program zip")
    WRITERS[request.param](store, tmp_path / "identity.zip")
    return tmp_path / "identity.zip"


def test_zarr_opens_it_as_it_is(store: Path, zipped: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        there = xarray.open_zarr(ZipStore(zipped), chunks=None).load()
    xarray.testing.assert_identical(there, xarray.open_zarr(store, chunks=None).load())


def test_it_opens_by_its_path_and_at_any_address(store: Path, zipped: Path) -> None:
    fsspec.filesystem("memory").put(str(zipped), "/lab/identity.zip")
    wanted = opening.open_masks(store).load()
    for where in (zipped, f"file://{zipped}", "memory://lab/identity.zip"):
        xarray.testing.assert_identical(opening.open_masks(where).load(), wanted)
        assert damaged_files(where) == {}
    assert open_store(zipped).faulty == ()


def test_damage_and_files_of_no_store_are_found(store: Path, tmp_path: Path) -> None:
    flip_middle(store / "object_id/c.0")
    (store / "more").touch()
    by_python(store, tmp_path / "damaged.zip")
    assert [*damaged_files(tmp_path / "damaged.zip")] == ["object_id/c.0", "more"]


def test_a_flipped_bit_is_named_with_the_archive(zipped: Path) -> None:
    with zipfile.ZipFile(zipped) as archive:
        entry = archive.getinfo("object_id/c.0")
    data = bytearray(zipped.read_bytes())
    first = entry.header_offset
    n_name, n_extra = struct.unpack_from("<HH", data, first + 26)
    data[first + 30 + n_name + n_extra + entry.compress_size // 2] ^= 1
    zipped.write_bytes(data)
    ((name, why),) = damaged_files(zipped).items()
    assert name == "object_id/c.0"
    assert re.match(f"{zipped} must be readable, got: .*(CRC-32|decompress)", why)


@pytest.mark.parametrize("address", ["memory://lab/none.zip", "memory://lab/other.zip"])
def test_an_address_without_an_archive_is_refused(address: str) -> None:
    fsspec.filesystem("memory").pipe("/lab/other.zip", b"text")
    with pytest.raises(StoreError, match=rf"^{address} must be "):
        opening.open_masks(address)


def test_ranges_of_a_folder_and_of_an_archive_are_read_together(store: Path) -> None:
    archive = store.with_name("zipped.zarr")
    by_zip(store, archive)
    name = next(path.relative_to(store).as_posix() for path in store.glob("mask_code/c*0"))
    places = (archive, store, archive)
    ranges = [FileRange(files_at(place), name, i, i + 9) for i, place in enumerate(places)]
    whole = (store / name).read_bytes()
    assert [bytes(data) for data in read_ranges(ranges)] == [whole[i : i + 9] for i in range(3)]
