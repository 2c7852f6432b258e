"""The web application: the page's files, its requests, and errors in words."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final, TypeVar, cast

from fastapi import APIRouter, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from pipeline.predictor import Uncertainty
from pipeline.predictor.advice import Costs
from pipeline.prompt_kinds import PromptError
from stages.predictor.card_entries import gate_words, set_words
from stages.program.main import one_line
from stages.settings.parsing import ParamsError
from stages.web import messages, open_images, security, stateless
from stages.web.page_state import HeadChoice, PageState
from storage.errors import DataError, ImageError, WeightsError
from storage.head_files.head_file import SHIPPED_FAMILY

STATIC: Final = Path(__file__).parent / "static"

TYPES: Final = {".html": "text/html", ".css": "text/css", ".js": "text/javascript"}

STATUS: Final = {
    ParamsError: 400,
    PromptError: 400,
    DataError: 400,
    ImageError: 400,
    WeightsError: 400,
    ClientDisconnect: 499,
}
"""HTTP status by error; 499 is for clients that have left."""

T = TypeVar("T")

router: Final = APIRouter(prefix="/api", include_in_schema=False)


def _page(request: Request) -> PageState:
    return cast("PageState", request.app.state.page)


@router.get("/options")
async def options(request: Request) -> dict[str, Any]:
    """What there is to choose, and the limits."""
    page = _page(request)
    choices = page.models.choices
    return {
        "model": page.model,
        "heads": [_head_values(name, choice) for name, choice in choices.items()],
        "scenes": [{"x": scene.x, "y": scene.y} for scene in page.scenes],
        "most_bytes": open_images.MOST_UPLOAD_BYTES,
        "most_px": open_images.MOST_PX,
        "costs": vars(Costs()),
    }


def _head_values(name: str, choice: HeadChoice) -> dict[str, Any]:
    return {
        "name": name,
        "label": choice.label,
        "models": choice.models,
        "known": choice.file.models,
        "knows_drawn_only": choice.file.card["family"] == SHIPPED_FAMILY,
    }


@router.get("/queue")
async def queue(request: Request) -> dict[str, int]:
    """How many requests wait for the model, with the one that it is at."""
    return {"length": len(_page(request).queue)}


@router.get("/scenes/{number}")
async def scene(request: Request, number: int) -> Response:
    """A scene as PNG."""
    return Response(_scene_png(_page(request), number), media_type="image/png")


@router.post("/images")
async def open_image(
    request: Request, model: str, heads: str, scene: int | None = None
) -> dict[str, Any]:
    """Open the image in the body, or a scene, and encode it for a model."""
    page = _page(request)
    data = await messages.read_body(request, most_bytes=open_images.MOST_UPLOAD_BYTES, what="image")

    async def opened() -> open_images.OpenImage:
        if scene is None:
            image = await page.decoder.run(lambda: open_images.OpenImage(data))
        else:
            image = await asyncio.to_thread(open_images.OpenImage, _scene_png(page, scene))
        await page.queue.run(lambda: image.predictor_like(page.models.predictor(heads, model)))
        return image

    image = await messages.while_connected(request, opened())
    return {
        "image": page.images.add(image),
        "height_px": image.height_px,
        "width_px": image.width_px,
        "shown_size_px": image.shown_size_px,
        "is_scene": image.is_scene,
    }


@router.get("/images/{name}")
async def picture(request: Request, name: str) -> Response:
    """An open image as PNG, upright, and no larger than the page shows it."""
    return Response(_image(request, name).picture, media_type="image/png")


@router.delete("/images/{name}")
async def close_image(request: Request, name: str, *, left: bool = False) -> None:
    """Forget an image; one that was left, unless the page that shows it is loaded again."""
    opened = _page(request).images
    if left:
        opened.leave(name)
    else:
        opened.drop(name)


@router.post("/images/{name}/answer")
async def answer(request: Request, name: str) -> dict[str, Any]:
    """Three proposals for a prompt, and how far to trust them."""

    def values(found: Uncertainty, prompt: messages.PromptRequest) -> dict[str, Any]:
        card = _page(request).models.choices[prompt.heads].file.card
        promised = {
            "gate": gate_words(card, prompt.model),
            "set": set_words(card, prompt.model, found.mask_set),
        }
        return {**messages.uncertainty_response(found), **promised}

    return await _respond(request, name, values, shown=True)


@router.post("/images/{name}/coco")
async def coco(request: Request, name: str) -> Response:
    """A proposal as a COCO file."""
    text = await _respond(request, name, messages.coco_file)
    return Response(text, media_type="application/json")


@router.post("/images/{name}/mask")
async def mask(request: Request, name: str) -> Response:
    """A proposal as PNG, 255 inside."""
    png = await _respond(request, name, messages.mask_png)
    return Response(png, media_type="image/png")


def _scene_png(page: PageState, number: int) -> bytes:
    if not 0 <= number < len(page.scenes):
        raise HTTPException(404, f"scene must be in 0..{len(page.scenes) - 1}, got {number}")
    return page.scenes[number].png


def _image(request: Request, name: str) -> open_images.OpenImage:
    image = _page(request).images.get(name)
    if image is None:
        raise HTTPException(
            404, "image must still be open, got one that made room for others: open it again"
        )
    return image


async def _respond(
    request: Request,
    name: str,
    respond: Callable[[Uncertainty, messages.PromptRequest], T],
    *,
    shown: bool = False,
) -> T:
    """What is made of the predictor's answer to the prompt in the body.

    Parameters
    ----------
    shown
        Whether masks are of the size that the page shows them in, or of the image's.
    """
    page, image = _page(request), _image(request, name)
    most_bytes = messages.MOST_QUESTION_BYTES
    body = await messages.read_body(request, most_bytes=most_bytes, what="question")
    prompt = messages.parse_request(messages.PromptRequest, body)

    def job() -> T:
        prompt_set = messages.prompt_of(prompt)
        predictor = image.predictor_like(page.models.predictor(prompt.heads, prompt.model))
        size_px = image.shown_size_px if shown else None
        (found,) = predictor.predict_uncertainties(
            [prompt_set], costs=prompt.costs, mask_size_px=size_px
        )
        return respond(found, prompt)

    return await messages.while_connected(request, page.queue.run(job))


def web_app(page: PageState, *, token: str | None = None) -> security.AccessControl:
    """The application, which ends the page's queues when it is shut down.

    Parameters
    ----------
    token
        What requests must carry; without one, only this machine may send any.
    """

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        yield
        page.close()

    # FastAPI's own pages would load scripts from elsewhere, and it reports to where the environment
    # says.
    app = FastAPI(
        openapi_url=stateless.SCHEMA,
        docs_url=None,
        redoc_url=None,
        telemetry={"auto_configure": False, "tracing": False, "metrics": False, "logs": False},
        lifespan=lifespan,
    )
    app.state.page = page
    app.include_router(router)
    app.include_router(stateless.router)
    app.openapi = lambda: stateless.schema(app)  # type: ignore[method-assign] # as FastAPI's docs do
    for path in STATIC.iterdir():
        _add_file(app, path)
    for error, status in STATUS.items():
        app.add_exception_handler(error, _error_handler(status))
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.add_exception_handler(HTTPException, _http_error)
    return security.AccessControl(app, token)


def _add_file(app: FastAPI, path: Path) -> None:
    """Serve a file of the page, read once: no requested path is ever opened."""
    content, media_type = path.read_bytes(), TYPES[path.suffix]

    async def file() -> Response:
        return Response(content, media_type=media_type)

    address = "/" if path.name == "index.html" else f"/{path.name}"
    app.add_api_route(address, file, include_in_schema=False)


def _error_handler(status: int) -> Callable[[Request, Exception], Awaitable[Response]]:
    async def answer_error(_request: Request, error: Exception) -> Response:
        return JSONResponse({"error": one_line(error)}, status)

    return answer_error


async def _validation_error(_request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]  # the first part of its place is which part of the request
    return JSONResponse({"error": messages.fault_line(first["loc"][1:], first["msg"])}, 400)


async def _http_error(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return JSONResponse({"error": error.detail}, error.status_code, error.headers)
