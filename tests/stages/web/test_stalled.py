"""Who sends slowly or much keeps nobody waiting, and is not waited for."""

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Callable
from typing import Any, Final

import httpx
import pytest
from uvicorn.server import ServerState

from stages.web import open_images
from stages.web.messages import STALL_S
from stages.web.page_state import PageState
from stages.web.server import HEAD_S, Endpoint, server_of
from storage.images.image_files import decode_rgb
from tests.fixtures.predictors import drawn
from tests.fixtures.web_page import (
    CHOICE,
    PATIENCE_S,
    asked,
    clocked_loop,
    finished,
    opened,
    png,
    question,
    until,
)

HEAD: Final = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
HALF_A_HEAD: Final = HEAD[:-4]


def test_a_body_that_stalls_is_given_up_in_words(page: PageState) -> None:
    async def parts() -> AsyncIterator[bytes]:
        yield b"half"
        await asyncio.sleep(10 * STALL_S)

    async def ask(client: httpx.AsyncClient) -> None:
        response = await client.post("/api/images", params=CHOICE, content=parts())
        assert (response.status_code, response.headers["Connection"]) == (408, "close")
        words = "image must come without a pause of 20 s, got 4 bytes of it"
        assert response.json() == {"error": words}

    asked(page, ask, loop=clocked_loop)


def test_a_slow_body_that_goes_on_is_taken(page: PageState) -> None:
    async def parts() -> AsyncIterator[bytes]:
        data = png(drawn())
        for k in range(6):
            await asyncio.sleep(STALL_S - 1)
            yield data[k * len(data) // 6 : (k + 1) * len(data) // 6]

    async def ask(client: httpx.AsyncClient) -> None:
        response = await client.post("/api/images", params=CHOICE, content=parts())
        assert response.status_code == 200, response.text

    asked(page, ask, loop=clocked_loop)


class Wire(asyncio.Transport):
    """What a connection writes to."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.is_closed = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += data

    def close(self) -> None:
        self.is_closed = True

    def is_closing(self) -> bool:
        return self.is_closed


def connected(page: PageState, answer_s: float = 0) -> tuple[Callable[[bytes], None], Wire]:
    """What takes bytes of a client, as the server has it, and where its answers arrive."""

    async def answer(_scope: object, _receive: object, send: Callable[..., Any]) -> None:
        await asyncio.sleep(answer_s)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body"})

    with socket.socket() as unused:
        config = server_of(page, Endpoint(unused, None)).config
    config.load()
    config.loaded_app = answer
    made: Any = config.http_protocol_class
    connection = made(config, ServerState(), {})
    connection.connection_made(wire := Wire())
    return connection.data_received, wire


async def assert_closed_by_the_limit(wire: Wire) -> None:
    await asyncio.sleep(HEAD_S - 1)
    assert not wire.is_closed
    await asyncio.sleep(2)
    assert wire.is_closed


@pytest.mark.parametrize("sent", [b"", HALF_A_HEAD], ids=["silence", "half"])
def test_without_a_whole_head_a_connection_is_closed(page: PageState, sent: bytes) -> None:
    async def run() -> None:
        send, wire = connected(page)
        send(sent) if sent else None
        await assert_closed_by_the_limit(wire)
        assert wire.written == b""

    finished(run(), clocked_loop)


def test_a_head_that_stalls_after_an_answer_is_not_waited_for_either(page: PageState) -> None:
    async def run() -> None:
        send, wire = connected(page)
        send(HEAD)
        await asyncio.sleep(1)
        assert wire.written.startswith(b"HTTP/1.1 200 ")
        send(HALF_A_HEAD)
        await assert_closed_by_the_limit(wire)

    finished(run(), clocked_loop)


def test_an_answer_takes_as_long_as_it_takes(page: PageState) -> None:
    async def run() -> None:
        send, wire = connected(page, answer_s=3 * HEAD_S)
        send(HEAD)
        await asyncio.sleep(3 * HEAD_S + 1)
        assert wire.written.startswith(b"HTTP/1.1 200 ")

    finished(run(), clocked_loop)


def test_images_that_are_slow_to_decode_do_not_keep_scenes_waiting(
    page: PageState, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate, decoding = threading.Event(), []

    def slow(data: bytes, **limits: int) -> object:
        if data == b"slow":
            decoding.append(threading.current_thread().name)
            gate.wait()
        return decode_rgb(data, **limits)

    monkeypatch.setattr(open_images, "decode_rgb", slow)

    async def ask(client: httpx.AsyncClient) -> None:
        uploads = [
            asyncio.create_task(client.post("/api/images", params=CHOICE, content=b"slow"))
            for _ in range(64)
        ]
        try:
            await until(lambda: decoding)
            async with asyncio.timeout(PATIENCE_S):
                image = await opened(client, scene=0)
                path = f"/api/images/{image['image']}/answer"
                told = await client.post(path, json=question((60, 60, 1)))
            assert told.status_code == 200
            assert len(decoding) == 1  # which bounds what all hold at once
        finally:
            gate.set()
        assert {(await upload).status_code for upload in uploads} == {400}

    asked(page, ask)
