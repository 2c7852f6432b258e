"""The page in a real browser, for everybody: by keys and fingers, on small and dark screens."""

from typing import Any, Final

import numpy as np
import pytest
from playwright.sync_api import Browser, expect

from tests.fixtures.chromium import (
    SCENE,
    answered,
    assert_shows,
    choose_shipped,
    click_at,
    expected_ious,
    predicted,
    tab,
    two_digits,
)

pytestmark = pytest.mark.slow


PHONE: Final[dict[str, Any]] = {
    "viewport": {"width": 390, "height": 844},
    "is_mobile": True,
    "has_touch": True,
    "color_scheme": "dark",
}


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
        page.keyboard.press("x")
        answered(page, 4)
        right, bottom = x + 0.03 * 256, y + 6 * 0.03 * 256
        box = [right - 5 * 0.03 * 256, y, right, bottom]
        assert expected_ious(page) == two_digits(predicted([[x, y]], [1], box).expected_iou.own)

        for key in ("ArrowRight",) * 34 + ("Enter",):  # on the right edge, which is no pixel's
            page.keyboard.press(key)
        answered(page, 5)
        expect(page.get_by_role("alert")).to_be_hidden()

        while page.evaluate("document.activeElement.name") != "proposal":
            page.keyboard.press("Tab")
        page.keyboard.press("ArrowRight")
        chosen = page.locator("#proposals input:checked").get_attribute("value")
        expect(page.locator("#which")).to_have_text(str(chosen))


NAMELESS: Final = """() => [...document.querySelectorAll("button, input, select, canvas, [role]")]
  .filter((el) => el.checkVisibility() && !el.closest("[aria-hidden=true]"))
  .filter((el) => !["status", "alert"].includes(el.getAttribute("role")))
  .filter((el) => !(el.ariaLabel || el.getAttribute("aria-labelledby") || el.textContent.trim()
    || [...(el.labels ?? [])].some((label) => label.textContent.trim())))
  .map((el) => el.outerHTML)"""

PALE: Final = """() => {
  const parse = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map((v) => v / 255)
    .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = (el) => {
    for (let at = el; at; at = at.parentElement) {
      const colour = parse(getComputedStyle(at).backgroundColor);
      if (colour.length === 3 || colour[3] === 1) return colour;
    }
    return [255, 255, 255];
  };
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const pale = [];
  let n = 0;
  while (walk.nextNode()) {
    const el = walk.currentNode.parentElement;
    if (!walk.currentNode.data.trim() || !el.checkVisibility()) continue;
    n += 1;
    const [a, b] = [parse(getComputedStyle(el).color), behind(el)].map(light).sort((p, q) => p - q);
    const ratio = (b + 0.05) / (a + 0.05);
    if (ratio < 4.5) pale.push(`${walk.currentNode.data.trim()}: ${ratio.toFixed(2)}`);
  }
  return [n, pale];
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_control_has_a_name_and_every_text_contrast(
    browser: Browser,
    address: str,
    scheme: Any,  # noqa: ANN401
) -> None:
    with tab(browser, address, may_be_refused=True, scene=SCENE, color_scheme=scheme) as page:
        click_at(page, 120, 80)
        click_at(page, 20, 80, button="right", n_answers=2)  # with a caution
        page.locator("#file").set_input_files(
            {"name": "broken.png", "mimeType": "image/png", "buffer": b"broken"}
        )
        expect(page.get_by_role("alert")).to_be_visible()
        assert page.evaluate(NAMELESS) == []
        n_texts, pale = page.evaluate(PALE)
        assert n_texts > 30
        assert pale == []


def test_a_finger_taps_and_draws_boxes_on_a_dark_phone(browser: Browser, address: str) -> None:
    with tab(browser, address, scene=SCENE, **PHONE) as page:
        expect(page.locator("#keys")).to_be_hidden()  # a finger has none
        choose_shipped(page)
        page.locator("#canvas").scroll_into_view_if_needed()
        seen = page.locator("#canvas").bounding_box()
        assert seen is not None
        page.touchscreen.tap(
            seen["x"] + seen["width"] * 120 / 256, seen["y"] + seen["height"] * 80 / 256
        )
        answered(page, 1)
        found = predicted([[120, 80]], [1])
        assert expected_ious(page) == two_digits(found.expected_iou.own)
        page.locator("label:has(> input[value=background])").tap()
        page.touchscreen.tap(
            seen["x"] + seen["width"] * 200 / 256, seen["y"] + seen["height"] * 40 / 256
        )
        answered(page, 2)
        found = predicted([[120, 80], [200, 40]], [1, 0])
        np.testing.assert_allclose(
            [float(text) for text in expected_ious(page)], found.expected_iou.own, atol=0.02
        )
        page.locator("label:has(> input[value=box])").tap()
        expect(page.locator("#canvas")).to_have_css("touch-action", "none")
        background = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert max(int(part) for part in background[4:-1].split(",")) < 40
