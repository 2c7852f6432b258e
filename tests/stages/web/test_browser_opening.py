"""The page in a real browser, after a reload."""

import numpy as np
import pytest
from playwright.sync_api import Browser, Page, expect

from tests.fixtures.chromium import SCENE, answered, click_at, drawn_on, expected_ious, tab
from tests.fixtures.predictors import drawn
from tests.fixtures.web_page import png

pytestmark = pytest.mark.slow


def shown(page: Page) -> tuple[np.ndarray, list[str], str, list[str]]:
    """Pixels of the image with all that is drawn on it, expected IoUs, advice, and choices."""
    controls = [page.locator(f"#{name}").input_value() for name in ("model", "heads")]
    chosen = page.locator("input[name=mode]:checked, input[name=proposal]:checked")
    controls += chosen.evaluate_all("all => all.map((one) => one.value)")
    return drawn_on(page), expected_ious(page), page.locator("#words").inner_text(), controls


@pytest.mark.parametrize("source", ["scene", "file"])
def test_a_reload_loses_nothing(browser: Browser, address: str, source: str) -> None:
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
        other = (int(page.locator("#which").inner_text()) + 1) % 3
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
