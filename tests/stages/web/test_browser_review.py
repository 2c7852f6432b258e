"""The page of ``usam review`` in a real browser: every key, and a whole review with a kill."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import chdir, contextmanager
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, expect

from pipeline.prompts import measure_objects
from pipeline.scenes.scene import draw_scene, scene_seeds
from stages.predictor.command_options import ModelOptions
from stages.web.page_state import PageState
from storage.outputs.records import read_lines
from tests.fixtures.chromium import tab
from tests.fixtures.dvc_stages import ROOT
from tests.fixtures.predictors import write_random_heads
from tests.fixtures.reviews import written_queue
from tests.fixtures.web_page import PATIENCE_S
from tests.stages.test_gallery import SPLIT, write_project
from tests.stages.web.test_browser_objects import DESKTOP, DEVICES, violations
from tools.served_page import served

pytestmark = pytest.mark.slow

N_SCENES = 60

SCENES = ("scenes.json", "--images", "scenes")


def at(page: Page, place: int | str) -> None:
    """Wait until the mask of a rank is shown, or the end."""
    page.locator(f"body[data-shown='{place}']").wait_for(state="attached")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the review at ``address``."""
    return tmp_path_factory.mktemp("review")


@pytest.fixture(scope="module")
def address(folder: Path) -> Iterator[str]:
    """Address of a review of five masks in two images."""
    queue = written_queue(folder, [0.9, 0.2, 0.4], [0.5, 0.3])
    with served(PageState(review=queue)) as address:
        yield address


@contextmanager
def review_tab(
    browser: Browser,
    address: str,
    **context: Any,  # noqa: ANN401 - of Playwright
) -> Iterator[Page]:
    """Open a review in a new tab."""
    with tab(browser, address, scene=0, **context) as page:
        at(page, 0)
        yield page


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("device", DEVICES)
def test_axe_finds_no_violation(browser: Browser, address: str, device: str, scheme: str) -> None:
    with review_tab(browser, address, color_scheme=scheme, **DEVICES[device]) as page:
        expect(page.locator("#neighbours img")).to_have_count(5)
        assert violations(page) == []
        page.locator("#help-open").click()
        assert violations(page) == []


def test_every_key_does_what_the_help_says(browser: Browser, address: str, folder: Path) -> None:
    with review_tab(browser, address, **DESKTOP) as page:
        page.keyboard.press("?")
        expect(page.get_by_role("dialog")).to_contain_text("Look at it again after all others")
        shown = page.locator("#help-keys kbd").all_inner_texts()
        assert shown == ["K", "O", "C", "D", "R", "S", "Z", "?"]
        assert page.locator("#help-editor kbd").count() > 10
        seen_help = page.get_by_role("dialog").inner_text()
        assert "corner of a box" in seen_help
        assert "new object" not in seen_help
        page.keyboard.press("s")  # nothing is decided behind the help
        page.keyboard.press("?")
        expect(page.get_by_role("dialog")).to_be_hidden()
        expect(page.locator("#words")).to_have_text("Expected IoU 0.20")
        for key, rank in (("s", 1), ("k", 2), ("d", 3), ("r", 4), ("z", 3), ("r", 4)):
            page.keyboard.press(key)
            at(page, rank)
        page.keyboard.press("o")
        other = decision_of_keep(page)
        page.keyboard.press("k")
        at(page, 0)  # the skipped mask
        seen = page.locator("#canvas").bounding_box()
        assert seen is not None
        page.mouse.click(seen["x"] + seen["width"] / 2, seen["y"] + seen["height"] / 2)
        expect(page.locator("#because")).to_contain_text("of the model: Keep takes it")
        page.keyboard.press("k")
        at(page, "end")
        expect(page.locator("#stop")).to_have_text("You have looked at all masks.")
        page.keyboard.press("z")
        at(page, 0)
        page.keyboard.press("c")
        chosen = decision_of_keep(page)
        assert violations(page) == []
        page.keyboard.press("k")
        at(page, "end")
    lines = read_lines(folder / "decisions.jsonl")[1:]
    assert [line["decision"] for line in lines] == [
        *("skip", "keep", "redraw", "remove", None, "remove", other, "clicked", None, chosen)
    ]


def decision_of_keep(page: Page) -> str:
    """Decision that Keep writes for the shown mask of the model.

    A choice that is cut at 0.5 is one of the three proposals, any other a fourth mask.
    """
    expect(page.locator("#because")).to_contain_text("of the model: Keep takes it")
    return "choice" if "Mask 4 of 4" in page.locator("#because").inner_text() else "proposal"


def test_a_click_outside_of_the_mask_is_about_it_and_keep_takes_what_is_shown(
    browser: Browser, tmp_path: Path
) -> None:
    queue = written_queue(tmp_path, [0.5])
    with served(PageState(review=queue)) as address, review_tab(browser, address) as page:
        seen = page.locator("#canvas").bounding_box()
        assert seen is not None
        page.mouse.click(seen["x"] + seen["width"] - 9, seen["y"] + seen["height"] - 9)
        expect(page.locator("#whose")).to_be_hidden()
        expect(page.locator("#because")).to_contain_text("of the model: Keep takes it")
        page.keyboard.press("k")
        at(page, "end")
    (line,) = read_lines(tmp_path / "decisions.jsonl")[1:]
    assert line["decision"] == "clicked"


def test_an_empty_mask_is_shown_as_empty_and_keep_is_not_offered(
    browser: Browser, tmp_path: Path
) -> None:
    queue = written_queue(tmp_path, [0.0, 0.5])
    with served(PageState(review=queue)) as address, review_tab(browser, address) as page:
        expect(page.locator("#words")).to_have_text("Empty mask")
        expect(page.locator("#decide-k")).to_be_disabled()
        page.keyboard.press("k")
        page.keyboard.press("o")
        expect(page.locator("#because")).to_contain_text("of the model: Keep takes it")
        expect(page.locator("#decide-k")).to_be_enabled()
        page.keyboard.press("r")
        at(page, 1)
        expect(page.locator("#decide-k")).to_be_enabled()
        page.keyboard.press("k")
        at(page, "end")
    lines = read_lines(tmp_path / "decisions.jsonl")[1:]
    assert [line["decision"] for line in lines] == ["remove", "keep"]


def test_heads_that_choose_no_mask_say_so_at_the_key_c(browser: Browser, tmp_path: Path) -> None:
    heads = write_random_heads(tmp_path / "other.safetensors")
    queue = written_queue(tmp_path, [0.5])
    with (
        served(PageState(ModelOptions(heads=heads), review=queue)) as address,
        review_tab(browser, address) as page,
    ):
        page.keyboard.press("c")
        expect(page.locator("#fault")).to_have_text("The heads choose no mask for this prompt.")
        expect(page.locator("#because")).to_contain_text("of 3 of the model: Keep takes it.")


def test_a_mask_whose_image_is_deleted_is_named_and_can_only_be_skipped(
    browser: Browser, tmp_path: Path
) -> None:
    queue = written_queue(tmp_path, [0.2], [0.4], [0.6])
    (tmp_path / "images" / "2.png").unlink()
    with (
        served(PageState(review=queue)) as address,
        review_tab(browser, address, may_be_refused=True) as page,
    ):
        expect(page.locator("#neighbours button")).to_have_text(["", "–", ""])
        page.keyboard.press("k")
        at(page, 1)
        expect(page.locator("#fault")).to_contain_text("2.png must be an image file, got no such")
        expect(page.locator("#canvas")).to_be_hidden()
        for key in "kocdr":
            expect(page.locator(f"#decide-{key}")).to_be_disabled()
            page.keyboard.press(key)
        page.keyboard.press("s")
        at(page, 2)
        expect(page.locator("#canvas")).to_be_visible()
        expect(page.locator("#words")).to_have_text("Expected IoU 0.60")
        page.keyboard.press("r")
        at(page, 1)
    lines = read_lines(tmp_path / "decisions.jsonl")[1:]
    decisions = [(line["image_id"], line["decision"]) for line in lines]
    assert decisions == [(1, "keep"), (2, "skip"), (3, "remove")]


def test_a_tab_of_another_start_of_the_server_decides_about_no_other_mask(
    browser: Browser, tmp_path: Path
) -> None:
    own = PageState(review=written_queue(tmp_path, [0.5]))
    with (
        served(own) as address,
        review_tab(browser, address, may_be_refused=True) as page,
    ):
        own.begin_review(written_queue(tmp_path, [0.5], [0.2]))
        page.keyboard.press("r")
        expect(page.locator("#fault")).to_contain_text("reload the page")
        page.keyboard.press("z")
        expect(page.locator("#fault")).to_contain_text("reload the page")
        page.reload()
        at(page, 0)
        page.keyboard.press("r")
        at(page, 1)
    (line,) = read_lines(tmp_path / "decisions.jsonl")[1:]
    assert (line["image_id"], line["decision"]) == (2, "remove")


@contextmanager
def reviewing(folder: Path, *words: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """Address and process of ``usam review``, which runs in a folder."""
    process = subprocess.Popen(
        [sys.executable, "-m", "stages.cli", "review", *words, "--port", "0"],
        stdout=subprocess.PIPE,
        text=True,
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    try:
        assert process.stdout is not None
        (address,) = re.findall(r"open (http://\S+), end", process.stdout.readline())
        yield address, process
    finally:
        process.kill()
        process.communicate(timeout=PATIENCE_S)


def draw_scenes(folder: Path) -> None:
    """Small scenes with a box around an object each."""
    (folder / "scenes").mkdir()
    images, annotations = [], []
    for number, seed in enumerate(scene_seeds(7, "further", N_SCENES), start=1):
        scene = draw_scene(seed, 64)
        Image.fromarray(scene.rgb).save(folder / "scenes" / f"{number}.png")
        size = {"height": 64, "width": 64}
        images.append({"id": number, "file_name": f"{number}.png", **size})
        box = measure_objects([(scene.masks[-1], 0)]).box_px[0].tolist()
        annotations.append({"id": number, "image_id": number, "bbox": box})
    content = {"images": images, "annotations": annotations}
    (folder / "scenes.json").write_text(json.dumps(content), encoding="utf-8")


def test_a_review_of_60_scenes_goes_on_after_a_kill(browser: Browser, tmp_path: Path) -> None:
    draw_scenes(tmp_path)
    keys = ["kdrk"[rank % 4] for rank in range(N_SCENES)]
    half = N_SCENES // 2
    with reviewing(tmp_path, *SCENES) as (address, process), tab(browser, address, scene=0) as page:
        for rank in range(half):
            at(page, rank)
            page.keyboard.press(keys[rank])
        at(page, half)
        # A thumbnail that is on its way at the kill would be an error in the console.
        present = page.locator("#neighbours [aria-current=true]")
        expect(present).to_have_attribute("aria-label", f"Mask {half + 1} of the queue")
        process.send_signal(signal.SIGKILL)
        process.wait(PATIENCE_S)
    with reviewing(tmp_path, *SCENES) as (address, process), tab(browser, address, scene=0) as page:
        for rank in range(half, N_SCENES):
            at(page, rank)
            page.keyboard.press(keys[rank])
        at(page, "end")
        expect(page.locator("#left")).to_have_text("0 of 60 masks left")
    lines = read_lines(tmp_path / "scenes.review" / "decisions.jsonl")[1:]
    names = {"k": "keep", "d": "redraw", "r": "remove"}
    assert [line["decision"] for line in lines] == [names[key] for key in keys]
    assert sorted(line["image_id"] for line in lines) == list(range(1, N_SCENES + 1))


@pytest.mark.parametrize("device", DEVICES)
def test_annotations_are_shown_as_claims_to_look_at(
    browser: Browser, tmp_path: Path, device: str
) -> None:
    with chdir(tmp_path):
        write_project(tmp_path)
    with (
        reviewing(tmp_path, SPLIT, "--annotations") as (address, _),
        tab(browser, address, scene=0, **DEVICES[device]) as page,
    ):
        at(page, 0)
        expect(page.locator("#words")).to_contain_text(re.compile(r"Models expect .*, reach "))
        expect(page.locator("#stop")).to_contain_text("a claim to look at, not a verdict")
        expect(page.locator("#expected")).to_be_hidden()
        expect(page.locator("#neighbours img")).to_have_count(6)
        assert violations(page) == []
        for rank, key in enumerate("krdkk", start=1):
            page.keyboard.press(key)
            at(page, rank)
        page.keyboard.press("d")
        at(page, "end")
        assert violations(page) == []
    lines = read_lines(tmp_path / f"{SPLIT}.annotations.review" / "decisions.jsonl")[1:]
    names = {"k": "keep", "d": "redraw", "r": "remove"}
    assert [line["decision"] for line in lines] == [names[key] for key in "krdkkd"]
