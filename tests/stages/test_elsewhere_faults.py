"""A bucket that goes away while a stage reads it costs time, or the run, but never a row."""

import re
import shutil
import socket
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Thread
from urllib.parse import urlsplit

import pytest

from stages.settings.params import CACHE_VARIABLE
from storage.files import addresses
from storage.paths import entropy_path
from tests.fixtures.bucket import s3_server, upload, use_server
from tests.fixtures.stage_inputs import CASES, write_masked_split

pytestmark = pytest.mark.slow

AWAY_S = 2.0


@dataclass
class Line:
    """A way to a server on this machine that can be cut in the middle of an answer, and mended.

    Passes bytes on until ``n_bytes`` of answers have passed; then all connections are closed.

    Attributes
    ----------
    address
        Where it listens; while it is cut, connections are refused.
    was_cut
        Set as the line is cut.
    n_lost
        Number of connections to come whose answers get lost, though they stay open.
    """

    server: tuple[str, int]
    address: str = ""
    n_bytes: int = 2**62
    was_cut: Event = field(default_factory=Event)
    n_lost: int = 0
    _port: int = 0
    _open: list[socket.socket] = field(default_factory=list)

    def mend(self) -> None:
        """Accept connections, for good."""
        self.n_bytes = 2**62
        listening = socket.create_server(("127.0.0.1", self._port), backlog=100)
        self._port = listening.getsockname()[1]
        self.address = f"http://127.0.0.1:{self._port}"
        self._open = [listening]
        Thread(target=self._accept, args=(listening,), daemon=True).start()

    def cut(self) -> None:
        """Close every connection, and take no more."""
        for each in self._open:
            # Wakes whoever waits in it, which closing alone does not.
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
        self.was_cut.set()

    def _accept(self, listening: socket.socket) -> None:
        with suppress(OSError):
            while True:
                client, _ = listening.accept()
                server = socket.create_connection(self.server)
                self._open += [client, server]
                Thread(target=self._pass, args=(client, server), daemon=True).start()
                Thread(target=self._answer, args=(server, client), daemon=True).start()

    def _pass(self, source: socket.socket, target: socket.socket) -> None:
        with closing(source), closing(target), suppress(OSError):
            while data := source.recv(2**16):
                target.sendall(data)

    def _answer(self, source: socket.socket, target: socket.socket) -> None:
        is_lost, self.n_lost = self.n_lost > 0, self.n_lost - 1
        with closing(source), closing(target), suppress(OSError):
            while data := source.recv(2**12):
                if is_lost:
                    continue
                target.sendall(data[: max(0, self.n_bytes)])
                self.n_bytes -= len(data)
                # A connection that was accepted during the cut ends here, too.
                if self.n_bytes <= 0:
                    if not self.was_cut.is_set():
                        self.cut()
                    return


@contextmanager
def line_to(address: str) -> Iterator[Line]:
    """A line to the server at an address."""
    place = urlsplit(address)
    line = Line((str(place.hostname), int(place.port or 80)))
    line.mend()
    try:
        yield line
    finally:
        line.cut()


@dataclass(frozen=True)
class Undisturbed:
    """A run of the stage whose cells are in a bucket that stays.

    Attributes
    ----------
    server
        Address of the bucket's server.
    outputs
        Bytes of the stage's files by path.
    n_bytes
        Bytes of the server's answers.
    """

    server: str
    outputs: dict[str, bytes]
    n_bytes: int


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Undisturbed]:
    with s3_server() as server, pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("undisturbed"))
        use_server(server, patch)
        write_masked_split()
        patch.setenv(CACHE_VARIABLE, upload(Path("cache"), "cache"))
        shutil.rmtree("cache")
        with line_to(server) as line:
            patch.setenv("AWS_ENDPOINT_URL", line.address)
            outputs = CASES["entropy"].run(patch)
        yield Undisturbed(server, outputs, 2**62 - line.n_bytes)


@pytest.fixture
def line(
    undisturbed: Undisturbed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Line]:
    """The way to the bucket, from a folder that has the settings alone."""
    for settings in Path().glob("*.yaml"):
        shutil.copyfile(settings, tmp_path / settings)
    monkeypatch.chdir(tmp_path)
    with line_to(undisturbed.server) as line:
        monkeypatch.setenv("AWS_ENDPOINT_URL", line.address)
        yield line


@pytest.mark.parametrize("part", [0.2, 0.9], ids=["metadata", "masks"])
def test_a_server_that_comes_back_is_asked_again(
    undisturbed: Undisturbed, line: Line, monkeypatch: pytest.MonkeyPatch, part: float
) -> None:
    line.n_bytes = int(part * undisturbed.n_bytes)

    def mend_later() -> None:
        line.was_cut.wait()
        time.sleep(AWAY_S)
        line.mend()

    mending = Thread(target=mend_later)
    mending.start()
    assert CASES["entropy"].run(monkeypatch) == undisturbed.outputs
    assert line.was_cut.is_set()
    mending.join()


def test_a_request_whose_answer_is_lost_is_sent_again(
    undisturbed: Undisturbed, line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert addresses.REQUEST_S < addresses.RETRY_S
    monkeypatch.setattr(addresses, "REQUEST_S", 1)
    line.n_lost = 2
    assert CASES["entropy"].run(monkeypatch) == undisturbed.outputs
    assert line.n_lost < 0


@pytest.mark.parametrize("part", [0.2, 0.9], ids=["metadata", "masks"])
def test_a_server_that_stays_away_ends_the_stage_which_names_the_store(
    undisturbed: Undisturbed,
    line: Line,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    part: float,
) -> None:
    monkeypatch.setattr(addresses, "RETRY_S", 1)
    line.n_bytes = int(part * undisturbed.n_bytes)
    with pytest.raises(SystemExit, match="1"):
        CASES["entropy"].run(monkeypatch)
    (error,) = [text for text in capsys.readouterr().err.splitlines() if text.startswith("error")]
    assert re.match(r"error: (every task must succeed, .*)?s3://lab/cache/\w+/", error)
    assert "; if the server was away, run it again" in error
    assert not entropy_path("val").exists()
