"""Several objects of one image in a real browser, and who can use the page."""

import json
from typing import Any, Final
from zipfile import ZipFile

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, expect
from sklearn.datasets import load_sample_image

from pipeline.scenes.scene import DEMO_SIZE_PX
from tests.fixtures.chromium import (
    answered,
    choose_shipped,
    click_at,
    drag_box,
    drawn_on,
    drop,
    expected_ious,
    point_at,
    predicted,
    tab,
    two_digits,
    whose,
)
from tests.fixtures.web_page import png

pytestmark = pytest.mark.slow

SCENE = 2

FIRST, SECOND, THIRD = (174, 37), (60, 165), (100, 60)
"""Pixels of scene 2, each on an object of its own."""

PHONE: Final[dict[str, Any]] = {
    "viewport": {"width": 390, "height": 844},
    "has_touch": True,
    "is_mobile": True,
    "device_scale_factor": 2,
}

SMALL: Final = PHONE | {"viewport": {"width": 320, "height": 568}}

DESKTOP: Final[dict[str, Any]] = {"viewport": {"width": 1280, "height": 1000}}

DEVICES: Final = {
    "desktop": DESKTOP,
    "phone": PHONE,
    "small-phone": PHONE | {"viewport": {"width": 320, "height": 568}},
}


def listed(page: Page) -> list[str]:
    """The objects in words, as screen readers have them; the active one is marked."""
    names: list[str] = page.locator("#objects input").evaluate_all(
        "all => all.map((input) => (input.checked ? '* ' : '') + input.ariaLabel)"
    )
    return names


def masks_are_unpacked(page: Page) -> None:
    """Wait until each object shows its expected IoU; no mask is awaited or still packed then."""
    for sign in ("…", "–"):
        expect(page.locator("#objects")).not_to_contain_text(sign)


def iou_of(*prompts: object) -> str:
    uncertainty = predicted(*prompts)
    return two_digits(uncertainty.expected_iou.own)[uncertainty.selected]


def three_objects(page: Page) -> None:
    """Click three objects, the second by the question and the third by the button."""
    choose_shipped(page)
    click_at(page, *FIRST)
    point_at(page, *SECOND)
    whose(page, "New object").click()
    answered(page, 2)
    page.locator("#add").click()
    click_at(page, *THIRD, n_answers=3)


def test_a_click_outside_of_a_mask_is_never_added_without_a_word(
    browser: Browser, address: str
) -> None:
    with tab(browser, address, scene=SCENE) as page:
        choose_shipped(page)
        click_at(page, *FIRST)
        alone = expected_ious(page)
        point_at(page, *SECOND)
        expect(page.get_by_role("dialog")).to_contain_text("Outside of object 1:")
        page.keyboard.press("Escape")
        expect(page.get_by_role("dialog")).to_be_hidden()
        expect(page.locator("#canvas")).to_be_focused()
        assert expected_ious(page) == alone

        point_at(page, *SECOND)
        whose(page, "Add to object 1").click()
        answered(page, 2)
        both = predicted([FIRST, SECOND], [1, 1])
        assert expected_ious(page) == two_digits(both.expected_iou.own)
        page.keyboard.press("Control+z")
        answered(page, 3)
        assert expected_ious(page) == alone

        point_at(page, *SECOND, modifiers=["Shift"])
        answered(page, 4)
        assert expected_ious(page) == two_digits(both.expected_iou.own)
        page.keyboard.press("Control+z")
        answered(page, 5)

        drag_box(page, (2, 110), (140, 225))
        whose(page, "New object").click()
        answered(page, 6)
        assert listed(page) == [
            f"Object 1, expected IoU {iou_of([FIRST], [1])}",
            f"* Object 2, expected IoU {iou_of(None, None, [2, 110, 140, 225])}",
        ]


def test_objects_have_masks_of_their_own_and_steps_to_undo(browser: Browser, address: str) -> None:
    with tab(browser, address, scene=SCENE) as page:
        three_objects(page)
        ious = [iou_of([place], [1]) for place in (FIRST, SECOND, THIRD)]
        names = [f"Object {number}, expected IoU {iou}" for number, iou in enumerate(ious, 1)]
        assert listed(page) == [*names[:2], f"* {names[2]}"]
        expect(page.locator("#advice-title")).to_have_text("Advice on object 3")

        page.get_by_role("radio", name="Object 1,").check(force=True)
        answered(page, 4)
        assert expected_ious(page) == two_digits(predicted([FIRST], [1]).expected_iou.own)
        point_at(page, *SECOND)
        whose(page, "Go to object 2").click()
        answered(page, 5)
        assert listed(page) == [names[0], f"* {names[1]}", names[2]]
        page.keyboard.press("]")
        answered(page, 6)
        assert listed(page) == [*names[:2], f"* {names[2]}"]

        before = drawn_on(page)
        page.get_by_role("button", name="Delete object 2").click()
        assert listed(page) == [names[0], f"* {names[2]}"]
        assert np.abs(drawn_on(page).astype(int) - before).max() > 0
        page.keyboard.press("Control+z")
        expect(page.locator("#objects li")).to_have_count(3)
        masks_are_unpacked(page)
        np.testing.assert_array_equal(drawn_on(page), before)
        page.keyboard.press("Control+Shift+z")
        expect(page.locator("#objects li")).to_have_count(2)
        page.get_by_role("button", name="Reset").click()
        assert listed(page) == ["* Object 1, not clicked yet"]


def test_a_download_has_the_masks_of_all_objects(browser: Browser, address: str) -> None:
    with tab(browser, address, scene=SCENE, accept_downloads=True) as page:
        three_objects(page)
        page.get_by_role("radio", name="Object 2,").check(force=True)
        answered(page, 4)
        page.locator(".proposal").nth(0).click()
        with page.expect_download() as download:
            page.get_by_role("button", name="COCO and PNGs").click()
        with ZipFile(download.value.path()) as archive:
            annotations = json.loads(archive.read("annotations.json"))["annotations"]
            for number, place in enumerate((FIRST, SECOND, THIRD), start=1):
                uncertainty = predicted([place], [1])
                k = 0 if number == 2 else uncertainty.selected
                assert annotations[number - 1]["uncertainty"]["proposal"] == k
                with archive.open(f"object-{number}.png") as file:
                    mask = np.asarray(Image.open(file)) > 0
                # Predicted masks are of the size that the page shows.
                shown = uncertainty.masks[k][2::4, 2::4]
                assert (mask == shown).mean() > 0.99


def test_a_reload_keeps_all_objects(browser: Browser, address: str) -> None:
    with tab(browser, address, scene=SCENE) as page:
        three_objects(page)
        before = listed(page)
        page.reload()
        expect(page.locator("#objects li")).to_have_count(3)
        masks_are_unpacked(page)
        assert listed(page) == before
        page.keyboard.press("Control+z")
        page.keyboard.press("Control+z")
        expect(page.locator("#objects li")).to_have_count(2)


def place_of(page: Page, x: float, y: float) -> tuple[float, float]:
    """A place of the canvas on the screen, in fractions of the canvas."""
    seen = page.locator("#canvas").bounding_box()
    assert seen is not None
    return seen["x"] + x * seen["width"], seen["y"] + y * seen["height"]


@pytest.mark.parametrize("way", ["wheel", "pinch", "buttons"])
def test_a_click_in_an_enlarged_image_is_where_the_image_shows_it(
    browser: Browser, address: str, way: str
) -> None:
    context = PHONE if way == "pinch" else DESKTOP
    with tab(browser, address, scene=SCENE, **context) as page:
        choose_shipped(page)
        page.locator("#canvas").scroll_into_view_if_needed()
        whole = drawn_on(page)
        if way == "wheel":
            page.mouse.move(*place_of(page, 0.75, 0.25))
            page.mouse.wheel(0, -433.2)  # times two
        elif way == "pinch":
            pinch(page, place_of(page, 0.75, 0.25), 2)
        else:
            for _ in range(2):
                page.get_by_role("button", name="Enlarge").click()
        assert np.abs(drawn_on(page).astype(int) - whole).mean() > 5
        # Beside the middle of the canvas, which lies between two pixels; what the image has there.
        x, y = (128, 128) if way == "buttons" else (160, 96)
        click_at(page, 129, 129)
        expected = predicted([[x, y]], [1]).expected_iou.own
        np.testing.assert_allclose([float(iou) for iou in expected_ious(page)], expected, atol=0.03)
        page.get_by_role("button", name="Fit").click()
        assert page.locator("#frame.zoomed").count() == 0
        expect(page.get_by_role("button", name="Reduce")).to_be_disabled()


def pinch(page: Page, middle: tuple[float, float], factor: float) -> None:
    """Spread two fingers around a place on the screen."""
    x, y = middle
    client = page.context.new_cdp_session(page)
    for kind, spread in (("Start", 20.0), ("Move", 20 * factor), ("End", None)):
        points = [] if spread is None else [{"x": x - spread, "y": y}, {"x": x + spread, "y": y}]
        client.send(
            "Input.dispatchTouchEvent",
            {
                "type": f"touch{kind}",
                "touchPoints": [{**at, "id": i} for i, at in enumerate(points)],
            },
        )


def test_where_heads_cannot_judge_all_their_numbers_are_marked(
    browser: Browser, address: str
) -> None:
    with tab(browser, address) as page:
        choose_shipped(page)
        drop(page, "china.png", png(load_sample_image("china.jpg")))
        expect(page.get_by_role("application")).to_have_attribute(
            "aria-label", "Image china.png, 640 by 427 pixels"
        )
        point_at(page, DEMO_SIZE_PX / 2, DEMO_SIZE_PX / 2)
        answered(page, 1)
        expect(page.locator("#because")).to_contain_text("the heads cannot judge this image")
        expect(page.locator("#doubt")).to_be_visible()
        numbers = page.locator("#proposals b, #bars .numbers, #objects label").all_inner_texts()
        assert len(numbers) == 3 + 6 + 1
        assert all(text.endswith("?") for text in numbers)
        page.locator("summary").click()
        expect(page.locator("#asking")).to_have_text("Asking “large”")


def test_a_small_phone_shows_the_page_whole(browser: Browser, address: str) -> None:
    with tab(browser, address, scene=SCENE, **DEVICES["small-phone"]) as page:
        assert violations(page) == []
        point_at(page, *THIRD)
        answered(page, 1)
        assert violations(page) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("device", ["desktop", "phone"])
def test_axe_finds_no_violation(browser: Browser, address: str, device: str, scheme: str) -> None:
    with tab(browser, address, scene=SCENE, color_scheme=scheme, **DEVICES[device]) as page:
        assert violations(page) == []
        three_objects(page)
        page.locator("summary").click()
        assert violations(page) == []
        point_at(page, *FIRST)
        expect(page.get_by_role("dialog")).to_be_visible()
        page.get_by_role("switch", name="Entropy").check(force=True)
        assert violations(page) == []


def violations(page: Page) -> list[tuple[str, list[str]]]:
    """Rules of axe-core that the page breaks, and where; the page is no wider than the window."""
    # Here, so that the other tests run where it is not installed yet.
    from axe_playwright_python.sync_playwright import Axe  # noqa: PLC0415

    page.evaluate("scrollTo(0, 0)")
    width_px = page.evaluate("document.documentElement.scrollWidth")
    assert page.viewport_size is not None
    assert width_px == page.viewport_size["width"]
    broken = Axe().run(page).response["violations"]
    return [(rule["id"], [str(node["target"]) for node in rule["nodes"]]) for rule in broken]
