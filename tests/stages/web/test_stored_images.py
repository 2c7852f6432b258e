"""The page over stores of embeddings: their images as thumbnails, answered without encoding."""

import io
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import httpx
import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, expect
from typer.testing import CliRunner

from stages.cli.app import app
from stages.predictor.command_options import ModelOptions
from stages.predictor.loading import load_predictor
from stages.settings.parsing import ParamsError
from stages.web.open_images import THUMBNAIL_PX
from stages.web.page_state import PageState, StoredImage
from storage.errors import DataError, ImageError
from storage.images.videos import Videos, video_of
from storage.store.opening import open_embeddings
from tests.fixtures.bucket import s3_server, upload, use_server
from tests.fixtures.chromium import answered, expected_ious, tab
from tests.fixtures.dvc_stages import ROOT
from tests.fixtures.layouts import write_mp4
from tests.fixtures.stored_images import (
    refuse_to_encode,
    two_images,
    write_embeddings_of,
    write_images,
)
from tests.fixtures.web_page import asked, opened, png, question
from tools.served_page import served

NAMES: Final = list(two_images())
CHOICE: Final[dict[str, Any]] = {"model": "large", "heads": "mini"}


@pytest.fixture(scope="module")
def encoded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two images in a folder, and their embeddings by tiny and large."""
    folder = tmp_path_factory.mktemp("encoded")
    write_images(folder / "images", two_images())
    for model in ("tiny", "large"):
        write_embeddings_of(folder / f"{model}.zarr", folder / "images", two_images(), model)
    return folder


def page_of(folder: Path | str) -> PageState:
    places = [f"{folder}/large.zarr", f"{folder}/tiny.zarr"]
    return PageState(ModelOptions(model="large", embeddings=places), images=f"{folder}/images")


@pytest.fixture
def page(encoded: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[PageState]:
    """A page whose models refuse to encode, from its start on."""
    refuse_to_encode(monkeypatch)
    page = page_of(encoded)
    yield page
    page.close()


def expected_answer(rgb: np.ndarray) -> dict[str, Any]:
    predictor = load_predictor("mini", "large")
    predictor.set_image(rgb)
    return predictor.predict_uncertainty([[120, 80]], [1]).to_dict()


def test_images_of_the_stores_are_offered_and_answered_as_if_encoded(
    encoded: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = [expected_answer(rgb) for rgb in two_images().values()]
    refuse_to_encode(monkeypatch)
    page = page_of(encoded)

    async def ask(client: httpx.AsyncClient) -> list[dict[str, Any]]:
        options = (await client.get("/api/options")).json()
        assert options["model"] == "large"
        assert options["scenes"] == [{"label": n, "file": n, "click": None} for n in NAMES]
        answers = []
        for number in range(len(NAMES)):
            thumbnail = Image.open(io.BytesIO((await client.get(f"/api/scenes/{number}")).content))
            assert max(thumbnail.size) == THUMBNAIL_PX
            image = await opened(client, scene=number, **CHOICE)
            assert not image["is_scene"]
            asking = question((120, 80, 1), **CHOICE)
            response = await client.post(f"/api/images/{image['image']}/answer", json=asking)
            answers.append(response.json())
        await opened(client, png(two_images()[NAMES[1]]), **CHOICE)  # one's own file, too
        return answers

    for answer, values in zip(asked(page, ask), expected, strict=True):
        assert answer["unlike_training"] == values["unlike_training"]
        assert answer["advice"] == values["advice"]
        # The mask that the heads choose stands behind the three proposals.
        proposals = answer["proposals"][: len(values["proposals"])]
        for proposal, expected_proposal in zip(proposals, values["proposals"], strict=True):
            assert proposal["expected_iou"] == expected_proposal["expected_iou"]
            assert proposal["sam_score"] == expected_proposal["sam_score"]


@pytest.mark.parametrize("name", ["a.ppm", "a.jp2", "a.mp4#00000", "larger_than_an_upload.png"])
def test_an_image_that_could_not_be_uploaded_is_offered_from_its_folder(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, images = tmp_path / "images", {name: two_images()["scene.png"]}
    folder.mkdir()
    if video_of(name):
        write_mp4(folder / "a.mp4", [images[name]])
        height_px, width_px = images[name].shape[:2]
        frames = Videos(folder, [name])
        images[name] = frames.read(name, height_px=height_px, width_px=width_px)
    else:
        write_images(folder, images)
    place = write_embeddings_of(tmp_path / "tiny.zarr", folder, images)
    monkeypatch.setattr("stages.web.open_images.MOST_PX", 1000)
    refuse_to_encode(monkeypatch)
    page = PageState(ModelOptions(embeddings=[str(place)]), images=str(folder))

    async def ask(client: httpx.AsyncClient) -> None:
        assert (await client.get("/api/scenes/0")).status_code == 200
        image = await opened(client, scene=0)
        assert (image["height_px"], image["width_px"]) == images[name].shape[:2]

    asked(page, ask)


def test_a_model_without_a_store_of_its_own_encodes(encoded: Path) -> None:
    page = PageState(
        ModelOptions(embeddings=[str(encoded / "tiny.zarr")]), images=f"{encoded}/images"
    )
    loaded = [page.models.predictor("mini", model) for model in ("tiny", "small")]
    assert [predictor.stored_images is None for predictor in loaded] == [False, True]


def test_an_image_that_is_gone_is_named(encoded: Path) -> None:
    folder = write_images(encoded / "fewer", {NAMES[0]: two_images()[NAMES[0]]})
    page = PageState(ModelOptions(embeddings=[str(encoded / "tiny.zarr")]), images=str(folder))

    async def ask(client: httpx.AsyncClient) -> list[tuple[int, str]]:
        responses = [
            await client.get("/api/scenes/1"),
            await client.post("/api/images", params={"model": "tiny", "heads": "mini", "scene": 1}),
        ]
        return [(response.status_code, response.json()["error"]) for response in responses]

    words = f"{folder}/{NAMES[1]} must be an image file, got no such file"
    assert asked(page, ask) == [(400, words)] * 2


def test_a_store_names_no_file_outside_of_the_folder(encoded: Path) -> None:
    rgb = two_images()[NAMES[0]]
    (encoded / "inside").mkdir()
    names = {"../images/scene.png": rgb}
    place = write_embeddings_of(encoded / "outside.zarr", encoded / "inside", names)
    with pytest.raises(ImageError, match=r"scene\.png must be an image in"):
        PageState(ModelOptions(embeddings=[str(place)]), images=str(encoded / "inside")).warm_up()


def test_images_must_be_there_and_of_embeddings(
    encoded: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ParamsError, match="images must be in a folder or at an address, got none"):
        PageState(
            ModelOptions(embeddings=[str(encoded / "tiny.zarr")]), images=str(encoded / "none")
        )
    result = CliRunner().invoke(app, ["demo", "--port", "0", "--images", str(encoded)])
    assert result.stderr == "error: --images must come with --embeddings, got it alone\n"
    result = CliRunner().invoke(app, ["demo", "--port", "0", "--embeddings", str(encoded)])
    assert (result.exit_code, result.stderr.count("\n")) == (1, 1)
    assert str(encoded) in result.stderr
    without_images = open_embeddings(encoded / "tiny.zarr").isel(image=[])
    monkeypatch.setattr("stages.web.page_state.open_embeddings", lambda _: without_images)
    with pytest.raises(DataError, match=r"must be of one image or more, got none in .*tiny\.zarr"):
        page_of(encoded)


def test_embeddings_of_a_split_find_their_images_by_the_params(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for file in ("params.yaml", "versions.yaml"):
        shutil.copy(ROOT / file, tmp_path)
    folder = write_images(Path("data/shapes/val"), two_images())
    write_embeddings_of(Path("tiny.zarr"), folder, two_images(), split="shapes_val")
    pages: list[PageState] = []
    monkeypatch.setattr("stages.web.server.serve", lambda page, _: pages.append(page))
    for _ in range(2):
        result = CliRunner().invoke(app, ["demo", "--port", "0", "--embeddings", "tiny.zarr"])
        assert (result.exit_code, result.stderr) == (0, "")
        page = pages.pop()
        page.close()
        scenes = [scene for scene in page.scenes if isinstance(scene, StoredImage)]
        assert [scene.record.file for scene in scenes] == NAMES
        assert all(scene.rgb.size for scene in scenes)
        # Then the same with the address of the images in a file.
        folder = folder.rename("elsewhere")
        Path("data/shapes/val").write_text(f"file://{folder.resolve()}\n", "utf-8")


@pytest.mark.slow
def test_a_browser_clicks_in_images_of_a_store_in_a_bucket(
    browser: Browser, encoded: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = expected_answer(two_images()[NAMES[1]])
    with s3_server() as server:
        use_server(server, monkeypatch)
        bucket = upload(encoded, "encoded")
        refuse_to_encode(monkeypatch)
        with served(page_of(bucket)) as address, tab(browser, address, scene=0) as page:
            buttons = page.get_by_role("group", name="Encoded images").get_by_role("button")
            expect(buttons).to_have_count(len(NAMES))
            for thumbnail in buttons.locator("img").all():
                expect(thumbnail).to_have_js_property("naturalWidth", THUMBNAIL_PX)
            expect(page.locator("#offer")).to_have_text(
                "or drop one, or take one of 2 encoded images:"
            )
            buttons.nth(1).click()
            expect(page.get_by_role("application")).to_have_attribute(
                "aria-label", f"Image {NAMES[1]}, 256 by 192 pixels"
            )
            seen = page.locator("#canvas").bounding_box()
            assert seen is not None
            place = {"x": seen["width"] * 120 / 256, "y": seen["height"] * 80 / 192}
            page.locator("#canvas").click(position=place)  # type: ignore[arg-type]
            answered(page, 1)
            own = np.array([p["expected_iou"]["own"] for p in expected["proposals"]])
            np.testing.assert_allclose(
                np.array(expected_ious(page), float), own, atol=0.011
            )  # the click is a fraction of a pixel off
