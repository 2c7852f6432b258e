"""The page in a real browser: a box, and clicks where the mask is wrong, bring it to the object."""

import io
from collections.abc import Iterator
from typing import Final

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page

from pipeline.prompts import central_error
from pipeline.scenes.scene import DEMO_SEED, DEMO_SIZE_PX, draw_scene, scene_seeds
from tests.fixtures.chromium import answered, choose_shipped, click_at, drag_box, drop, tab
from tests.fixtures.web_page import png

pytestmark = pytest.mark.slow

DRAWN: Final = draw_scene(scene_seeds(DEMO_SEED, "val", 10)[-1], DEMO_SIZE_PX)
"""A scene of the data set."""

TRUE: Final = DRAWN.masks[5]
"""An object at its upper edge, which a click in the middle takes another one with."""

CLICK: Final = 115, 13

N_CORRECTIONS: Final = 5


@pytest.fixture
def page(browser: Browser, address: str) -> Iterator[Page]:
    """The page with the scene open."""
    size = {"width": 1280, "height": 1000}
    with tab(browser, address, accept_downloads=True, viewport=size) as page:
        choose_shipped(page)
        drop(page, "scene.png", png(DRAWN.rgb))
        page.get_by_label("Image scene.png, 256 by 256 pixels").wait_for()
        yield page


def downloaded_mask(page: Page) -> np.ndarray:
    with page.expect_download() as download:
        page.get_by_role("button", name="Mask as PNG").click()
    return np.asarray(Image.open(io.BytesIO(download.value.path().read_bytes()))) > 0


def iou(mask: np.ndarray) -> float:
    return float((mask & TRUE).sum() / (mask | TRUE).sum())


def test_a_box_tells_an_object_from_its_neighbour_where_a_click_does_not(page: Page) -> None:
    click_at(page, *CLICK)
    clicked = iou(downloaded_mask(page))
    page.get_by_role("button", name="Undo").click()
    y, x = np.nonzero(TRUE)
    drag_box(page, (x.min(), y.min()), (x.max() + 1, y.max() + 1))
    answered(page, 2)
    boxed = downloaded_mask(page)
    assert iou(boxed) > clicked + 0.1
    assert iou(boxed) > 0.6


def test_corrections_where_the_mask_is_wrong_bring_it_to_the_object(page: Page) -> None:
    click_at(page, *CLICK)
    masks = [downloaded_mask(page)]
    removed = []
    for n_answers in range(2, N_CORRECTIONS + 2):
        x, y = central_error(masks[-1], TRUE)
        button = "left" if TRUE[y, x] else "right"
        click_at(page, x + 0.5, y + 0.5, n_answers=n_answers, button=button)
        masks.append(downloaded_mask(page))
        if button == "right":
            removed.append(not masks[-1][y, x])
    assert removed[0]
    assert iou(masks[1]) > iou(masks[0]) + 0.1
    assert iou(masks[-1]) > iou(masks[0]) + 0.2
