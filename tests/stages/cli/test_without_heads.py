"""Commands, tools and the page with a user's own weights, from which no heads learned."""

import json
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
import torch
from typer.testing import CliRunner, Result

from pipeline.predictor import Uncertainty
from stages.cli.app import app
from stages.predictor.command_options import ModelOptions
from stages.predictor.loading import load_predictor
from stages.web.page_state import PageState
from storage.folders import sha256_file
from storage.images.image_files import png_bytes
from storage.store.opening import open_embeddings
from tests.fixtures.made_up_coco import image_record
from tests.fixtures.predictors import built_mini, drawn
from tests.fixtures.web_page import asked, opened, question

OWN: Final = ("--family", "mini", "--weights", "mine.pt")

REVIEW: Final = ("review", "asked.json", "--images", "photos", "--export", "reviewed.json")

PREDICT: Final = ("predict", "photos/0.png", "--click", "120,80")


def write_weights(scale: float = 1.01) -> None:
    """Write own weights of mini tiny, as further training could leave them."""
    weights = {name: scale * value for name, value in built_mini().state_dict().items()}
    torch.save({"model": weights}, "mine.pt")


@pytest.fixture(autouse=True)
def _files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Own weights, a folder of two images, and a COCO file with a box in each."""
    monkeypatch.chdir(tmp_path)
    write_weights()
    Path("photos").mkdir()
    height, width = drawn().shape[:2]
    for number, rgb in enumerate((drawn(), drawn()[:, ::-1])):
        Path("photos", f"{number}.png").write_bytes(png_bytes(rgb))
    box = {"bbox": [40, 30, 160, 120], "category_id": 1}
    content = {
        "images": [image_record(number, height=height, width=width) for number in (0, 1)],
        "annotations": [{"id": 7 + number, "image_id": number, **box} for number in (0, 1)],
        "categories": [{"id": 1, "name": "shape"}],
    }
    Path("asked.json").write_text(json.dumps(content), "utf-8")


def usam(*arguments: str) -> Result:
    return CliRunner().invoke(app, [*arguments])


def answered(*arguments: str) -> Result:
    result = usam(*arguments)
    assert result.exit_code == 0, result.output
    return result


def annotations_in(path: str) -> list[dict[str, Any]]:
    annotations: list[dict[str, Any]] = json.loads(Path(path).read_text("utf-8"))["annotations"]
    return annotations


def predicted(**prompt: Any) -> Uncertainty:  # noqa: ANN401
    predictor = load_predictor("mini", "tiny", weights="mine.pt")
    predictor.set_image(drawn())
    return predictor.predict_uncertainty(**prompt)


def test_a_review_is_in_the_order_of_samscore_times_stability() -> None:
    assert answered(*REVIEW, *OWN).stderr.count("note: no heads learned from") == 1
    reviewed = annotations_in("reviewed.json")
    scores = [annotation["score"] for annotation in reviewed]
    assert scores == sorted(scores)
    found = predicted(box=[40, 30, 200, 150])
    assert found.score_of(found.best_mask) in [pytest.approx(score, abs=1e-5) for score in scores]
    assert all("expected_iou" not in annotation["attributes"] for annotation in reviewed)


def test_masks_of_a_review_by_weights_that_changed_are_not_mixed() -> None:
    before = sha256_file(Path("mine.pt"))
    answered(*REVIEW, *OWN)
    write_weights(1.02)
    result = usam(*REVIEW, *OWN)
    assert result.exit_code == 1
    assert f"weights: {before} -> {sha256_file(Path('mine.pt'))}" in result.stderr


def test_masks_are_sorted_by_samscore_alone() -> None:
    command = ("predict-coco", "photos", "asked.json", "masks.json", "--format", "dataset", *OWN)
    answered(*command, "--sort", "sam_score")
    masks = annotations_in("masks.json")
    assert [set(mask["attributes"]) for mask in masks] == [{"sam_score"}] * 2
    assert "sort must be sam_score where there are no heads, got expected_iou" in (
        usam(*command, "--sort", "expected_iou").stderr
    )


def test_everything_in_an_image_is_scored_without_heads() -> None:
    told = answered(
        "predict",
        "photos/0.png",
        "--everything",
        "--min-score",
        "0.3",
        "--min-stability",
        "0.5",
        *OWN,
    )
    assert "SamScore × stability" in told.stdout
    assert "expected" not in told.stdout


def test_a_store_of_embeddings_serves_the_weights_that_made_it() -> None:
    answered("encode", "photos", "--out", "photos.zarr", *OWN)
    signature = open_embeddings("photos.zarr").attrs["signature"]
    assert signature["weights"] == sha256_file(Path("mine.pt"))
    stored = answered(*PREDICT, "--embeddings", "photos.zarr", *OWN)
    assert stored.stdout == answered(*PREDICT, *OWN).stdout
    result = usam(*PREDICT, "--embeddings", "photos.zarr", "--family", "mini")
    assert f"(weights: {signature['weights'][:12]} -> " in result.stderr


def test_doctor_looks_at_own_weights() -> None:
    told = answered("doctor", "--device", "cpu", *OWN).stdout
    own = Path("mine.pt").absolute()
    assert f"mini tiny: intact {own}, sha256 {sha256_file(own)[:12]}" in told
    assert "none: no heads learned from the weights" in told
    Path("mine.pt").unlink()
    result = usam("doctor", "--device", "cpu", *OWN)
    assert (result.exit_code, "name a file that is there" in result.stdout) == (1, True)
    assert "heads are mended" not in result.stdout


def test_the_page_answers_and_says_that_there_are_no_heads() -> None:
    page = PageState(ModelOptions("mini", weights=Path("mine.pt")))
    try:

        async def ask(client: httpx.AsyncClient) -> tuple[Any, Any]:
            image = await opened(client, png_bytes(drawn()), heads="none")
            asking = question((120, 80.5, 1), heads="none")
            answer = await client.post(f"/api/images/{image['image']}/answer", json=asking)
            return (await client.get("/api/options")).json(), answer.json()

        settings, told = asked(page, ask)
    finally:
        page.close()
    (heads,) = settings["heads"]
    assert (heads["label"], heads["models"]) == ("mini, no heads", ["tiny"])
    found = predicted(point_coords=[[120, 80.5]], point_labels=[1])
    assert [own["expected_iou"] for own in told["proposals"]] == [None] * 3
    assert [own["sam_score"] for own in told["proposals"]] == pytest.approx(
        found.sam_score, abs=1e-5
    )
    assert told["caution"] == found.caution
    assert not told["can_judge"]
