"""Stores open at addresses, also in the DVC repository of somebody else."""

import asyncio
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
import xarray
import zarr
from zarr.abc.buffer import Buffer, BufferPrototype
from zarr.abc.store import ByteRequest
from zarr.storage import MemoryStore

from storage.errors import StoreError
from storage.files import addresses
from storage.files.store_files import Files
from storage.store import opening
from storage.store.checks import damaged_files
from tests.fixtures.repository import branch, publish

KINDS = ("features", "masks")


@pytest.fixture(scope="module")
def repository(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository that tracks the cell and has no file of it: only the remote does."""
    root = tmp_path_factory.mktemp("repository")
    publish(made, KINDS, root, remote=tmp_path_factory.mktemp("remote"))
    branch(root, "topic/cells")
    return root


@pytest.mark.no_cover
@pytest.mark.parametrize("kind", KINDS)
def test_a_store_opens_out_of_a_repository_that_nobody_pulled(
    repository: Path, made: Path, kind: str
) -> None:
    read = getattr(opening, f"open_{kind}")
    there = read(f"dvc://{repository}@main/cache/{kind}/identity.zarr", {"family": "mini"})
    xarray.testing.assert_identical(there.load(), read(made / kind / "identity.zarr").load())
    assert not (repository / "cache" / kind).exists()


def test_verify_reads_a_repository_at_a_branch_with_a_slash(repository: Path) -> None:
    address = f"dvc://{repository}@topic%2Fcells/cache/masks/identity.zarr"
    assert damaged_files(address) == {}


class Quiet(SimpleHTTPRequestHandler):
    """Serves files and says nothing."""

    def log_message(self, *_: object) -> None:
        pass


def test_a_store_opens_on_a_web_server(made: Path) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(made))) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}/features/identity.zarr"
        there = opening.open_features(address).load()
        xarray.testing.assert_identical(
            there, opening.open_features(made / "features/identity.zarr").load()
        )
        assert damaged_files(address) == {}
        with pytest.raises(StoreError, match=r"^http://\*{3}@.* kind must be masks, got features"):
            opening.open_masks(address.replace("//", "//secret@"))
        server.shutdown()


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("ftq://host/x", "^scheme of ftq://host/x must be one of dvc, s3, .*, got 'ftq'$"),
        ("dvc://repository", "^address must be dvc://REPOSITORY@REVISION/PATH, got dvc://"),
        ("dvc://", "^address must be dvc://REPOSITORY@REVISION/PATH, got dvc://$"),
        ("dvc:///nowhere@v1/x", "^dvc:///nowhere@v1/x must be readable, got: .*nowhere"),
        ("dvc://{}@v9/x", "^dvc://.*@v9/x must be readable, got: unknown Git revision 'v9'$"),
        ("dvc://{}@main/cache/x", "^dvc://.*@main/cache/x must be a Zarr store, got none$"),
        ("reference://x", "^reference://x must be readable, got: .*argument"),
        ("memory://lab/none.zarr", "^memory://lab/none.zarr must be a Zarr store, got none$"),
        ("s3://lab/x.zarr", "^credentials of S3 must be set in .*, got none$"),
    ],
)
def test_what_cannot_be_opened_is_one_line(
    repository: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    address: str,
    message: str,
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(StoreError, match=message) as caught:
        opening.open_features(address.format(repository))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "address",
    [
        "https://ann:secret@127.0.0.1:1/x.zarr",
        "http://secret@127.0.0.1:1/x.zarr",
        "http://127.0.0.1:1/x.zip?signature=secret&token=secret",
        "http://ann:secret@127.0.0.1:1/x.zip",
        "dvc://https://ann:secret@127.0.0.1:1/ann/usam@v1/x.zarr",
        "dvc://https://ann:secret@127.0.0.1",
        "ftp://ann:secret@127.0.0.1:1/x.zarr",
        "ftq://ann:secret@127.0.0.1:1/x.zarr",
    ],
)
def test_no_error_shows_a_password_or_a_token(
    monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    monkeypatch.setattr(addresses, "RETRY_S", 0)
    with pytest.raises(StoreError) as caught:
        opening.open_features(address)
    assert "secret" not in str(caught.value)
    assert "127.0.0.1" in str(caught.value)


def test_zarr_and_we_ask_a_store_in_one_event_loop() -> None:
    loops = set()

    class Noted(MemoryStore):
        async def get(
            self,
            key: str,
            prototype: BufferPrototype | None = None,
            byte_range: ByteRequest | None = None,
        ) -> Buffer | None:
            loops.add(asyncio.get_running_loop())
            return await super().get(key, prototype, byte_range)

    files = Files("noted", Noted())
    zarr.create_group(files.target)
    assert files.read("zarr.json") is not None
    assert len(loops) == 1
