"""Takes the picture of the page that README shows: ``python -m tools.show_page``, with Chromium.

Reads   the weights and heads that ship.
Writes  ``docs/page.png``: the answer to the click that README asks about in Python.
"""

import io
import shutil
from pathlib import Path
from typing import Final

from PIL import Image
from playwright.sync_api import sync_playwright

from stages.web.page_state import PageState, read_scenes
from tools.served_page import served
from tools.show_predictions import SCENE

PICTURE: Final = Path("docs", "page.png")

BROWSERS: Final = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")

WIDTH_PX, HEIGHT_PX = 1280, 860

N_COLOURS: Final = 256
"""Of the picture, which then takes a third of the bytes and looks the same."""


def main() -> None:
    """Write the picture."""
    with served(PageState()) as address:
        png = take_picture(address)
    with Image.open(io.BytesIO(png)) as picture:
        few = picture.convert("RGB").quantize(N_COLOURS, kmeans=3, dither=Image.Dither.NONE)
    few.save(PICTURE, optimize=True)


def take_picture(address: str) -> bytes:
    """PNG of the whole page with the scene that README asks about."""
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        raise SystemExit(f"error: a browser must be there, got none of {', '.join(BROWSERS)}")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=browser, args=["--no-sandbox"])
        page = started.new_page(
            viewport={"width": WIDTH_PX, "height": HEIGHT_PX}, reduced_motion="reduce"
        )
        page.goto(address)
        page.locator("body[data-answered='1']").wait_for(state="attached")  # to the first scene
        page.get_by_role("button", name=f"Scene {read_scenes().index(SCENE) + 1}").click()
        page.locator("body[data-answered='2']").wait_for(state="attached")
        png = page.screenshot(full_page=True)
        started.close()
    return png


if __name__ == "__main__":
    main()
