"""``/api/predict``: an image and a prompt in, a mask with its uncertainty out; nothing is kept."""

import base64
from functools import partial
from importlib.metadata import version
from typing import Annotated, Any, Final, cast

import numpy as np
from fastapi import APIRouter, FastAPI, Request
from fastapi.openapi.utils import get_openapi
from jaxtyping import UInt8
from pycocotools import mask as coco_mask
from pydantic import AfterValidator, BaseModel, ConfigDict, WithJsonSchema

from pipeline.predictor import UncertainPredictor, Uncertainty, coco_masks
from stages.predictor.answers import mask_result
from stages.web import messages, open_images
from stages.web.page_state import PageState
from storage.outputs.coco_results import attributes_of

MOST_BYTES: Final = open_images.MOST_UPLOAD_BYTES * 4 // 3 + messages.MOST_QUESTION_BYTES
"""Of a body: base64 has four characters for three bytes."""

SCHEMA: Final = "/openapi.json"


class PredictRequest(messages.Prompt):
    """An image and a prompt about one object in it."""

    image: Annotated[
        bytes,
        AfterValidator(partial(base64.b64decode, validate=True)),
        WithJsonSchema({"type": "string", "contentEncoding": "base64"}),
    ]
    """The bytes of a file, in base64: JPEG, PNG, WebP, GIF, BMP or TIFF."""
    model: str | None = None
    """By default, that with which the page starts."""
    heads: str | None = None
    """By default, the first that the page offers."""


class PredictResponse(BaseModel):
    """The selected mask, as an entry of the results of ``usam predict-coco``."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    segmentation: dict[str, Any]
    """Run lengths of COCO."""
    polygons: list[list[int]]
    """The outlines, without holes."""
    bbox: list[float]
    """Left, top, width, height."""
    area: int
    """In pixels."""
    score: float
    """IoU that is expected of the mask."""
    attributes: dict[str, float]
    """Numbers to sort by."""
    uncertainty: dict[str, Any]
    """All that is said of the mask."""


class Refusal(BaseModel):
    """Why there is no answer."""

    error: str


router: Final = APIRouter(prefix="/api")


@router.post(
    "/predict",
    responses={"4XX": {"model": Refusal}},
    openapi_extra={
        "security": [{"token": []}, {}],
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {"schema": {"$ref": "#/components/schemas/PredictRequest"}}
            },
        },
    },
)
async def predict(request: Request) -> PredictResponse:
    """Segment one object of an image, and say how wrong the mask may be; nothing is kept."""
    page = cast("PageState", request.app.state.page)
    body = await messages.read_body(request, most_bytes=MOST_BYTES, what="question")

    async def answered() -> PredictResponse:
        asked, rgb = await page.decoder.run(lambda: _parsed(body))
        return await page.queue.run(lambda: _answer(page, asked, rgb))

    return await messages.while_connected(request, answered())


def _parsed(body: bytes) -> tuple[PredictRequest, UInt8[np.ndarray, "h w 3"]]:
    asked = messages.parse_request(PredictRequest, body, f"{SCHEMA} has it")
    if len(asked.image) > open_images.MOST_UPLOAD_BYTES:
        raise messages.too_long("image", open_images.MOST_UPLOAD_BYTES)
    return asked, open_images.decode(asked.image)


def _answer(
    page: PageState, asked: PredictRequest, rgb: UInt8[np.ndarray, "h w 3"]
) -> PredictResponse:
    loaded = page.models.predictor(asked.heads or page.default_heads, asked.model or page.model)
    predictor = UncertainPredictor(loaded.sam, loaded.heads)
    predictor.set_image(rgb)
    prompts = [messages.prompt_of(asked)]
    (found,) = predictor.predict_uncertainties(prompts, costs=asked.costs)
    return _response(found)


def _response(found: Uncertainty) -> PredictResponse:
    mask, result = found.masks[found.selected], mask_result(found, found.selected)
    return PredictResponse(
        **result,
        attributes=attributes_of(result["uncertainty"]),
        polygons=coco_masks.polygons(mask),
        bbox=coco_mask.toBbox(result["segmentation"]).tolist(),
        area=int(mask.sum()),
    )


def schema(app: FastAPI) -> dict[str, Any]:
    """What other programs may ask of an application, as OpenAPI has it.

    The body of a question is described here: FastAPI would read it whole, however long it is.
    """
    content = get_openapi(title="usam demo", version=version("usam-cache"), routes=app.routes)
    form = PredictRequest.model_json_schema(ref_template="#/components/schemas/{model}")
    parts = form.pop("$defs")
    content["components"]["schemas"] |= {**parts, "PredictRequest": form}
    content["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
    return content
