"""The page in a real browser: what is dropped on it and downloaded from it."""

import io
import json
import re
from typing import Final

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Route, expect
from sklearn.datasets import load_sample_image

from stages.predictor import load_predictor
from stages.predictor.card_entries import COMMANDS
from stages.web.page import Page as Served
from storage.rle import decode_rle
from tests.fixtures.chromium import (
    SCENE,
    answered,
    assert_shows,
    choose_shipped,
    click_at,
    drawn_on,
    drop,
    expected_ious,
    predicted,
    tab,
)
from tests.fixtures.predictors import drawn
from tests.fixtures.web_page import png
from tools.served_page import served

pytestmark = pytest.mark.slow


A_LARGER_MODEL: Final = {
    "words": "take a larger model",
    "correction": "model",
    "gain": 0.3,
    "expected_iou": 0.9,
}


def test_an_image_is_dropped_answered_and_downloaded(browser: Browser, address: str) -> None:
    with tab(browser, address, accept_downloads=True) as page:
        choose_shipped(page)
        drop(page, "my photo.png", png(drawn()))
        expect(page.get_by_role("application")).to_have_attribute(
            "aria-label", "Image my photo.png, 256 by 192 pixels"
        )
        expect(page.locator("#drop")).to_be_hidden()
        seen = page.locator("#canvas").bounding_box()
        assert seen is not None
        assert seen["width"] / seen["height"] == pytest.approx(4 / 3, abs=0.01)
        place = {"x": seen["width"] * 120 / 256, "y": seen["height"] * 80 / 192}
        page.locator("#canvas").click(position=place)  # type: ignore[arg-type]
        answered(page, 1)
        predictor = load_predictor("mini", "tiny")
        predictor.set_image(drawn())
        found = predictor.predict_uncertainty([[120, 80]], [1])
        k = found.selected

        with page.expect_download() as download:
            page.get_by_role("button", name="COCO JSON").click()
        assert download.value.suggested_filename == "my photo.json"
        told = json.loads(download.value.path().read_text("utf-8"))
        assert told["images"][0]["file_name"] == "my photo.png"
        rle = told["annotations"][0]["segmentation"]
        mask = decode_rle(rle["counts"], *rle["size"])
        assert (mask == found.masks[k]).mean() > 0.999  # the click is a fraction of a pixel off

        with page.expect_download() as download:
            page.get_by_role("button", name="Mask as PNG").click()
        assert download.value.suggested_filename == "my photo-mask.png"
        picture = np.asarray(Image.open(io.BytesIO(download.value.path().read_bytes())))
        np.testing.assert_array_equal(picture, 255 * mask)


def test_a_broken_image_is_refused_and_the_one_before_stays(browser: Browser, address: str) -> None:
    with tab(browser, address, may_be_refused=True, scene=SCENE) as page:
        click_at(page, 120, 80)
        before = drawn_on(page)
        drop(page, "broken.png", png(drawn())[:2000])
        expect(page.get_by_role("alert")).to_contain_text("image must be readable, got")
        page.wait_for_timeout(1000)  # in which the page has looked at the queue
        expect(page.get_by_role("alert")).to_contain_text("image must be readable, got")
        np.testing.assert_array_equal(drawn_on(page), before)
        drop(page, "large.png", b"", padding=20_000_001)
        expect(page.get_by_role("alert")).to_have_text("image must be of at most 20 MB, got 20.0")
        click_at(page, 100, 80, n_answers=2)
        expect(page.get_by_role("alert")).to_be_hidden()


def test_an_answer_that_a_broken_image_cut_off_is_asked_for_again(
    browser: Browser, address: str
) -> None:
    with tab(browser, address, may_be_refused=True, scene=SCENE) as page:
        choose_shipped(page)
        held: list[Route] = []
        page.route("**/answer", lambda route: held.append(route) if not held else route.fallback())
        with page.expect_request("**/answer"):
            page.locator("#canvas").click()
        drop(page, "broken.png", png(drawn())[:2000])
        answered(page, 1)
        expect(page.get_by_role("alert")).to_contain_text("image must be readable, got")
        found = predicted([[128, 128]], [1])
        assert_shows(page, found, found.selected)
        drop(page, "broken.png", png(drawn())[:2000])
        page.wait_for_timeout(500)
        answered(page, 1)  # what is there is not asked for again


def test_where_mini_meets_a_photograph_the_page_withholds_advice_and_has_the_commands(
    browser: Browser, address: str
) -> None:
    with tab(browser, address, scene=SCENE) as page:
        choose_shipped(page)
        line = page.locator("#drawn-only")
        expect(line).to_be_hidden()
        drop(page, "photo.png", png(load_sample_image("china.jpg")))
        expect(line).to_be_visible()
        assert line.locator("code").all_inner_texts()[1:] == list(COMMANDS)
        page.locator("#canvas").click()
        answered(page, 1)
        expect(page.locator("#words")).to_have_text("No advice.")
        expect(page.locator("#because")).to_contain_text("but the heads cannot judge this image.")
        expect(page.locator("#caution")).to_contain_text(
            "The image is unlike what these heads learned from (further than all of it)"
        )
        assert all(re.fullmatch(r"0\.\d\d\?", shown) for shown in expected_ious(page))
        page.get_by_role("button", name="Scene 2").click()
        expect(line).to_be_hidden()
        answered(page, 2)
        expect(page.locator("#caution")).to_be_hidden()
        assert not any(shown.endswith("?") for shown in expected_ious(page))


def test_what_needs_a_model_that_is_not_there_is_not_offered(
    browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stages.web.page.models_there", lambda _: ("tiny", "small"))

    def take_a_larger_model(route: Route) -> None:
        response = route.fetch()
        told = response.json()
        route.fulfill(response=response, json=told | {"advice": A_LARGER_MODEL})

    with served(Served()) as address, tab(browser, address, scene=SCENE) as page:
        assert page.locator("#model option").all_inner_texts() == ["tiny", "small"]
        page.route("**/answer", take_a_larger_model)
        click_at(page, 120, 80)
        expect(page.locator("#words")).to_have_text("Take a larger model.")
        expect(page.locator("#follow")).to_be_hidden()
