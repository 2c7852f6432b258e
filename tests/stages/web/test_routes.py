"""What the page is answered: the predictor's own words, and refusals that say why."""

import asyncio
import base64
import io
import json
import re
from collections.abc import AsyncIterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import httpx
import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO

from pipeline.heads.scope import DRAWN_ONLY
from pipeline.predictor import PromptSet, Uncertainty
from pipeline.predictor.advice import Costs
from pipeline.scenes.scene import DEMO_SEED, DEMO_SIZE_PX, draw_scene, scene_seeds
from stages.predictor.command_options import ModelOptions
from stages.predictor.loading import load_predictor
from stages.settings.params import read_params
from stages.web import open_images
from stages.web.open_images import MOST_UPLOAD_BYTES
from stages.web.page_state import PageState, read_scenes
from storage.rle import decode_rle
from tests.fixtures.dvc_stages import ROOT
from tests.fixtures.predictors import GATE, drawn, write_random_heads
from tests.fixtures.web_page import (
    CHOICE,
    asked,
    clocked_loop,
    download,
    opened,
    png,
    question,
)
from tools.choose_scenes import ADVISED

CLICK = (120.0, 80.5, 1)

BY_A_PERSON = {"click": 1.0, "larger_model": 1.0, "person": 0.0}


def predicted(
    *prompts: Any,  # noqa: ANN401
    model: str = "tiny",
    **options: Any,  # noqa: ANN401 - of the predictor
) -> Uncertainty:
    predictor = load_predictor("mini", model)
    predictor.set_image(drawn())
    (found,) = predictor.predict_uncertainties([PromptSet(*prompts)], **options)
    return found


def answered(page: PageState, data: bytes, asking: dict[str, Any], kind: str = "answer") -> bytes:
    async def ask(client: httpx.AsyncClient) -> bytes:
        image = await opened(client, data)
        response = await client.post(f"/api/images/{image['image']}/{kind}", json=asking)
        assert response.status_code == 200, response.text
        return response.content

    return asked(page, ask)


def mask_of(told: dict[str, Any]) -> np.ndarray:
    picture = Image.open(io.BytesIO(base64.b64decode(told["mask"])))
    return np.asarray(picture.convert("RGBA"))[..., 3] > 0


@pytest.mark.parametrize(
    ("asking", "prompts"),
    [
        (question(CLICK, (30, 150, 0)), ([[120, 80.5], [30, 150]], [1, 0])),
        (
            question(CLICK, box=[40, 30, 200, 150], costs=BY_A_PERSON),
            ([[120, 80.5]], [1], [40, 30, 200, 150]),
        ),
        # The smallest model tells unlike images for it.
        (question(CLICK, model="large", heads="mini"), ([[120, 80.5]], [1])),
    ],
    ids=["clicks", "box with a click", "large"],
)
def test_an_answer_is_what_the_predictor_says(
    page: PageState, asking: dict[str, Any], prompts: tuple[Any, ...]
) -> None:
    told = json.loads(answered(page, png(drawn()), asking))
    found = predicted(*prompts, model=asking["model"], costs=Costs(**asking.get("costs", {})))
    assert told["can_judge"] == found.permission.advises
    assert told["unlike_training"] == pytest.approx(found.unlike_training, abs=0.01)
    assert told["selected"] == found.selected
    assert told["advice"]["words"] == found.advice.words
    assert told["caution"] == found.caution
    assert DRAWN_ONLY in found.caution
    assert told["h_a"] == pytest.approx(found.h_a, abs=1e-5)
    has_fourth = False
    if found.choice is not None and found.choice.cut != 0.5:
        has_fourth = True
        *_, chosen = told["proposals"]
        assert told["choice"]["gain"] == pytest.approx(found.choice.gain, abs=1e-5)
        assert chosen["expected_iou"]["own"] == pytest.approx(found.choice.expected_iou, abs=1e-5)
        assert (mask_of(chosen)[2::4, 2::4] == found.choice.mask).mean() > 0.99
    assert len(told["proposals"]) == 3 + has_fourth
    for k, own in enumerate(told["proposals"][:3]):
        assert own["sam_score"] == pytest.approx(found.sam_score[k], abs=1e-5)
        for name, values in found.expected_iou.by_name.items():
            assert own["expected_iou"][name] == pytest.approx(values[k], abs=1e-5)
        for name, values in found.gap.items():
            assert own["gap"][name] == pytest.approx(values[k], abs=1e-5)
        mask = mask_of(own)
        assert mask.shape == (768, 1024)  # four of its pixels are one of the image
        assert (mask[2::4, 2::4] == found.masks[k]).mean() > 0.99
        heat = np.asarray(Image.open(io.BytesIO(base64.b64decode(own["entropy"]))))
        np.testing.assert_allclose(heat / 255, found.pixel_entropy[k], atol=0.003)


def test_an_answer_says_what_gates_promise_of_the_mask_and_of_its_set(tmp_path: Path) -> None:
    of_sets = replace(GATE, of="set", alpha=0.1, threshold=0.0)
    entry = {"gates": json.dumps([asdict(GATE), asdict(of_sets)])}
    gated = PageState(
        ModelOptions(heads=write_random_heads(tmp_path / "gated.safetensors", changes=entry))
    )
    told = json.loads(answered(gated, png(drawn()), question(CLICK, heads="gated")))
    assert told["gate"].startswith("On images like those of shapes_val: on average")
    assert told["is_kept"] is not None
    assert sorted(told["mask_set"]) == [0, 1, 2]
    assert told["set"].startswith("One of the proposals ")
    plain = json.loads(answered(gated, png(drawn()), question(CLICK, heads="mini")))
    assert [plain[name] for name in ("mask_set", "set", "gate", "is_kept")] == [None, "", "", None]
    gated.close()


def test_the_downloads_have_the_masks_of_all_objects(page: PageState, tmp_path: Path) -> None:
    questions = question(CLICK), question((160, 100, 1))
    asking = download(*questions, proposals=(1, 3), file_name="../../etc/a photo.png")
    second = predicted([[160, 100]], [1])
    expected = [(predicted([[120, 80.5]], [1]).mask_of(1)), second.best_mask]
    assert second.choice is not None
    assert second.choice.cut != 0.5
    with ZipFile(io.BytesIO(answered(page, png(drawn()), asking, "masks"))) as archive:
        assert archive.namelist() == ["annotations.json", "object-1.png", "object-2.png"]
        for number, taken in enumerate(expected, start=1):
            with archive.open(f"object-{number}.png") as file:
                picture = np.asarray(Image.open(file))
            np.testing.assert_array_equal(picture, 255 * taken.mask)
        path = tmp_path / "annotations.json"
        path.write_bytes(archive.read("annotations.json"))
    assert answered(page, png(drawn()), asking, "coco") == path.read_bytes()
    coco = COCO(str(path))
    for annotation, taken in zip(coco.anns.values(), expected, strict=True):
        rle = annotation["segmentation"]  # not annToMask, at which NumPy warns
        np.testing.assert_array_equal(decode_rle(rle["counts"], *rle["size"]), taken.mask)
        assert annotation["score"] == pytest.approx(taken.expected_iou, abs=1e-5)
        of_mask = annotation["uncertainty"]["proposal"], annotation["uncertainty"]["cut"]
        assert of_mask == (taken.proposal, taken.cut)
        assert annotation["attributes"]["object"] == annotation["id"]
    assert coco.imgs[1]["file_name"] == "../../etc/a photo.png"  # written down, never opened


@pytest.mark.parametrize(
    ("asking", "words"),
    [
        (download(), "objects must be as the page sends it, got: .* at least 1 item"),
        (download(*[question(CLICK)] * 101), "objects must be as the page sends it, got: .*100"),
        (download(question(CLICK), proposals=[4]), "objects.0.proposal must be as the page"),
        (download(question((30, 150, 0))), "prompt must have a click on the object, a box or"),
    ],
    ids=["none", "too many", "proposal", "no click on the object"],
)
def test_a_download_is_refused_in_words(
    page: PageState, asking: dict[str, Any], words: str
) -> None:
    async def ask(client: httpx.AsyncClient) -> None:
        image = await opened(client, png(drawn()))
        response = await client.post(f"/api/images/{image['image']}/coco", json=asking)
        assert response.status_code == 400
        assert re.match(words, response.json()["error"]), response.json()

    asked(page, ask)


RENEW = "weights, heads or advice have changed: run python -m tools.choose_scenes"


def test_the_scenes_are_the_demo_s_and_one_for_each_advice(page: PageState) -> None:
    shapes = read_params(ROOT / "params.yaml").shapes
    assert (shapes.seed, shapes.image_size_px) == (DEMO_SEED, DEMO_SIZE_PX)

    async def ask(client: httpx.AsyncClient) -> list[str]:
        offered = (await client.get("/api/options")).json()["scenes"]
        advised = []
        for number, (scene, values) in enumerate(zip(read_scenes(), offered, strict=True)):
            click = values["click"]
            data = (await client.get(f"/api/scenes/{number}")).content
            seed = scene_seeds(DEMO_SEED, "val", scene.number + 1)[-1]
            rgb = np.asarray(Image.open(io.BytesIO(data)))
            np.testing.assert_array_equal(rgb, draw_scene(seed, DEMO_SIZE_PX).rgb)
            image = await opened(client, scene=number)
            path = f"/api/images/{image['image']}/answer"
            told = await client.post(path, json=question((click["x"], click["y"], 1)))
            assert told.json()["advice"]["correction"] == scene.advice, RENEW
            # The page drew it: the mini models know such scenes.
            assert (image["is_scene"], told.json()["caution"]) == (True, None)
            advised.append(scene.advice)
            # README shows the first scene as a file of the demo.
            assert number > 0 or scene.number < shapes.n_val_images, RENEW
        assert (await client.get(f"/api/scenes/{len(offered)}")).status_code == 404
        return advised

    assert sorted(asked(page, ask)) == sorted(ADVISED), RENEW


def test_an_image_that_was_left_goes_unless_it_is_asked_for_again(page: PageState) -> None:
    async def ask(client: httpx.AsyncClient) -> list[int]:
        names = [(await opened(client, scene=0))["image"] for _ in range(3)]
        for name in names:
            await client.delete(f"/api/images/{name}", params={"may_return": True})
        await asyncio.sleep(open_images.RELOAD_S - 1)
        for name in names[:2]:
            await client.get(f"/api/images/{name}")
        await client.delete(f"/api/images/{names[1]}", params={"may_return": True})
        await asyncio.sleep(open_images.RELOAD_S + 1)
        return [(await client.get(f"/api/images/{name}")).status_code for name in names]

    assert asked(page, ask, loop=clocked_loop) == [200, 404, 404]


def test_too_many_bytes_are_refused_before_they_have_come_in(page: PageState) -> None:
    n_sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal n_sent
        while True:
            n_sent += 2**20
            yield bytes(2**20)

    async def ask(client: httpx.AsyncClient) -> None:
        response = await client.post("/api/images", params=CHOICE, content=endless())
        words = "image must be of at most 20 MB, got more"
        assert (response.status_code, response.json()) == (413, {"error": words})

    asked(page, ask)
    assert n_sent <= MOST_UPLOAD_BYTES + 2 * 2**20


@pytest.mark.parametrize(
    ("asking", "words"),
    [
        (question(CLICK, model="huge"), "model must be one of tiny, .*, got 'huge'"),
        (
            question(CLICK, heads="/etc/passwd"),
            "heads must be one of other, mini, .*, got ./etc",
        ),
        (question(*[CLICK] * 101), "clicks must be as the page sends it, got: "),
        (question(CLICK, costs={"click": 2}), "costs must be as the page sends it, got: .* got 2"),
        (question(CLICK, model="x" * 60_000), "question must be of at most 0.05 MB"),
    ],
    ids=lambda value: value[:40] if isinstance(value, str) else "",
)
def test_a_question_is_refused_in_words(
    page: PageState, asking: dict[str, Any], words: str
) -> None:
    async def ask(client: httpx.AsyncClient) -> None:
        image = await opened(client, png(drawn()))
        response = await client.post(f"/api/images/{image['image']}/answer", json=asking)
        assert response.status_code in {400, 413}
        assert re.match(words, response.json()["error"]), response.json()

    asked(page, ask)


def test_who_lacks_the_name_of_an_image_sees_nothing_of_it(page: PageState) -> None:
    async def ask(client: httpx.AsyncClient) -> None:
        image = await opened(client, png(drawn()))
        name = image["image"]
        for path in ("", name[:-1], name.upper()):
            assert (await client.get(f"/api/images/{path}")).status_code in {307, 404, 405}
        assert (await client.get(f"/api/images/{name}")).status_code == 200
        await client.delete(f"/api/images/{name}")
        response = await client.post(f"/api/images/{name}/answer", json=question(CLICK))
        assert response.status_code == 404
        assert response.json()["error"].startswith("image must still be open, got one that ")

    asked(page, ask)


def test_with_a_token_nothing_is_told_without_it(page: PageState) -> None:
    async def ask(client: httpx.AsyncClient) -> None:
        assert (await client.get("/")).status_code == 200
        for path in ("options", "queue", "scenes/0", "images/x", "unknown"):
            response = await client.get(f"/api/{path}")
            assert response.status_code == 401
            assert "token" in response.json()["error"]
        right = {"Authorization": "Bearer secret"}
        assert (await client.get("/api/options", headers=right)).status_code == 200

    asked(page, ask, token="secret")  # noqa: S106


def test_every_answer_forbids_other_pages_and_addresses(page: PageState) -> None:
    async def ask(client: httpx.AsyncClient) -> None:
        for path in ("/", "/editor.js", "/api/options", "/nowhere"):
            headers = (await client.get(path)).headers
            assert "default-src 'none'" in headers["content-security-policy"]
            assert headers["cross-origin-resource-policy"] == "same-origin"
            assert headers["x-content-type-options"] == "nosniff"
            assert "access-control-allow-origin" not in headers
        for path in ("/docs", "/redoc", "/openapi.json", "/static/page.js", "/../app.py"):
            assert (await client.get(path)).status_code == 404
        elsewhere = await client.get("/", headers={"Host": "evil.example"})
        assert elsewhere.status_code == 421

    asked(page, ask)
