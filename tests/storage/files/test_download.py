"""A download continues where it broke off, and a file gets its name only if its sha256 is right."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final

import pytest

from storage.errors import WeightsError
from storage.files.download import download
from tests.fixtures.file_server import QuietHandler, RangeHandler, file_server

CONTENT: Final = bytes(range(256)) * 40
SHA256: Final = hashlib.sha256(CONTENT).hexdigest()
FIRST_BYTES: Final = 3000
UNFINISHED: Final = ".scans.zip.download.partial"


class BreakingHandler(RangeHandler):
    """A handler whose first answer about a file breaks off; it notes the ranges asked for."""

    ranges: list[str | None]

    def copyfile(self, source: BinaryIO, outputfile: BinaryIO) -> None:  # type: ignore[override]
        self.ranges.append(self.headers.get("Range"))
        n_bytes = FIRST_BYTES if len(self.ranges) == 1 else -1
        outputfile.write(source.read(n_bytes))


@pytest.fixture(autouse=True)
def _served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder with the file to serve, and an empty working folder."""
    for name in ("served", "here"):
        (tmp_path / name).mkdir()
    (tmp_path / "served" / "scans.zip").write_bytes(CONTENT)
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(BreakingHandler, "ranges", [], raising=False)
    monkeypatch.setattr("storage.files.download.CHUNK_BYTES", FIRST_BYTES // 3)


@pytest.fixture(params=[QuietHandler, RangeHandler], ids=["no ranges", "ranges"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Address of the file on servers with and without ranges."""
    with file_server(tmp_path / "served", request.param) as address:
        yield f"{address}/scans.zip"


def names() -> list[str]:
    return [path.name for path in Path().iterdir()]


def test_a_download_that_broke_off_continues_where_it_ended(tmp_path: Path) -> None:
    with file_server(tmp_path / "served", BreakingHandler) as address:
        url, file = f"{address}/scans.zip", Path("scans.zip")
        with pytest.raises(WeightsError, match=r"scans\.zip must download to scans\.zip, got "):
            download(url, file, SHA256)
        assert names() == [UNFINISHED]
        assert Path(UNFINISHED).read_bytes() == CONTENT[:FIRST_BYTES]
        download(url, file, SHA256)
    assert BreakingHandler.ranges == ["bytes=0-", f"bytes={FIRST_BYTES}-"]
    assert names() == ["scans.zip"]
    assert file.read_bytes() == CONTENT


@pytest.mark.parametrize("n_bytes", [0, FIRST_BYTES])
def test_servers_without_ranges_send_the_whole_file_again(url: str, n_bytes: int) -> None:
    Path(UNFINISHED).write_bytes(CONTENT[:n_bytes])
    assert download(url, Path("scans.zip"), SHA256).read_bytes() == CONTENT
    assert names() == ["scans.zip"]


def test_after_other_bytes_the_next_download_begins_again(tmp_path: Path) -> None:
    with file_server(tmp_path / "served", RangeHandler) as address:
        url, file = f"{address}/scans.zip", Path("scans.zip")
        for begun, expected in ((b"others", "of sha256"), (CONTENT + b"more", "416")):
            Path(UNFINISHED).write_bytes(begun)
            with pytest.raises(WeightsError, match=expected):
                download(url, file, SHA256)
            assert names() == []
        download(url, file, SHA256)
    assert file.read_bytes() == CONTENT
