"""Prompts are refused by the same rules and in the same words whichever way they come."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import httpx
import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from stages.cli.app import app
from stages.predictor.command_options import check_prompts, read_checked_prompts
from stages.web.page_state import PageState
from storage.datasets.coco import CocoPrompt, PromptedImage
from storage.datasets.object_records import ImageRecord
from tests.fixtures.predictors import drawn, mini_predictor
from tests.fixtures.web_page import asked, opened, png, question

Click = tuple[float, float, int]
"""x, y and label."""

Box = tuple[float, float, float, float]

REFUSED: Final[dict[str, tuple[tuple[Click, ...], Box | None]]] = {
    "a click beside the object alone": (((30.0, 150.0, 0),), None),
    "a click that is not in the image": (((120.0, 80.0, 1), (256.0, 9.0, 1)), None),
    "one beside the object": (((120.0, 80.0, 1), (9.0, 192.0, 0)), None),
    "a reversed box": ((), (200.0, 150.0, 40.0, 30.0)),
    "a box far outside": ((), (900.0, 900.0, 990.0, 990.0)),
}


@pytest.fixture(scope="module")
def page() -> Iterator[PageState]:
    page = PageState()
    yield page
    page.jobs.close()


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("images").mkdir()
    Image.fromarray(drawn()).save("images/photo.png")


def words_of_python(clicks: tuple[Click, ...], box: Box | None) -> str:
    points = np.array(clicks, float).reshape(-1, 3)
    prompt: dict[str, Any] = {}
    if clicks:
        prompt = {"point_coords": points[:, :2], "point_labels": points[:, 2]}
    if box:
        prompt["box"] = np.array(box)
    with pytest.raises(ValueError, match="must ") as refused:
        mini_predictor().predict_uncertainty(**prompt)
    return str(refused.value)


def words_of_the_page(page: PageState, clicks: tuple[Click, ...], box: Box | None) -> str:
    async def ask(client: httpx.AsyncClient) -> str:
        image = await opened(client, png(drawn()))
        address = f"/api/images/{image['image']}/answer"
        response = await client.post(address, json=question(*clicks, box=box))
        assert response.status_code == 400
        return str(response.json()["error"])

    return asked(page, ask)


def words_of_the_shell(clicks: tuple[Click, ...], box: Box | None) -> str:
    options = [(("--not-click", "--click")[label], f"{x},{y}") for x, y, label in clicks]
    if box:
        options.append(("--box", ",".join(str(side) for side in box)))
    flat = [part for option in options for part in option]
    return words_of_usam("predict", "images/photo.png", *flat)


def words_of_usam(*arguments: str) -> str:
    result = CliRunner().invoke(app, [*arguments])
    assert (result.exit_code, result.stdout) == (1, "")
    return result.stderr.removeprefix("error: ").removesuffix("\n")


def words_of_a_coco_file(clicks: tuple[Click, ...], box: Box | None) -> str:
    height, width = drawn().shape[:2]
    left, top, right, bottom = box or (0, 0, 1, 1)
    points = [number for x, y, _ in clicks for number in (x, y, 2)]
    own = {"bbox": [left, top, right - left, bottom - top], "keypoints": points}
    content: dict[str, Any] = {
        "images": [{"id": 1, "file_name": "photo.png", "height": height, "width": width}],
        "annotations": [{"id": 5, "image_id": 1, "category_id": 1, **own}],
    }
    Path("asked.json").write_text(json.dumps(content), encoding="utf-8")
    kind = "box" if box else "clicks"
    words = words_of_usam("predict-coco", "images", "asked.json", "found.json", "--prompt", kind)
    where, _, rule = words.partition(": annotation 5 of photo.png: ")
    assert where == "asked.json"
    assert not Path("found.json").exists()
    return rule


@pytest.mark.parametrize("name", REFUSED)
def test_shell_page_files_and_python_refuse_the_same_in_the_same_words(
    name: str, page: PageState
) -> None:
    clicks, box = REFUSED[name]
    words = words_of_python(clicks, box)
    assert words_of_the_page(page, clicks, box) == words
    assert words_of_the_shell(clicks, box) == words
    if all(label for _, _, label in clicks):  # keypoints are on the object
        assert words_of_a_coco_file(clicks, box) == words


IMAGE: Final = ImageRecord(file="a.png", height_px=20, width_px=30)


def test_a_box_of_a_file_may_reach_a_pixel_beyond_the_image() -> None:
    prompt = CocoPrompt(1, 3, (-1.0, 2.0, 31.0, 21.0), ())
    check_prompts(Path("a.json"), [PromptedImage(7, IMAGE, (prompt,))])


def test_annotations_without_a_labelled_keypoint_are_left_out_in_a_note(
    capsys: pytest.CaptureFixture[str],
) -> None:
    annotations = [
        {"id": 1, "image_id": 7, "keypoints": [3, 4, 2]},
        {"id": 2, "image_id": 7, "keypoints": [0, 0, 0]},
    ]
    image = {"id": 7, "file_name": "a.png", "height": 20, "width": 30}
    content = {"images": [image], "annotations": annotations}
    Path("asked.json").write_text(json.dumps(content), encoding="utf-8")
    (asked,) = read_checked_prompts(Path("asked.json"), "clicks")
    assert asked.prompts == (CocoPrompt(1, 1, None, ((3.0, 4.0),)),)
    assert capsys.readouterr().err == "note: 1 annotation left out: no labelled keypoint (v > 0)\n"
