"""Requests as they come in: bodies of a bounded size, and askers who may leave."""

import asyncio
from collections.abc import Coroutine
from typing import Any, Final, TypeVar

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request

T = TypeVar("T")

BODY_S: Final = 60
"""Longest time that a body may take to come in."""


async def read_body(request: Request, *, most_bytes: int, what: str) -> bytes:
    """The body of a request, which is given up as soon as it is too long.

    Raises
    ------
    HTTPException
        If it is too long, or does not come in.
    ClientDisconnect
        If the asker has left.
    """
    rule = f"{what} must be of at most {most_bytes / 1e6:g} MB, got"
    told = request.headers.get("content-length", "0")
    if int(told) > most_bytes:
        raise HTTPException(413, f"{rule} {int(told) / 1e6:.1f}")
    data = bytearray()
    try:
        async with asyncio.timeout(BODY_S):
            async for part in request.stream():
                data += part
                if len(data) > most_bytes:
                    raise HTTPException(413, f"{rule} more")
    except TimeoutError as error:
        raise HTTPException(408, f"{what} must come in within {BODY_S} s, got a part") from error
    return bytes(data)


async def while_there(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """What the work returns; it is cancelled if the asker leaves meanwhile.

    The body must have been read.

    Raises
    ------
    ClientDisconnect
        If the asker has left.
    """
    working, leaving = asyncio.create_task(work), asyncio.create_task(_left(request))
    try:
        await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise ClientDisconnect
        return working.result()
    finally:
        for task in (working, leaving):
            task.cancel()


async def _left(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
