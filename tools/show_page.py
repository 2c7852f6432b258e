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

from pipeline.scenes.scene import DEMO_SEED, DEMO_SIZE_PX, draw_scene, scene_seeds
from stages.web.page_state import PageState
from storage.images.image_files import png_bytes
from tools.served_page import served
from tools.show_predictions import CLICK_PX, PHOTO

PICTURE: Final = Path("docs", "page.png")

BROWSERS: Final = ("chromium", "chromium-browser", "google-chrome")

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
    """PNG of the page after the click, whole."""
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
        photo = {"name": Path(PHOTO).name, "mimeType": "image/png", "buffer": _photo()}
        page.locator("#file").set_input_files(photo)  # type: ignore[arg-type]
        canvas = page.locator(f"canvas[aria-label^='Image {Path(PHOTO).name}']")
        canvas.wait_for()
        canvas_box = canvas.bounding_box()
        assert canvas_box is not None
        x, y = (canvas_box["width"] * at / 256 for at in CLICK_PX)
        canvas.click(position={"x": x, "y": y})
        page.locator("body[data-answered='2']").wait_for(state="attached")
        png = page.screenshot(full_page=True)
        started.close()
    return png


def _photo() -> bytes:
    """The image that README asks about."""
    seed = scene_seeds(DEMO_SEED, "val", int(Path(PHOTO).stem))[-1]
    return png_bytes(draw_scene(seed, DEMO_SIZE_PX).rgb)


if __name__ == "__main__":
    main()
