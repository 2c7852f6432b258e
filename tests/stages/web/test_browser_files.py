"""The page in a real browser: what is dropped on it and downloaded from it."""

import io
import json

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, expect

from stages.predictor import load_predictor
from storage.rle import decode_rle
from tests.fixtures.chromium import (
    SCENE,
    answered,
    choose_shipped,
    click_at,
    drawn_on,
    drop,
    tab,
)
from tests.fixtures.predictors import drawn
from tests.fixtures.web_page import png

pytestmark = pytest.mark.slow


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
