"""The web application: serves the page's files, answers its requests, and explains errors."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Final, TypeVar

from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from pipeline.heads.scope import DRAWN_ONLY
from pipeline.predictor import UncertainPredictor
from pipeline.predictor.advice import Costs
from pipeline.prompt_kinds import PromptError
from pipeline.sam.families import DRAWN
from stages.predictor.card_entries import gate_words, set_words
from stages.predictor.model_choice import ModelChoice
from stages.program.main import one_line
from stages.settings.parsing import ParamsError
from stages.web import (
    downloads,
    messages,
    open_images,
    review_routes,
    security,
)
from stages.web.page_state import (
    OfferedScene,
    Page,
    PageState,
    StoredImage,
    installed_models,
    label_of,
)
from storage.errors import DataError, ImageError, StoreError, WeightsError

T = TypeVar("T")

STATIC: Final = Path(__file__).parent / "static"

TYPES: Final = {".html": "text/html", ".css": "text/css", ".js": "text/javascript"}

STATUS: Final = {
    ParamsError: 400,
    PromptError: 400,
    DataError: 400,
    StoreError: 400,
    ImageError: 400,
    WeightsError: 400,
    ClientDisconnect: 499,
    OSError: 500,
}
"""HTTP status of the answer to each error; 499 is for clients that have left, 500 for the disk."""

router: Final = APIRouter(prefix="/api")


async def _opened_image(page: Page, name: str) -> open_images.OpenImage:
    image = page.images.get(name)
    if image is None:
        raise HTTPException(
            404, "image must still be open, got one that made room for others: open it again"
        )
    return image


Opened = Annotated[open_images.OpenImage, Depends(_opened_image)]
"""Parameter of a function that answers a request about an open image."""


@router.get("/options")
async def options(page: Page) -> dict[str, Any]:
    """Models, heads and scenes that a user can choose, default costs, and limits of the page.

    ``source`` names the page's script: ``clicks`` for images, ``review`` for a queue of masks.
    ``model`` is the model that the page starts with; ``heads`` and ``scenes`` are in the order of
    the page. An uploaded file opens with ``heads_of_files``, a scene with ``heads_of_scenes``.
    """
    choices = page.models.choices
    return {
        "heads_of_scenes": page.default_heads,
        "heads_of_files": page.heads_of_files,
        "source": "clicks" if page.review is None else "review",
        "model": page.model,
        "heads": [_head_values(name, choice) for name, choice in choices.items()],
        "scenes": [_scene_values(number, scene) for number, scene in enumerate(page.scenes)],
        "most_bytes": open_images.MOST_UPLOAD_BYTES,
        "most_objects": downloads.MOST_OBJECTS,
        "costs": vars(Costs()),
    }


def _scene_values(number: int, scene: OfferedScene | StoredImage) -> dict[str, Any]:
    """Label and file name of a scene, and the click with which it opens; None for no click."""
    if isinstance(scene, StoredImage):
        return {"label": scene.record.file, "file": scene.record.file, "click": None}
    click = {"x": scene.x, "y": scene.y, "label": 1}
    return {"label": f"Scene {number + 1}", "file": f"scene-{number + 1}.png", "click": click}


def _head_values(name: str, choice: ModelChoice) -> dict[str, Any]:
    return {
        "name": name,
        "label": label_of(choice),
        "models": installed_models(choice),
        "known": choice.known,
        "knows_drawn_only": choice.family == DRAWN,
    }


@router.get("/queue")
async def queue(page: Page) -> dict[str, int]:
    """Number of jobs that wait for the model or use it now, not of masks of a review."""
    return {"length": len(page.jobs)}


@router.get("/scenes/{number}")
async def scene(page: Page, number: int) -> Response:
    """The picture by which a user chooses a scene, as PNG; scenes count from 0."""
    chosen = _scene(page, number)
    png = await _in_turn(page, chosen, lambda: chosen.thumbnail)
    return Response(png, media_type="image/png")


@router.post("/images")
async def open_image(
    request: Request, page: Page, model: str, heads: str, scene: int | None = None
) -> dict[str, Any]:
    """Open the image in the body, or a scene of this number, and encode the image by a model.

    ``heads`` is the name of a head file on the page. The answer has the name under which the image
    is open, its sizes, and whether it is a drawn scene.
    """
    body = await messages.read_body(
        request, most_bytes=open_images.MOST_UPLOAD_BYTES, subject="image"
    )

    async def encoded() -> open_images.OpenImage:
        chosen = None if scene is None else _scene(page, scene)
        image = await _in_turn(
            page,
            chosen,
            lambda: open_images.OpenImage(
                open_images.decode(body) if chosen is None else chosen.rgb,
                is_scene=isinstance(chosen, OfferedScene),
            ),
        )
        await page.jobs.run(lambda: image.predictor_like(page.models.predictor(heads, model)))
        return image

    image = await messages.while_connected(request, encoded())
    return {
        "image": page.images.add(image),
        "height_px": image.height_px,
        "width_px": image.width_px,
        "shown_size_px": image.shown_size_px,
        "is_scene": image.is_scene,
    }


async def _in_turn(
    page: PageState, chosen: OfferedScene | StoredImage | None, work: Callable[[], T]
) -> T:
    """Do ``work``, which decodes a file: one file at a time, so that memory suffices.

    Work on a drawn scene, which is small, does not wait for uploads.
    """
    return await (
        asyncio.to_thread(work) if isinstance(chosen, OfferedScene) else page.decoder.run(work)
    )


@router.get("/images/{name}")
async def picture(image: Opened) -> Response:
    """An open image as PNG, upright, and no larger than the page shows it."""
    return Response(image.picture, media_type="image/png")


@router.delete("/images/{name}")
async def close_image(page: Page, name: str, *, may_return: bool = False) -> None:
    """Close an image; with ``may_return``, only if no request for it comes in ``RELOAD_S``."""
    if may_return:
        page.images.leave(name)
    else:
        page.images.drop(name)


@router.post("/images/{name}/answer")
async def answer(request: Request, page: Page, image: Opened) -> dict[str, Any]:
    """Answer a prompt about one object of an open image: proposals, and how far to trust them.

    The answer has the values of ``uncertainty_response``, ``can_judge`` (whether advice may be
    given), ``gate`` and ``set`` (sentences about guarantees, or empty). For a drawn scene,
    ``caution`` does not say that the heads learned from drawn shapes alone.
    """
    prompt = await messages.read_request(request, messages.PromptRequest)

    def job() -> dict[str, Any]:
        predictor = _predictor(page, image, prompt.heads, prompt.model)
        (uncertainty,) = predictor.predict_uncertainties(
            [prompt.prompt_set], costs=prompt.costs, mask_size_px=image.shown_size_px
        )
        cautions = uncertainty.permission.cautions
        settled = {DRAWN_ONLY} if image.is_scene else set()
        return {
            **messages.uncertainty_response(uncertainty),
            "caution": "; ".join(caution for caution in cautions if caution not in settled) or None,
            "can_judge": uncertainty.permission.advises,
            "gate": gate_words(uncertainty),
            "set": set_words(uncertainty),
        }

    return await messages.while_connected(request, page.jobs.run(job))


async def _annotated(
    request: Request, page: Page, image: Opened
) -> tuple[list[downloads.Annotation], str]:
    """Predict the mask of each prompt in a request; return them with the image's file name."""
    download = await messages.read_request(
        request, downloads.DownloadRequest, downloads.MOST_REQUEST_BYTES
    )

    def job(prompted: downloads.ObjectPrompt) -> downloads.Annotation:
        predictor = _predictor(page, image, download.heads, download.model)
        return downloads.annotation_of(predictor, prompted, download.costs)

    async def annotations() -> list[downloads.Annotation]:
        # A job for each object: requests of other users get their turn between two objects.
        return [await page.jobs.run(partial(job, prompted)) for prompted in download.objects]

    return await messages.while_connected(request, annotations()), download.file_name


Annotations = Annotated[tuple[list[downloads.Annotation], str], Depends(_annotated)]


@router.post("/images/{name}/coco")
async def coco(annotated: Annotations) -> Response:
    """Predict the mask of each prompt in the request, and answer with a COCO file.

    If no image is open under ``name``, the status is 404.
    """
    return Response(downloads.coco_file(*annotated), media_type="application/json")


@router.post("/images/{name}/masks")
async def masks(annotated: Annotations) -> Response:
    """Predict the mask of each prompt in the request; answer with a ZIP of PNGs and a COCO file.

    If no image is open under ``name``, the status is 404.
    """
    archive = await asyncio.to_thread(downloads.mask_archive, *annotated)
    return Response(archive, media_type="application/zip")


def _predictor(
    page: PageState, image: open_images.OpenImage, heads: str, model: str
) -> UncertainPredictor:
    return image.predictor_like(page.models.predictor(heads, model))


def _scene(page: PageState, number: int) -> OfferedScene | StoredImage:
    if not 0 <= number < len(page.scenes):
        raise HTTPException(404, f"scene must be in 0..{len(page.scenes) - 1}, got {number}")
    return page.scenes[number]


def web_app(page: PageState, *, token: str | None = None) -> security.AccessControl:
    """The web application of a page; it ends the page's queues when it is shut down.

    Parameters
    ----------
    token
        Token that requests must carry; None permits only requests to this machine's own name.
    """

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        yield
        page.close()

    # FastAPI's own pages would load scripts from other machines, and its telemetry would report to
    # the address that the environment names.
    app = FastAPI(
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        telemetry={"auto_configure": False, "tracing": False, "metrics": False, "logs": False},
        lifespan=lifespan,
    )
    app.state.page = page
    app.include_router(router)
    if page.review is not None:
        app.include_router(review_routes.router)
    for path in STATIC.iterdir():
        _add_file(app, path)
    for error, status in STATUS.items():
        app.add_exception_handler(error, _error_handler(status))
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.add_exception_handler(HTTPException, _http_error)
    return security.AccessControl(app, token)


def _add_file(app: FastAPI, path: Path) -> None:
    """Serve a file of the page from memory: the path in a request never opens a file."""
    content, media_type = path.read_bytes(), TYPES[path.suffix]

    async def file() -> Response:
        return Response(content, media_type=media_type)

    address = "/" if path.name == "index.html" else f"/{path.name}"
    app.add_api_route(address, file)


def _error_handler(status: int) -> Callable[[Request, Exception], Awaitable[Response]]:
    async def answer_error(_request: Request, error: Exception) -> Response:
        return JSONResponse({"error": one_line(error)}, status)

    return answer_error


async def _validation_error(_request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]  # the first part of `loc` is the place in the request: query, path
    return JSONResponse({"error": messages.fault_line(first["loc"][1:], first["msg"])}, 400)


async def _http_error(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return JSONResponse({"error": error.detail}, error.status_code, error.headers)
