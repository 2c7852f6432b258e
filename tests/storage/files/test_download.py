"""A download continues where it broke off, and what is not the listed file changes nothing."""

import hashlib
from collections.abc import Iterator
from contextlib import suppress
from gzip import compress
from http import HTTPStatus
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple

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
    monkeypatch.setattr(LyingHandler, "n_taken", 0, raising=False)
    monkeypatch.setattr("storage.files.download.CHUNK_BYTES", FIRST_BYTES // 3)


@pytest.fixture(params=[QuietHandler, RangeHandler], ids=["no ranges", "ranges"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Address of the file on servers with and without ranges."""
    with file_server(tmp_path / "served", request.param) as address:
        yield f"{address}/scans.zip"


def fetch(url: str) -> Path:
    return download(url, Path("scans.zip"), SHA256, len(CONTENT))


def files() -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in Path().iterdir()}


def test_a_download_that_broke_off_continues_where_it_ended(tmp_path: Path) -> None:
    with file_server(tmp_path / "served", BreakingHandler) as address:
        url = f"{address}/scans.zip"
        with pytest.raises(WeightsError, match=r"scans\.zip must download to scans\.zip, got "):
            fetch(url)
        assert files() == {UNFINISHED: CONTENT[:FIRST_BYTES]}
        fetch(url)
    assert BreakingHandler.ranges == ["bytes=0-", f"bytes={FIRST_BYTES}-"]
    assert files() == {"scans.zip": CONTENT}


@pytest.mark.parametrize("n_bytes", [0, FIRST_BYTES, len(CONTENT)])
def test_servers_without_ranges_send_the_whole_file_again(url: str, n_bytes: int) -> None:
    Path(UNFINISHED).write_bytes(CONTENT[:n_bytes])
    fetch(url)
    assert files() == {"scans.zip": CONTENT}


@pytest.mark.parametrize("begun", [b"others", CONTENT[::-1]], ids=["some", "all"])
def test_after_other_bytes_the_next_download_begins_again(tmp_path: Path, begun: bytes) -> None:
    with file_server(tmp_path / "served", RangeHandler) as address:
        Path(UNFINISHED).write_bytes(begun)
        with pytest.raises(WeightsError, match=r"a file of sha256 .* in place of"):
            fetch(f"{address}/scans.zip")
        assert files() == {}
        fetch(f"{address}/scans.zip")
    assert files() == {"scans.zip": CONTENT}


class LyingHandler(QuietHandler):
    """A handler that sends the answer ``lie``, and counts its parts that were taken."""

    lie: "Lie"
    n_taken: int

    def do_GET(self) -> None:  # noqa: N802
        self.send_response(self.lie.status)
        for name, value in self.lie.headers.items():
            self.send_header(name, value)
        self.end_headers()
        with suppress(OSError):  # the client hangs up
            for _ in range(self.lie.n_parts):
                self.wfile.write(self.lie.part)
                type(self).n_taken += 1


class Lie(NamedTuple):
    """Status, headers and parts, all alike, of an answer."""

    status: HTTPStatus
    headers: dict[str, str]
    part: bytes
    n_parts: int = 1


PAGE: Final = b"<html>log in</html>"
OK, PARTIAL = HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT
OF_PAGE: Final = {"Content-Length": str(len(PAGE)), "Content-Type": "text/html"}
REST: Final = f"bytes {FIRST_BYTES}-{len(CONTENT) - 1}/{len(CONTENT)}"
ENDLESS: Final = Lie(PARTIAL, {"Content-Range": REST}, bytes(1 << 20), 200)
LIES: Final = {
    "a page": Lie(OK, OF_PAGE, PAGE),
    "a page of no length": Lie(OK, {}, PAGE),
    "no end": ENDLESS._replace(status=OK),
    "zeros in gzip": Lie(OK, {"Content-Encoding": "gzip"}, compress(bytes(1 << 26)), 20),
    "another range": Lie(PARTIAL, {"Content-Range": REST.replace("3", "2", 1)}, CONTENT),
    "a range of another file": Lie(PARTIAL, {"Content-Range": f"{REST}0"}, CONTENT),
    "an error": Lie(HTTPStatus.BAD_GATEWAY, OF_PAGE, PAGE),
    "no range": Lie(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, {"Content-Length": "0"}, b""),
}


@pytest.mark.parametrize("lie", LIES.values(), ids=LIES)
@pytest.mark.parametrize("n_bytes", [0, FIRST_BYTES])
def test_an_answer_that_is_not_the_file_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lie: Lie, n_bytes: int
) -> None:
    before = {UNFINISHED: CONTENT[:n_bytes]} if n_bytes else {}
    for name, content in before.items():
        Path(name).write_bytes(content)
    monkeypatch.setattr(LyingHandler, "lie", lie, raising=False)
    with (
        file_server(tmp_path / "served", LyingHandler) as address,
        pytest.raises(WeightsError, match=r"scans\.zip must download to scans\.zip, got "),
    ):
        fetch(f"{address}/scans.zip")
    assert files() == before


def test_of_a_rest_without_end_no_more_is_read_than_the_file_lacks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LyingHandler, "lie", ENDLESS, raising=False)
    Path(".x.download.partial").write_bytes(CONTENT[:FIRST_BYTES])
    arrived: list[int] = []
    with (
        file_server(tmp_path / "served", LyingHandler) as address,
        pytest.raises(WeightsError, match=r"a file of sha256 .* in place of"),
    ):
        download(f"{address}/x", Path("x"), SHA256, len(CONTENT), advance=arrived.append)
    assert sum(arrived) == len(CONTENT)
    assert LyingHandler.n_taken < ENDLESS.n_parts / 2
