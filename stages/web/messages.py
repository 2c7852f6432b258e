"""Reads and checks the page's requests, and writes answers with masks as PNG."""

import asyncio
import base64
from collections.abc import Coroutine, Sequence
from typing import Annotated, Any, Final, TypeVar

import numpy as np
from jaxtyping import Bool, Float32
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request

from pipeline.predictor import Choice, PromptSet, Uncertainty
from pipeline.predictor.advice import Costs
from pipeline.vocabulary import N_PROPOSALS
from stages.settings.parsing import ParamsError
from storage.images.image_files import png_bytes

T = TypeVar("T")
Form = TypeVar("Form", bound=BaseModel)

MOST_QUESTION_BYTES: Final = 50_000

MOST_CLICKS: Final = 100
"""Most clicks in a prompt about one object."""

STALL_S: Final = 20
"""Longest pause, in seconds, while the body of a request arrives."""


async def read_body(request: Request, *, most_bytes: int, subject: str) -> bytes:
    """Read the whole body of a request, unless the body is too long or stalls.

    A body of more than ``most_bytes``, or a pause of ``STALL_S``, is an ``HTTPException`` about the
    ``subject`` (``image``, ``question``); a client that has left is a ``ClientDisconnect``.
    """
    body = bytearray()
    clock = asyncio.get_running_loop().time
    try:
        async with asyncio.timeout(STALL_S) as limit:
            async for chunk in request.stream():
                limit.reschedule(clock() + STALL_S)
                body += chunk
                if len(body) > most_bytes:
                    raise too_long(subject, most_bytes)
    except TimeoutError as error:
        words = f"{subject} must come without a pause of {STALL_S} s, got {len(body)} bytes of it"
        # Without this header, uvicorn would wait for the rest of the body.
        raise HTTPException(408, words, {"Connection": "close"}) from error
    return bytes(body)


def too_long(subject: str, most_bytes: int) -> HTTPException:
    """Make the HTTP error 413, by which ``subject``, a body or the image in it, is refused."""
    return HTTPException(413, f"{subject} must be of at most {most_bytes / 1e6:g} MB, got more")


async def while_connected(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """Run ``work`` and return its result; cancel ``work`` if the client leaves meanwhile.

    The body of the request must have been read before. A client that leaves is a
    ``ClientDisconnect``.
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


class Strict(BaseModel):
    """Base class of requests and their parts; an unknown field is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class Click(Strict):
    """Place of a click in pixels of the image, and whether it is on the object."""

    x: float
    y: float
    label: float
    """1 on the object, 0 beside it."""


class Prompt(Strict):
    """Clicks and a box about one object, in pixels of the image."""

    clicks: Annotated[tuple[Click, ...], Field(max_length=MOST_CLICKS)] = ()
    """At least one click is on the object, unless there is a box."""
    box: tuple[float, float, float, float] | None = None
    """Left, top, right, bottom."""

    @property
    def prompt_set(self) -> PromptSet:
        """Clicks, labels and box in the form that a predictor takes; absent parts are None."""
        clicks = [[click.x, click.y] for click in self.clicks]
        labels = [click.label for click in self.clicks]
        return PromptSet(
            clicks or None, labels or None, None if self.box is None else list(self.box)
        )


class PromptRequest(Prompt):
    """Body of a question about an open image, which the URL names: prompt, costs, model, heads."""

    costs: Costs = Costs()
    """Costs of corrections, in IoU: advice must gain more."""
    model: str
    heads: str


async def read_request(
    request: Request, kind: type[Form], most_bytes: int = MOST_QUESTION_BYTES
) -> Form:
    """Read the JSON body of a request by ``read_body``, and check it against the class ``kind``.

    A body that does not fit is a ``ParamsError``.
    """
    body = await read_body(request, most_bytes=most_bytes, subject="question")
    try:
        return kind.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        raise ParamsError(fault_line(first["loc"], first["msg"])) from error


def fault_line(loc: Sequence[object], words: str) -> str:
    """Error message about a request, from pydantic's path of the faulty field and its words."""
    key = ".".join(map(str, loc)) or "question"
    return f"{key} must be as the page sends it, got: {words}"


def uncertainty_response(uncertainty: Uncertainty) -> dict[str, Any]:
    """All values of a prompt and its masks, for JSON.

    They are the values of the prompt, by ``Uncertainty.prompt_values``, and ``proposals``, a list
    with the values of each mask: the three proposals and, if the heads choose a mask that is no
    proposal's own mask, that mask. Masks and entropies are PNG in base64; 255 is an entropy of 1
    bit.
    """
    masks = [uncertainty.mask_of(k) for k in range(N_PROPOSALS)]
    choice = uncertainty.choice
    if choice is not None and not choice.is_own_mask(choice.proposal):
        masks.append(choice)
    bits = uncertainty.pixel_entropy
    return {
        **uncertainty.prompt_values(),
        "proposals": [_mask_values(uncertainty, mask, bits[mask.proposal]) for mask in masks],
    }


def _mask_values(
    uncertainty: Uncertainty, mask: Choice, bits: Float32[np.ndarray, "y x"]
) -> dict[str, Any]:
    values = uncertainty.proposal_values(mask.proposal)
    iou = values["expected_iou"]
    return {
        **values,
        "expected_iou": iou and iou | {"own": mask.expected_iou},
        "area": float(mask.mask.mean()),
        "mask": mask_png(mask.mask),
        "entropy": _base64_png(Image.fromarray((255 * bits).round().astype(np.uint8))),
    }


def mask_png(mask: Bool[np.ndarray, "h w"]) -> str:
    """A mask as PNG in base64, white inside the mask and transparent outside."""
    return _base64_png(_see_through(mask))


def _see_through(mask: Bool[np.ndarray, "h w"]) -> Image.Image:
    """A picture, white inside the mask, else transparent: a canvas can give it any colour."""
    picture = Image.fromarray(mask.astype(np.uint8), "P")
    picture.putpalette([0, 0, 0, 255, 255, 255])
    picture.info["transparency"] = 0
    return picture


def _base64_png(picture: Image.Image) -> str:
    png = png_bytes(picture, bits=1 if picture.mode == "P" else 8)
    return base64.b64encode(png).decode()
