"""Images at an address are those of the folder, or an error that names the address."""

import shutil
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, ClassVar

import numpy as np
import pytest

from storage.errors import DataError, ImageError, StoreError
from storage.files import addresses
from storage.folders import sha256_file
from storage.images.videos import N_TRIES, SplitImages, address_in
from tests.fixtures.bucket import s3_server, upload, use_server
from tests.fixtures.file_server import QuietHandler, file_server
from tests.fixtures.stored_images import write_images

SIZE = {"height_px": 40, "width_px": 60}
FILES = ("plain.png", "a folder/ä #1%20.png")


class FaultyHandler(QuietHandler):
    """A handler that first refuses an image, then breaks off its answer, then sends it."""

    requests: ClassVar[Counter[str]] = Counter()
    is_down = False

    def send_head(self) -> BytesIO | BinaryIO | None:
        self.requests[self.path] += 1
        if self.is_down or self.requests[self.path] == 1:
            self.send_error(HTTPStatus.SERVICE_UNAVAILABLE)
            return None
        if self.requests[self.path] == 2:
            self.send_response(HTTPStatus.OK)
            self.send_header("Content-Length", "1000")
            self.end_headers()
            return BytesIO(b"cut off")
        return super().send_head()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two images whose files have 8 bits per colour."""
    rng = np.random.default_rng(0)
    pictures = {file: rng.integers(0, 256, (40, 60, 3), np.uint8) for file in FILES}
    return write_images(tmp_path / "some images", pictures)


def at(address: str, tmp_path: Path) -> SplitImages:
    """The images at an address, which a file names."""
    place = tmp_path / "address.txt"
    place.write_text(f"{address}\n", "utf-8")
    return SplitImages(place, FILES)


@pytest.fixture
def served(folder: Path, tmp_path: Path) -> Iterator[SplitImages]:
    with file_server(folder.parent) as server:
        yield at(f"{server}/{folder.name}", tmp_path)


def check_same(folder: Path, images: SplitImages) -> None:
    """Images are read as those of the folder, by many threads at once."""
    here = SplitImages(folder, FILES)
    assert images.n_readers > here.n_readers

    def read(file: str) -> np.ndarray:
        inspected = images.inspect(file, **SIZE)
        assert inspected == here.inspect(file, **SIZE) == (sha256_file(folder / file), 1)
        return images.read(file, **SIZE, sha256=inspected[0])

    with ThreadPoolExecutor(images.n_readers) as pool:
        for k, rgb in enumerate(pool.map(read, FILES * 8)):
            sha256 = sha256_file(folder / FILES[k % 2])
            np.testing.assert_array_equal(rgb, here.read(FILES[k % 2], **SIZE, sha256=sha256))


def test_images_on_a_web_server_are_those_of_the_folder(folder: Path, served: SplitImages) -> None:
    check_same(folder, served)


@pytest.mark.slow
def test_images_in_a_bucket_are_those_of_the_folder(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with s3_server() as server:
        use_server(server, monkeypatch)
        check_same(folder, at(upload(folder, "coco/val"), tmp_path))


def test_an_image_that_is_changed_missing_or_damaged_is_named_by_its_address(
    folder: Path, served: SplitImages
) -> None:
    sha256, _ = served.inspect(FILES[0], **SIZE)
    shutil.copy(folder / FILES[1], folder / FILES[0])
    with pytest.raises(
        ImageError,
        match=rf"http://.*/some images/plain.png must be the file that was listed "
        rf"\(sha256 {sha256[:12]}...\), got .*; `dvc repro -f -s prepare@SPLIT` reads it anew",
    ):
        served.read(FILES[0], **SIZE, sha256=sha256)
    (folder / FILES[0]).write_bytes(b"no image")
    assert str(served.inspect(FILES[0], **SIZE)[1]).endswith(
        "/some images/plain.png must be a readable image, got: cannot identify image file"
    )
    (folder / FILES[0]).unlink()
    with pytest.raises(ImageError, match=r"plain.png must be an image file, got no such file"):
        served.inspect(FILES[0], **SIZE)


def test_a_server_with_faults_is_asked_again_and_one_that_is_down_ends_the_reading(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(addresses, "RETRY_S", 0.2)
    monkeypatch.setattr(FaultyHandler, "requests", Counter())
    with file_server(folder, FaultyHandler) as server:
        images = at(server, tmp_path)
        monkeypatch.setattr(FaultyHandler, "is_down", True)
        with pytest.raises(StoreError, match=r"503.*; if the server was away, run it again"):
            images.inspect(FILES[0], **SIZE)
        assert FaultyHandler.requests["/plain.png"] > 1

        FaultyHandler.requests.clear()
        monkeypatch.setattr(FaultyHandler, "is_down", False)
        assert images.inspect(FILES[0], **SIZE) == (sha256_file(folder / FILES[0]), 1)
        assert FaultyHandler.requests["/plain.png"] == N_TRIES


@pytest.mark.parametrize("text", ["", "coco/val2017\n", "s3://a/b\ns3://c/d\n", "\0\xff" * 9999])
def test_a_file_in_place_of_a_folder_must_have_one_address(tmp_path: Path, text: str) -> None:
    place = tmp_path / "address.txt"
    place.write_text(text, "latin-1")
    with pytest.raises(DataError, match="images must be a folder, or a text file with its address"):
        address_in(place)
    assert address_in(tmp_path) is None
