"""Requests of the page: bodies of a bounded size, prompts checked, and clients that may leave."""

import asyncio
from collections.abc import Coroutine
from typing import Annotated, Any, Final, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request

from pipeline.predictor import PromptSet
from pipeline.vocabulary import N_PROPOSALS
from stages.predictor.prompts import Clicks
from stages.settings.parsing import ParamsError

T = TypeVar("T")

MOST_CLICKS: Final = 100

Pixels = Annotated[float, Field(allow_inf_nan=False)]


async def read_body(request: Request, *, most_bytes: int, what: str) -> bytes:
    """The body of a request, which is given up as soon as it is too long.

    Raises
    ------
    HTTPException
        If it is too long.
    ClientDisconnect
        If the client has left.
    """
    data = bytearray()
    async for part in request.stream():
        data += part
        if len(data) > most_bytes:
            raise HTTPException(413, f"{what} must be of at most {most_bytes / 1e6:g} MB, got more")
    return bytes(data)


async def while_connected(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """What the work returns; it is cancelled if the client leaves meanwhile.

    The body must have been read.

    Raises
    ------
    ClientDisconnect
        If the client has left.
    """
    working, disconnected = asyncio.create_task(work), asyncio.create_task(_disconnected(request))
    try:
        await asyncio.wait({working, disconnected}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise ClientDisconnect
        return working.result()
    finally:
        for task in (working, disconnected):
            task.cancel()


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Click(_Strict):
    """A click, in pixels of the image."""

    x: Pixels
    y: Pixels
    label: Literal[0, 1]
    """1 on the object, 0 beside it."""


class PromptRequest(_Strict):
    """A prompt about an open image, and who is to answer it."""

    model: str
    heads: str
    clicks: Annotated[tuple[Click, ...], Field(max_length=MOST_CLICKS)] = ()
    box: tuple[Pixels, Pixels, Pixels, Pixels] | None = None
    """Left, top, right, bottom."""
    proposal: Annotated[int, Field(ge=0, lt=N_PROPOSALS)] = 0
    """Which one to download."""
    file_name: Annotated[str, Field(max_length=255)] = ""
    """Of the image, for the downloaded file; nothing is opened by it."""


def parse_prompt(data: bytes) -> PromptRequest:
    """A prompt as the page sends it.

    Raises
    ------
    ParamsError
        If it is another.
    """
    try:
        return PromptRequest.model_validate_json(data)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        key = ".".join(str(part) for part in first["loc"]) or "question"
        raise ParamsError(f"{key} must be as the page sends it, got: {first['msg']}") from error


def prompt_of(prompt: PromptRequest, height_px: int, width_px: int) -> PromptSet:
    """The same as a predictor takes it.

    Raises
    ------
    ParamsError
        If it has neither a click on the object nor a box, or lies outside of the image.
    """
    on, beside = (
        tuple((click.x, click.y) for click in prompt.clicks if click.label == label)
        for label in (1, 0)
    )
    if prompt.box is None and not on:
        raise ParamsError("prompt must have a click on the object or a box, got neither")
    clicks = Clicks(on, beside, prompt.box)
    clicks.check((height_px, width_px))
    return clicks.prompt_set
