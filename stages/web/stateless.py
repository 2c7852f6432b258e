"""``/api/predict``: an image and a prompt in, a mask with its uncertainty out; no image is kept."""

import base64
from copy import copy
from functools import partial
from importlib.metadata import version
from typing import Annotated, Any, Final, Literal

import numpy as np
from fastapi import APIRouter, FastAPI, Request
from fastapi.openapi.utils import get_openapi
from jaxtyping import UInt8
from pycocotools import mask as coco_mask
from pydantic import AfterValidator, BaseModel, ConfigDict, WithJsonSchema

from pipeline.predictor import Uncertainty, coco_masks
from stages.predictor.answers import mask_result, picked_mask
from stages.predictor.command_options import check_masks
from stages.web import messages, open_images
from stages.web.page_state import Page, PageState
from storage.outputs.coco_results import attributes_of

MOST_BYTES: Final = open_images.MOST_UPLOAD_BYTES * 4 // 3 + messages.MOST_QUESTION_BYTES
"""Most bytes of a request's body: base64 takes four characters for three bytes of an image."""

SCHEMA: Final = "/openapi.json"


class PredictRequest(messages.PricedPrompt):
    """Body of a request: an image, a prompt about one object in it, model, heads and costs."""

    image: Annotated[
        bytes,
        AfterValidator(partial(base64.b64decode, validate=True)),
        WithJsonSchema({"type": "string", "contentEncoding": "base64"}),
    ]
    """The bytes of a file, in base64: JPEG, PNG, WebP, GIF, BMP or TIFF."""
    model: str | None = None
    """By default, the model that the page starts with."""
    heads: str | None = None
    """By default, those that the page takes for files."""
    masks: Literal["selected", "best"] = "selected"
    """The mask of the answer: the one that SAM2 selects, or the one that the heads choose."""


class PredictResponse(BaseModel):
    """Mask of the prompt with its expected IoU, its box and all values of its uncertainty.

    The form is that of an entry in the results of ``usam predict-coco``.
    """

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
    """Expected IoU of the mask."""
    attributes: dict[str, float]
    """Numbers to sort by."""
    uncertainty: dict[str, Any]
    """All values of the mask and of its prompt."""


class Refusal(BaseModel):
    """Error message, the answer to a request that is refused."""

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
async def predict(request: Request, page: Page) -> PredictResponse:
    """Segment one object of an image, and say how wrong the mask may be; no image is kept."""
    body = await messages.read_body(request, most_bytes=MOST_BYTES, subject="question")

    async def answered() -> PredictResponse:
        question, rgb = await page.decoder.run(lambda: _parsed(body))
        return await page.jobs.run(lambda: _answer(page, question, rgb))

    return await messages.while_connected(request, answered())


def _parsed(body: bytes) -> tuple[PredictRequest, UInt8[np.ndarray, "h w 3"]]:
    question = messages.parse_request(PredictRequest, body, f"{SCHEMA} has it")
    if len(question.image) > open_images.MOST_UPLOAD_BYTES:
        raise messages.too_long("image", open_images.MOST_UPLOAD_BYTES)
    return question, open_images.decode(question.image)


def _answer(
    page: PageState, question: PredictRequest, rgb: UInt8[np.ndarray, "h w 3"]
) -> PredictResponse:
    loaded = page.models.predictor(
        question.heads or page.heads_of_files, question.model or page.model
    )
    check_masks(question.masks, loaded.heads.choices)
    predictor = copy(loaded)
    predictor.set_image(rgb)
    (uncertainty,) = predictor.predict_uncertainties([question.prompt_set], costs=question.costs)
    return _response(uncertainty, question.masks)


def _response(uncertainty: Uncertainty, masks: str) -> PredictResponse:
    picked = picked_mask(uncertainty, masks)
    mask, result = picked.mask, mask_result(uncertainty, picked)
    return PredictResponse(
        **result,
        attributes=attributes_of(result),
        polygons=coco_masks.polygons(mask),
        bbox=coco_mask.toBbox(result["segmentation"]).tolist(),
        area=int(mask.sum()),
    )


def schema(app: FastAPI) -> dict[str, Any]:
    """OpenAPI description of ``/api/predict``, for other programs.

    The body is described here: FastAPI would read a body that it describes whole, however long.
    """
    content = get_openapi(title="usam demo", version=version("usam-cache"), routes=app.routes)
    form = PredictRequest.model_json_schema(ref_template="#/components/schemas/{model}")
    content["components"]["schemas"] |= {**form.pop("$defs"), "PredictRequest": form}
    content["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
    return content
