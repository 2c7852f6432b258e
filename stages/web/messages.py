"""Requests and answers of the page: bounded bodies, checked prompts, values and masks."""

import asyncio
import base64
import json
from collections.abc import Coroutine, Sequence
from typing import Annotated, Any, Final, TypeVar

import numpy as np
from jaxtyping import Bool, Float32
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request

from pipeline.predictor import PromptSet, Uncertainty
from pipeline.predictor.advice import Costs
from pipeline.vocabulary import N_PROPOSALS
from stages.predictor.answers import mask_result
from stages.settings.parsing import ParamsError
from storage.datasets.coco import EVERYTHING_CATEGORIES, NO_CATEGORY
from storage.images.image_files import png_bytes
from storage.outputs.coco_results import attributes_of, coco_dataset

T = TypeVar("T")
Form = TypeVar("Form", bound=BaseModel)

PAGE: Final = "the page sends it"

MOST_QUESTION_BYTES: Final = 50_000

MOST_CLICKS: Final = 100

STALL_S: Final = 20
"""How long a body may stall."""


async def read_body(request: Request, *, most_bytes: int, what: str) -> bytes:
    """The body of a request, which is given up as soon as it is too long or stalls.

    Raises
    ------
    HTTPException
        If it is too long, or nothing of it came for ``STALL_S``.
    ClientDisconnect
        If the client has left.
    """
    data = bytearray()
    clock = asyncio.get_running_loop().time
    try:
        async with asyncio.timeout(STALL_S) as limit:
            async for part in request.stream():
                limit.reschedule(clock() + STALL_S)
                data += part
                if len(data) > most_bytes:
                    raise too_long(what, most_bytes)
    except TimeoutError as error:
        words = f"{what} must come without a pause of {STALL_S} s, got {len(data)} bytes of it"
        # Otherwise the rest of it would be waited for.
        raise HTTPException(408, words, {"Connection": "close"}) from error
    return bytes(data)


def too_long(what: str, most_bytes: int) -> HTTPException:
    """The refusal of what has too many bytes."""
    return HTTPException(413, f"{what} must be of at most {most_bytes / 1e6:g} MB, got more")


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
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class Click(_Strict):
    """A click, in pixels of the image."""

    x: float
    y: float
    label: float
    """1 on the object, 0 beside it."""


class Prompt(_Strict):
    """A prompt about one object, in pixels of the image."""

    clicks: Annotated[tuple[Click, ...], Field(max_length=MOST_CLICKS)] = ()
    """One of them on the object, unless there is a box."""
    box: tuple[float, float, float, float] | None = None
    """Left, top, right, bottom."""
    costs: Costs = Costs()
    """What a correction must gain to be advised."""


class PromptRequest(Prompt):
    """A prompt about an open image, and who is to answer it."""

    model: str
    heads: str
    proposal: Annotated[int, Field(ge=0, lt=N_PROPOSALS)] = 0
    """Which one to download."""
    file_name: Annotated[str, Field(max_length=255)] = ""
    """Of the image, for the downloaded file; nothing is opened by it."""


def parse_request(kind: type[Form], data: bytes, like: str = PAGE) -> Form:
    """A request of some kind from the body of a request.

    Parameters
    ----------
    like
        Who or what says how it must be.

    Raises
    ------
    ParamsError
        If it is another.
    """
    try:
        return kind.model_validate_json(data)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        raise ParamsError(fault_line(first["loc"], first["msg"], like)) from error


def fault_line(loc: Sequence[object], words: str, like: str = PAGE) -> str:
    """What is wrong with a request: the key that pydantic found at fault, and its words."""
    key = ".".join(str(part) for part in loc) or "question"
    return f"{key} must be as {like}, got: {words}"


def prompt_of(prompt: Prompt) -> PromptSet:
    """The prompt as a predictor takes it; refused if it would be."""
    clicks = [[click.x, click.y] for click in prompt.clicks]
    labels = [click.label for click in prompt.clicks]
    box = None if prompt.box is None else list(prompt.box)
    return PromptSet(clicks or None, labels or None, box)


def uncertainty_response(found: Uncertainty) -> dict[str, Any]:
    """All values about a prompt; masks and entropies as PNG."""
    return {
        **found.prompt_values(),
        "proposals": [_proposal(found, k, bits) for k, bits in enumerate(found.pixel_entropy)],
    }


def _proposal(found: Uncertainty, k: int, bits: Float32[np.ndarray, "y x"]) -> dict[str, Any]:
    return {
        **found.proposal_values(k),
        "area": float(found.masks[k].mean()),
        "mask": _base64_png(_see_through(found.masks[k])),
        "entropy": _base64_png(Image.fromarray((255 * bits).round().astype(np.uint8))),
    }


def _see_through(mask: Bool[np.ndarray, "h w"]) -> Image.Image:
    """White inside, transparent outside: a canvas gives it any colour."""
    picture = Image.fromarray(mask.astype(np.uint8), "P")
    picture.putpalette([0, 0, 0, 255, 255, 255])
    picture.info["transparency"] = 0
    return picture


def _base64_png(picture: Image.Image) -> str:
    png = png_bytes(picture, bits=1 if picture.mode == "P" else 8)
    return base64.b64encode(png).decode()


def mask_png(found: Uncertainty, prompt: PromptRequest) -> bytes:
    """The proposal at the size of its image: 255 inside, 0 outside."""
    return png_bytes(found.masks[prompt.proposal].astype(np.uint8) * 255)


def coco_file(found: Uncertainty, prompt: PromptRequest) -> str:
    """A COCO file of one image with one annotation: the proposal with its values.

    Its ``score`` is the expected IoU, as in the results of ``usam predict-coco``.
    """
    k = prompt.proposal
    height, width = found.masks[k].shape
    result = {"image_id": 1, "category_id": NO_CATEGORY, **mask_result(found, k)}
    result["attributes"] = attributes_of(result["uncertainty"])
    image = {"id": 1, "file_name": prompt.file_name, "height": height, "width": width}
    content = coco_dataset([image], [result], EVERYTHING_CATEGORIES)
    for annotation in content["annotations"]:
        annotation["uncertainty"] = {"proposal": k, **result["uncertainty"]}
    return json.dumps(content, indent=2)
