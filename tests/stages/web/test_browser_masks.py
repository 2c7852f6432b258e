"""The page in a real browser: masks where the predictor puts them."""

import cv2
import numpy as np
import pytest
from playwright.sync_api import Browser, expect

from pipeline.heads.scope import DRAWN_ONLY
from pipeline.masks import CUT
from stages.web.page_state import PageState
from tests.fixtures.chromium import (
    SCENE,
    SHOWN_PX,
    answered,
    assert_shows,
    choose_shipped,
    click_at,
    drag_box,
    drawn_on,
    expected_ious,
    predicted,
    scene,
    tab,
    two_digits,
    whose,
)
from tests.stages.web.test_browser_objects import DESKTOP, violations

pytestmark = pytest.mark.slow


def test_clicks_and_boxes_give_the_masks_of_the_predictor(browser: Browser, address: str) -> None:
    with tab(browser, address, scene=SCENE, viewport={"width": 1280, "height": 1000}) as page:
        choose_shipped(page)
        click_at(page, 120, 80)
        found = predicted([[120, 80]], [1])
        assert_shows(page, found, found.selected)
        assert expected_ious(page) == two_digits(found.expected_iou.own)
        words = found.advice.words.capitalize()
        expect(page.locator("#advice")).to_contain_text(f"{words}.")
        gains = [
            float(text.replace("−", "-")) for text in page.locator("#bars b").all_inner_texts()
        ]
        gap = found.gap
        both = [gap[source][found.selected] for source in ("model", "prompt", "task")]
        np.testing.assert_allclose(gains, both, atol=0.006)

        click_at(page, 200, 40, button="right", n_answers=2)
        found = predicted([[120, 80], [200, 40]], [1, 0])
        assert_shows(page, found, found.selected)
        assert found.caution == DRAWN_ONLY, "the heads that ship learned from corrections, too"
        expect(page.locator("#caution")).to_be_hidden()

        page.get_by_role("button", name="Undo").click()
        answered(page, 3)
        found = predicted([[120, 80]], [1])
        assert_shows(page, found, found.selected)

        page.get_by_role("button", name="Reset").click()
        expect(page.locator("#words")).to_have_text("Click an object.")
        assert np.abs(drawn_on(page)[::4, ::4].astype(int) - scene(SCENE)).mean() < 8

        corners = [(40, 30), (200, 150)]
        drag_box(page, *corners)
        answered(page, 4)
        box = [*corners[0], *corners[1]]
        found = predicted(None, None, box)
        assert_shows(page, found, found.selected, box=box)


def test_another_proposal_and_its_entropy_are_drawn_when_chosen(
    browser: Browser, address: str
) -> None:
    with tab(browser, address, scene=SCENE) as page:
        choose_shipped(page)
        click_at(page, 120, 80)
        found = predicted([[120, 80]], [1])
        other = (found.selected + 2) % 3
        page.locator(".proposal").nth(other).click()
        assert_shows(page, found, other)
        page.get_by_role("switch", name="Entropy").click(force=True)
        bits = cv2.resize(found.pixel_entropy[other], (SHOWN_PX, SHOWN_PX))
        heat = drawn_on(page).max(axis=2)
        assert np.corrcoef(bits.ravel(), heat.ravel())[0, 1] > 0.9
        expect(page.locator("#scale")).to_be_visible()


def test_the_mask_that_the_heads_choose_is_the_fourth(browser: Browser, address: str) -> None:
    with tab(browser, address, scene=SCENE, **DESKTOP) as page:
        choose_shipped(page)
        click_at(page, 190, 170)
        found = predicted([[190, 170]], [1])
        assert found.choice is not None
        assert found.choice.cut != CUT
        page.locator(".proposal").nth(3).click()
        expect(page.locator("#which")).to_have_text("chosen mask")
        expect(page.locator("#proposals b").nth(3)).to_have_text(f"{found.choice.expected_iou:.2f}")
        expect(page.locator("#proposals small").nth(3)).to_contain_text(
            f"expected gain +{found.choice.gain:.2f}"
        )
        assert_shows(page, found, 3)
        assert violations(page) == []
        assert (found.choice.mask != found.masks[found.selected]).mean() > 1e-2
        page.locator("#canvas").focus()
        page.keyboard.press("0")
        expect(page.locator("#which")).to_have_text("proposal 0")
        page.keyboard.press("3")
        expect(page.locator("#which")).to_have_text("chosen mask")


def test_the_model_and_the_heads_answer_that_are_chosen(
    browser: Browser, address: str, served_page: PageState
) -> None:
    with tab(browser, address, scene=SCENE) as page:
        click_at(page, 120, 80)
        other = served_page.models.choices["other"].heads
        assert expected_ious(page) == two_digits(
            predicted([[120, 80]], [1], heads=other).expected_iou.own
        )
        choose_shipped(page)
        answered(page, 2)
        page.get_by_label("Model").select_option("large")
        answered(page, 3)
        found = predicted([[120, 80]], [1], model="large")
        assert expected_ious(page) == two_digits(found.expected_iou.own)
        assert_shows(page, found, found.selected)


def test_everything_works_by_keyboard_and_is_told(browser: Browser, address: str) -> None:
    with tab(browser, address, scene=SCENE) as page:
        choose_shipped(page)
        page.keyboard.press("Tab")
        while page.evaluate("document.activeElement.id") != "canvas":
            page.keyboard.press("Tab")
        outline = page.locator("#canvas").evaluate("c => getComputedStyle(c).outlineStyle")
        assert outline == "solid"
        for key in ("ArrowLeft", "ArrowUp", "ArrowUp", "Shift+ArrowUp"):
            page.keyboard.press(key)
        x, y = 128 - 0.03 * 256, 128 - 2 * 0.03 * 256 - 0.004 * 256
        expect(page.locator("#place")).to_have_text(f"{x:.0f}, {y:.0f}")
        page.keyboard.press("Enter")
        answered(page, 1)
        expect(page.locator("#place")).to_have_text(f"{x:.0f}, {y:.0f} marked")
        found = predicted([[x, y]], [1])
        assert_shows(page, found, found.selected)
        expect(page.get_by_role("status").filter(has_text="expected IoU")).to_be_visible()

        other = (found.selected + 1) % 3
        page.keyboard.press(str(other))
        assert_shows(page, found, other)
        page.keyboard.press("h")
        expect(page.get_by_role("switch", name="Entropy")).to_be_checked()
        page.keyboard.press("h")

        page.keyboard.press("ArrowRight")
        page.keyboard.press("b")
        answered(page, 2)
        assert expected_ious(page) == two_digits(
            predicted([[x, y], [x + 0.03 * 256, y]], [1, 0]).expected_iou.own
        )
        page.keyboard.press("u")
        answered(page, 3)
        page.keyboard.press("x")
        for key in ("ArrowLeft",) * 5 + ("ArrowDown",) * 6:
            page.keyboard.press(key)
        page.keyboard.press("Shift+X")  # about this object, whatever its mask
        answered(page, 4)
        right, bottom = x + 0.03 * 256, y + 6 * 0.03 * 256
        box = [right - 5 * 0.03 * 256, y, right, bottom]
        assert expected_ious(page) == two_digits(predicted([[x, y]], [1], box).expected_iou.own)

        for key in ("ArrowRight",) * 34:  # to the right edge, which is no pixel's
            page.keyboard.press(key)
        page.keyboard.press("Enter")
        expect(whose(page, "New object")).to_be_focused()
        page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        answered(page, 5)
        expect(page.locator("#canvas")).to_be_focused()
        expect(page.get_by_role("alert")).to_be_hidden()

        while page.evaluate("document.activeElement.name") != "proposal":
            page.keyboard.press("Tab")
        page.keyboard.press("ArrowRight")
        chosen = page.locator("#proposals input:checked").get_attribute("value")
        expect(page.locator("#which")).to_have_text(f"proposal {chosen}")
