"""The page in a real browser: files, reloads, and others who ask."""

import json
import threading
from zipfile import ZipFile

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, expect

from stages.predictor.loading import load_predictor
from stages.web import open_images
from stages.web.page_state import PageState
from storage.rle import decode_rle
from tests.fixtures.chromium import (
    SCENE,
    answered,
    choose_shipped,
    click_at,
    drawn_on,
    drop,
    expected_ious,
    open_scene,
    tab,
)
from tests.fixtures.predictors import drawn
from tests.fixtures.web_page import PATIENCE_S, finished, png, until
from tools.served_page import served

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
            page.get_by_role("button", name="COCO and PNGs").click()
        assert download.value.suggested_filename == "my photo-masks.zip"
        with ZipFile(download.value.path()) as archive, archive.open("object-1.png") as file:
            np.testing.assert_array_equal(np.asarray(Image.open(file)), 255 * mask)


def test_the_heads_are_those_for_scenes_or_files_until_the_user_chooses_some(
    browser: Browser,
) -> None:
    state = PageState()
    with served(state) as address, tab(browser, address, may_be_refused=True) as page:
        heads, answerer = page.get_by_label("Heads"), page.locator("#facts div").last
        expect(heads).to_have_value("mini")
        click_at(page, 128, 128)
        expect(answerer).to_have_text("answered bymini tiny")
        drop(page, "broken.png", png(drawn())[:2000])
        expect(page.get_by_role("alert")).to_contain_text("image must be readable, got")
        expect(heads).to_have_value("mini")
        drop(page, "photo.png", png(drawn()))
        expect(heads).to_have_value("mini-photos")
        expect(page.locator("#drawn-only")).to_be_hidden()
        click_at(page, 128, 128, n_answers=2)
        expect(answerer).to_have_text("answered bymini-photos tiny")
        heads.select_option("mini")
        answered(page, 3)
        expect(page.locator("#drawn-only")).to_be_visible()
        page.reload()
        answered(page, 1)
        expect(answerer).to_have_text("answered bymini tiny")
        heads.select_option("mini-photos")
        page.get_by_role("button", name="Scene 2").click()
        open_scene(page, 2)
        expect(heads).to_have_value("mini-photos")
    state.close()


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


def shown(page: Page) -> tuple[np.ndarray, list[str], str, list[str]]:
    """Pixels of the image with all that is drawn on it, expected IoUs, advice, and choices."""
    controls = [page.locator(f"#{name}").input_value() for name in ("model", "heads")]
    chosen = page.locator("input[name=mode]:checked, input[name=proposal]:checked")
    controls += chosen.evaluate_all("all => all.map((one) => one.value)")
    return drawn_on(page), expected_ious(page), page.locator("#words").inner_text(), controls


@pytest.mark.parametrize("source", ["scene", "file"])
def test_a_reload_loses_nothing(
    browser: Browser, address: str, source: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(open_images, "RELOAD_S", PATIENCE_S)
    with tab(browser, address, scene=SCENE) as page:
        if source == "file":
            file = {"name": "my photo.png", "mimeType": "image/png", "buffer": png(drawn())}
            page.locator("#file").set_input_files(file)  # type: ignore[arg-type]
            expect(page.get_by_role("application")).to_have_attribute(
                "aria-label", "Image my photo.png, 256 by 192 pixels"
            )
        page.get_by_label("Heads").select_option("mini")
        page.get_by_label("Model").select_option("small")
        click_at(page, 120, 80)
        click_at(page, 200, 40, button="right", n_answers=2)
        other = (int(page.locator("#which").inner_text().split()[-1]) + 1) % 3
        page.locator(".proposal").nth(other).click()
        page.get_by_role("switch", name="Entropy").click(force=True)
        page.locator("label:has(> input[value=background])").click()
        before = shown(page)
        for _ in range(2):
            page.reload()
            answered(page, 1)
            after = shown(page)
            assert after[1:] == before[1:]
            np.testing.assert_allclose(after[0].astype(int), before[0], atol=1)
            expect(page.get_by_role("alert")).to_be_hidden()
        page.get_by_role("button", name="Undo").click()
        answered(page, 2)  # to the click before


def test_a_closed_tab_in_mid_request_leaves_the_queue_and_its_image(
    browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(open_images, "RELOAD_S", 0.2)
    gate, own = threading.Event(), PageState()
    try:
        with served(own) as address, tab(browser, address, scene=SCENE) as page:
            finished(until(lambda: len(own.images) == 1))  # scene 1 has made room
            blocking = own.jobs._thread.submit(gate.wait)
            seen = page.locator("#canvas").bounding_box()
            assert seen is not None
            page.mouse.click(seen["x"] + 50, seen["y"] + 50)
            expect(page.locator("#busy")).to_have_text("Working")
            page.close(run_before_unload=False)
            finished(until(lambda: len(own.jobs) == len(own.images) == 0))
            gate.set()
            assert blocking.result()
    finally:
        gate.set()


def test_with_a_token_the_page_works_by_its_address_alone(browser: Browser) -> None:
    with served(PageState(), host="0.0.0.0") as given:  # noqa: S104 - that others may reach
        token = given.partition("#")[2]
        port = given.partition("#")[0].rstrip("/").rpartition(":")[2]
        here = f"http://127.0.0.1:{port}/"
        with tab(browser, here, may_be_refused=True, scene=0) as page:
            expect(page.get_by_role("alert")).to_contain_text("must carry the token")
        with tab(browser, f"{here}#{token}", scene=SCENE) as page:
            assert page.url == here  # not to be read over a shoulder, nor kept in the history
            page.reload()
            open_scene(page, SCENE)
            click_at(page, 120, 80)
