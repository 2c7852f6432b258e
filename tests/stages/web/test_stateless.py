"""Programs other than the page: one request with image and prompt, one answer, nothing kept."""

import base64
import json
import re
from typing import Any

import httpx
import numpy as np
import pytest
from pydantic import TypeAdapter

from pipeline.predictor import coco_masks
from stages.predictor.loading import load_predictor
from stages.web import stateless
from stages.web.page_state import PageState
from storage.outputs.coco_results import LOWEST_FIRST
from storage.rle import decode_rle
from tests.fixtures.predictors import NO_BEST, drawn
from tests.fixtures.web_page import asked, png

CLICK = {"clicks": [{"x": 120, "y": 80.5, "label": 1}]}


def answer(page: PageState, body: dict[str, Any] | bytes, **how: Any) -> httpx.Response:  # noqa: ANN401
    headers = how.pop("headers", {})
    content = body if isinstance(body, bytes) else json.dumps(body)

    async def ask(client: httpx.AsyncClient) -> httpx.Response:
        return await client.post("/api/predict", content=content, headers=headers)

    return asked(page, ask, **how)


def question(data: bytes = b"", **others: Any) -> dict[str, Any]:  # noqa: ANN401
    image = base64.b64encode(data or png(drawn())).decode()
    return {"image": image, **CLICK, **others}


def test_an_image_is_answered_as_a_file_on_the_page_unless_heads_are_named() -> None:
    page = PageState()
    try:
        answers = [answer(page, question() | heads).json() for heads in ({}, {"heads": "mini"})]
    finally:
        page.close()
    named = [[got["uncertainty"][key] for key in ("family", "model")] for got in answers]
    assert named == [["mini-photos", "tiny"], ["mini", "tiny"]]


@pytest.mark.parametrize(
    ("given", "prompt"),
    [
        ({}, {"point_coords": [[120, 80.5]], "point_labels": [1]}),
        ({"clicks": [], "box": [40, 30, 200, 150]}, {"box": [40, 30, 200, 150]}),
        # Of a click here, another mask is expected to be better.
        (
            {"masks": "best", "clicks": [{"x": 185, "y": 20, "label": 1}]},
            {"point_coords": [[185, 20]], "point_labels": [1]},
        ),
    ],
    ids=["click", "box", "the best"],
)
def test_an_answer_is_the_selected_mask_or_the_best_and_what_is_said_of_it(
    page: PageState, given: dict[str, Any], prompt: dict[str, Any]
) -> None:
    response = answer(page, question(heads="mini", **given))
    assert response.status_code == 200, response.text
    got = response.json()
    predictor = load_predictor("mini", "tiny")
    predictor.set_image(drawn())
    found = predictor.predict_uncertainty(**prompt)
    taken = found.best_mask if "masks" in given else found.mask_of(found.selected)
    assert taken.is_own_mask(found.selected) == ("masks" not in given)
    mask = taken.mask
    rle = got["segmentation"]
    np.testing.assert_array_equal(decode_rle(rle["counts"], *rle["size"]), mask)
    assert got["polygons"] == coco_masks.polygons(mask)
    assert got["area"] == mask.sum()
    left, top, width, height = (int(side) for side in got["bbox"])
    assert mask[top : top + height, left : left + width].sum() == got["area"]
    assert got["score"] == pytest.approx(taken.expected_iou, abs=1e-5)
    assert got["attributes"]["expected_iou"] == got["score"]
    assert got["attributes"].items() >= {"sam_score": got["uncertainty"]["sam_score"]}.items()
    assert set(got["attributes"]) <= set(LOWEST_FIRST)
    assert got["uncertainty"]["advice"]["words"] == found.advice.words


def test_model_heads_and_costs_are_chosen_and_have_defaults(page: PageState) -> None:
    def said(**others: Any) -> dict[str, Any]:  # noqa: ANN401
        got: dict[str, Any] = answer(page, question(**others)).json()
        return got

    first = said()
    assert first == said(model="tiny", heads="other") != said(heads="mini")
    assert said(heads="mini", model="large") != said(heads="mini")
    free = said(costs={"click": 1, "larger_model": 1, "person": 0})
    assert free["uncertainty"]["advice"]["correction"] == "segmentation"


def test_nothing_is_kept(page: PageState) -> None:
    n_images = len(page.images)
    assert answer(page, question()).status_code == 200
    assert (len(page.images), len(page.jobs), len(page.decoder)) == (n_images, 0, 0)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (question(clicks=[]), "prompt must have a click on the object, a box or a mask, got none"),
        (question(heads="other", masks="best"), NO_BEST),
        (question(path="x"), "path must be as /openapi.json has it, got: "),
        (question(b"not an image"), "image must be a file in one of the formats JPEG, PNG"),
        (CLICK | {"image": "§"}, "image must be as /openapi.json has it, got: "),
        (b"{", "question must be as /openapi.json has it, got: Invalid JSON"),
    ],
    ids=lambda value: value[:40] if isinstance(value, str) else "",
)
def test_what_cannot_be_answered_is_refused_in_words(
    page: PageState, body: dict[str, Any] | bytes, words: str
) -> None:
    response = answer(page, body)
    assert response.status_code == 400
    assert response.json()["error"].startswith(words)
    assert "\n" not in response.json()["error"]


def test_an_image_of_too_many_bytes_or_pixels_is_refused(page: PageState) -> None:
    response = answer(page, question(bytes(20_000_001)))
    assert (response.status_code, response.json()) == (
        413,
        {"error": "image must be of at most 20 MB, got more"},
    )
    wide = png(np.zeros((1, 16_385, 3), np.uint8))
    assert "16384" in answer(page, question(wide)).json()["error"].replace(",", "")


def test_its_description_is_that_of_what_it_takes_and_gives(page: PageState) -> None:
    async def ask(client: httpx.AsyncClient) -> Any:  # noqa: ANN401
        return (await client.get("/openapi.json")).json()

    content = asked(page, ask)
    assert content["openapi"].startswith("3.1")
    assert list(content["paths"]) == ["/api/predict"]
    schemas = content["components"]["schemas"]
    referred = set(re.findall(r'"#/components/schemas/(\w+)"', json.dumps(content)))
    assert referred <= set(schemas)
    assert {"PredictRequest", "PredictResponse", "Click", "Costs"} <= referred
    fields = schemas["PredictRequest"]["properties"]
    assert set(fields) == {"image", "model", "heads", "clicks", "box", "costs", "masks"}
    assert schemas["PredictRequest"]["required"] == ["image"]
    assert all("description" in one for one in fields.values())
    got = answer(page, question()).json()
    assert set(schemas["PredictResponse"]["required"]) == set(got)
    TypeAdapter(stateless.PredictResponse).validate_python(got, strict=True)
    assert "bearer" in json.dumps(content["components"]["securitySchemes"])
