"""Stores in a bucket of a real S3 server."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import xarray

from storage.errors import StoreError
from storage.files import addresses
from storage.files.addresses import files_at
from storage.files.store_files import FileRange, Files, read_ranges
from storage.store import opening
from storage.store.checks import damaged_files
from tests.fixtures.bucket import s3_server, upload, use_server

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with s3_server() as address:
        yield address


@pytest.fixture
def bucket(server: str, made: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Address of the cell's root."""
    use_server(server, monkeypatch)
    return upload(made, "cells")


@pytest.mark.parametrize("kind", ["features", "masks"])
def test_a_store_opens_where_it_is(bucket: str, made: Path, kind: str) -> None:
    read = getattr(opening, f"open_{kind}")
    there = read(f"{bucket}/{kind}/identity.zarr", {"family": "mini"})
    xarray.testing.assert_identical(there.load(), read(made / kind / "identity.zarr").load())


def test_ranges_of_files_and_names_are_those_of_the_folder(bucket: str, made: Path) -> None:
    files = files_at(f"{bucket}/masks/identity.zarr")
    name = "mask_code/c.0.0.0.0.0"
    data = (made / "masks/identity.zarr" / name).read_bytes()
    (found,) = read_ranges([FileRange(files, name, 3, 9)])
    assert bytes(found) == data[3:9]
    wanted = Files("here", made / "masks/identity.zarr")
    assert files.names() == wanted.names()


@pytest.mark.usefixtures("bucket")
def test_an_address_may_be_written_as_a_url(made: Path, tmp_path: Path) -> None:
    shutil.copytree(made / "masks/identity.zarr", tmp_path / "spaced/a b.zarr")
    address = upload(tmp_path / "spaced", "spaced")
    for name in ("a b.zarr", "a%20b.zarr"):
        assert damaged_files(f"{address}/{name}") == {}


def test_verify_reads_a_bucket(bucket: str, made: Path, tmp_path: Path) -> None:
    assert damaged_files(f"{bucket}/masks/identity.zarr") == {}
    broken = tmp_path / "broken"
    shutil.copytree(made / "masks/identity.zarr", broken)
    shard = broken / "mask_code/c.1.0.0.0.0"
    shutil.copyfile(broken / "mask_code/c.0.0.0.0.0", shard)
    (broken / "stray").touch()
    address = upload(broken, f"{bucket.rpartition('/')[2]}/broken")
    found = damaged_files(address)
    assert [*found] == ["mask_code/c.1.0.0.0.0", "stray"]
    assert found["stray"] == "not in the manifest"


@pytest.mark.parametrize("place", ["s3://nobody/x.zarr", "s3://lab/none.zarr"])
def test_what_is_not_there_is_one_line(bucket: str, place: str) -> None:
    assert bucket
    with pytest.raises(StoreError, match=rf"^{place} must be a Zarr store, got none$"):
        opening.open_features(place)


def test_a_server_that_is_gone_is_one_line(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setattr(addresses, "RETRY_S", 1)
    address = f"{bucket}/features/identity.zarr"
    with pytest.raises(StoreError, match=rf"^{address} must be readable, got: .+$"):
        opening.open_features(address)
