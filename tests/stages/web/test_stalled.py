"""Who sends slowly or much keeps nobody waiting, and is not waited for."""

import asyncio
import json
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from time import monotonic
from typing import Final
from urllib.parse import urlsplit

import httpx
import pytest

from stages.web import images, messages, server
from stages.web.page import Page
from stages.web.server import served
from storage.images.files import decode_rgb
from tests.fixtures.predictors import drawn
from tests.fixtures.web_page import CHOICE, asked, finished, opened, png, question

N_STALLED: Final = 12

LIMIT_S: Final = 0.5
"""In place of the 20 s for which a sender is waited for."""

HALF_A_BODY: Final = (
    b"POST /api/images?model=tiny&heads=mini HTTP/1.1\r\nHost: 127.0.0.1\r\n"
    b"Content-Length: 1000\r\n\r\nhalf"
)
HALF_A_HEAD: Final = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX-A"


@pytest.fixture
def address() -> Iterator[str]:
    with served(Page()) as address:
        yield address


def connected(address: str, sent: bytes) -> socket.socket:
    """A connection that has sent something, and sends no more."""
    made = socket.create_connection(("127.0.0.1", urlsplit(address).port), timeout=5)
    made.sendall(sent)
    return made


def answer_of(connection: socket.socket) -> bytes:
    """All that comes until the server closes the connection."""
    with connection:
        return b"".join(iter(lambda: connection.recv(4096), b""))


def test_stalled_uploads_keep_nobody_waiting(address: str) -> None:
    stalled = [connected(address, HALF_A_BODY) for _ in range(N_STALLED)]

    async def ask() -> None:
        async with httpx.AsyncClient(base_url=address, timeout=5) as client:
            for given in ({"scene": 0}, {"data": png(drawn())}):
                image = await opened(client, **given)
                path = f"/api/images/{image['image']}/answer"
                told = await client.post(path, json=question((60, 60, 1)))
                assert told.status_code == 200

    finished(ask())
    for connection in stalled:
        connection.close()


def test_a_body_that_stalls_is_given_up_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(messages, "STALL_S", LIMIT_S)
    with served(Page()) as address:
        head, _, body = answer_of(connected(address, HALF_A_BODY)).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 408 ")
    words = "image must come without a pause of 0.5 s, got 4 bytes of it"
    assert json.loads(body) == {"error": words}


def test_a_slow_body_that_goes_on_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(messages, "STALL_S", LIMIT_S)

    async def parts() -> AsyncIterator[bytes]:
        data = png(drawn())
        for k in range(6):
            await asyncio.sleep(LIMIT_S / 3)
            yield data[k * len(data) // 6 : (k + 1) * len(data) // 6]

    async def ask(client: httpx.AsyncClient) -> None:
        response = await client.post("/api/images", params=CHOICE, content=parts())
        assert response.status_code == 200, response.text

    asked(Page(), ask)


@pytest.mark.parametrize("sent", [b"", b"GET", HALF_A_HEAD], ids=["silence", "a word", "half"])
def test_without_a_whole_head_a_connection_is_closed(
    monkeypatch: pytest.MonkeyPatch, sent: bytes
) -> None:
    monkeypatch.setattr(server, "HEAD_S", LIMIT_S)
    with served(Page()) as address:
        began = monotonic()
        assert answer_of(connected(address, sent)) == b""
        assert LIMIT_S / 2 < monotonic() - began < 5


def test_a_head_that_stalls_after_an_answer_is_not_waited_for_either(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(server, "HEAD_S", LIMIT_S)
    whole = b"GET /api/queue HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
    with served(Page()) as address:
        connection = connected(address, whole)
        assert connection.recv(4096).startswith(b"HTTP/1.1 200 ")
        connection.sendall(HALF_A_HEAD)
        assert b"200 OK" not in answer_of(connection)


def test_an_answer_takes_as_long_as_it_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "HEAD_S", LIMIT_S)
    page, gate = Page(), threading.Event()
    with served(page) as address:
        page.queue._thread.submit(gate.wait)
        threading.Timer(3 * LIMIT_S, gate.set).start()
        response = httpx.post(f"{address}api/images", params={**CHOICE, "scene": 0}, timeout=10)
    assert response.status_code == 200


def test_images_that_are_slow_to_decode_do_not_keep_scenes_waiting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gate, decoding = threading.Event(), []

    def slow(data: bytes, **limits: int) -> object:
        if data == b"slow":
            decoding.append(threading.current_thread().name)
            gate.wait(20)
        return decode_rgb(data, **limits)

    monkeypatch.setattr(images, "decode_rgb", slow)

    async def ask(client: httpx.AsyncClient) -> None:
        uploads = [
            asyncio.create_task(client.post("/api/images", params=CHOICE, content=b"slow"))
            for _ in range(64)
        ]
        await asyncio.sleep(0.2)
        image = await asyncio.wait_for(opened(client, scene=0), 5)
        path = f"/api/images/{image['image']}/answer"
        told = await asyncio.wait_for(client.post(path, json=question((60, 60, 1))), 5)
        assert told.status_code == 200
        assert len(decoding) == 1  # which bounds what all hold at once
        gate.set()
        assert {(await upload).status_code for upload in uploads} == {400}

    try:
        asked(Page(), ask)
    finally:
        gate.set()
