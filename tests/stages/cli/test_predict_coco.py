"""``usam predict-coco``: prompts of COCO in, results that COCO's tools read out."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO
from typer.testing import CliRunner, Result

from pipeline.predictor import UncertainMaskGenerator, UncertainPredictor
from stages.cli.app import app
from stages.predictor.command_options import NOTE
from stages.predictor.loading import load_predictor
from stages.program.stopping import kept_work
from storage.rle import area_rle, decode_rle
from tests.fixtures.predictors import NO_BEST, drawn, write_random_heads

BOXES: dict[int, list[float]] = {1: [40, 30, 160, 120], 2: [10.5, 20, 60, 50], 3: [100, 80, 90, 90]}
CLICKS: dict[int, list[float]] = {
    1: [120, 80, 2],
    2: [30, 40, 2, 0, 0, 0, 50, 50, 1],
    3: [130, 120, 2],
}
IMAGE_OF = {1: 11, 2: 11, 3: 12}

EVERYTHING = (
    *("--prompt", "everything", "--points-per-side", "8"),
    *("--min-score", "0.4", "--min-stability", "0.6"),
)


def usam(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["predict-coco", *arguments])


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two images, and three objects in them."""
    monkeypatch.chdir(tmp_path)
    Path("images").mkdir()
    height, width = drawn().shape[:2]
    for image_id, rgb in ((11, drawn()), (12, drawn()[:, ::-1])):
        Image.fromarray(rgb).save(f"images/{image_id}.png")
    annotations = [
        {
            "id": i,
            "image_id": IMAGE_OF[i],
            "category_id": i + 4,
            "bbox": BOXES[i],
            "keypoints": CLICKS[i],
        }
        for i in IMAGE_OF
    ]
    images = [
        {"id": i, "file_name": f"{i}.png", "height": height, "width": width} for i in (11, 12)
    ]
    categories = [{"id": i + 4, "name": str(i)} for i in IMAGE_OF]
    content = {"images": images, "annotations": annotations, "categories": categories}
    Path("asked.json").write_text(json.dumps(content), encoding="utf-8")
    return tmp_path


def entries() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(Path("found.json").read_text("utf-8"))
    return found


def mask_of(entry: dict[str, Any]) -> np.ndarray:
    segmentation = entry["segmentation"]
    return decode_rle(segmentation["counts"], *segmentation["size"])


@pytest.mark.parametrize(
    ("prompt", "masks"), [("box", "selected"), ("clicks", "selected"), ("box", "best")]
)
def test_each_result_is_what_the_predictor_says_of_its_prompt(prompt: str, masks: str) -> None:
    family = "mini" if masks == "best" else "mini-photos"  # the images are drawn
    options = ("--prompt", prompt, "--masks", masks, "--family", family)
    result = usam("images", "asked.json", "found.json", *options)
    assert result.exit_code == 0, result.stderr
    assert result.stdout == f"found.json: 3 masks in 2 images by {family} tiny\n"
    notes = [line for line in result.stderr.splitlines() if line.startswith("note")]
    assert notes == [NOTE] * (masks == "best")
    assert not Path("found.json.work").exists()
    predictor, n_changed = load_predictor(family, "tiny"), 0
    for one in entries():
        i = one["annotation_id"]
        assert (one["image_id"], one["category_id"]) == (IMAGE_OF[i], i + 4)
        predictor.set_image(Image.open(f"images/{IMAGE_OF[i]}.png").convert("RGB"))
        x, y, w, h = BOXES[i]
        points = [[a, b] for a, b, v in np.reshape(CLICKS[i], (-1, 3)).tolist() if v]
        asked: dict[str, Any] = {"box": [x, y, x + w, y + h]}
        if prompt == "clicks":
            asked = {"point_coords": points, "point_labels": [1] * len(points)}
        found = predictor.predict_uncertainty(**asked)
        taken = found.best_mask if masks == "best" else found.mask_of(found.selected)
        n_changed += not taken.is_own_mask(found.selected)
        height, width = one["segmentation"]["size"]
        mask = decode_rle(one["segmentation"]["counts"], height_px=height, width_px=width)
        np.testing.assert_array_equal(mask, taken.mask)
        assert one["score"] == pytest.approx(taken.expected_iou, abs=1e-5)
        told = one["uncertainty"]
        assert told["gap"]["prompt"] == pytest.approx(found.gap["prompt"][taken.proposal], abs=1e-5)
        assert (told["caution"] or "") == found.caution
        assert told["advice"]["words"] == found.advice.words
        assert (told["family"], told["model"]) == (family, "tiny")
    assert (n_changed > 0) == (masks == "best")


def test_heads_that_judge_single_masks_give_no_best_masks() -> None:
    heads = str(write_random_heads(Path("heads.safetensors")))
    refused = usam("images", "asked.json", "a", "--masks", "best", "--heads", heads)
    assert (refused.exit_code, refused.stderr) == (1, f"{NOTE}\nerror: {NO_BEST}\n")


def test_everything_in_the_images_is_found_and_read_by_coco_s_tools() -> None:
    result = usam("images", "asked.json", "found.json", *EVERYTHING)
    assert result.exit_code == 0, result.stderr
    generator = UncertainMaskGenerator(
        load_predictor("mini-photos", "tiny"),
        points_per_side=8,
        pred_iou_thresh=0.4,
        stability_score_thresh=0.6,
        output_mode="coco_rle",
    )
    expected = [
        (image_id, one)
        for image_id in (11, 12)
        for one in generator.generate(Image.open(f"images/{image_id}.png").convert("RGB"))
    ]
    assert result.stdout == f"found.json: {len(expected)} masks in 2 images by mini-photos tiny\n"
    loaded = COCO("asked.json").loadRes("found.json")
    assert len(loaded.getAnnIds()) == len(expected) > 3
    for entry, (image_id, record) in zip(entries(), expected, strict=True):
        assert (entry["image_id"], entry["segmentation"]) == (image_id, record["segmentation"])
        assert entry["score"] == record["expected_iou"]["own"]
        assert entry["uncertainty"]["sam_score"] == record["predicted_iou"]
        for name in ("expected_iou", "gap", "direct_gap", "advice", "is_kept", "family", "model"):
            assert entry["uncertainty"][name] == record[name]


def test_overlooked_objects_are_masks_of_which_less_than_half_is_annotated() -> None:
    assert usam("images", "asked.json", "found.json", *EVERYTHING).exit_code == 0
    found = entries()
    largest = max(found, key=lambda entry: area_rle(entry["segmentation"]["counts"]))
    content = json.loads(Path("asked.json").read_text(encoding="utf-8"))
    of_image = {"id": 1, "image_id": largest["image_id"], "category_id": 5}
    content["annotations"] = [of_image | {"segmentation": largest["segmentation"]}]
    Path("annotated.json").write_text(json.dumps(content), encoding="utf-8")
    result = usam(
        "images", "annotated.json", "found.json", "--prompt", "overlooked", *EVERYTHING[2:]
    )
    assert result.exit_code == 0, result.stderr
    annotated = mask_of(largest)
    beside = [
        entry
        for entry in found
        if entry["image_id"] != largest["image_id"]
        or (mask_of(entry) & annotated).sum() < mask_of(entry).sum() / 2
    ]
    assert 0 < len(beside) < len(found)
    listed = entries()
    assert [entry["segmentation"] for entry in listed] == [one["segmentation"] for one in beside]
    assert {entry["image_id"] for entry in listed} == {11, 12}, "one has no annotation"
    assert all(entry["uncertainty"]["doubt"] == entry["score"] for entry in listed)


@pytest.mark.parametrize(
    ("options", "categories"),
    [(("--prompt", "clicks"), {5: "1", 6: "2", 7: "3"}), (EVERYTHING, {1: "object"})],
    ids=["clicks", "everything"],
)
def test_a_data_set_has_the_numbers_of_each_mask_in_the_order_that_is_asked_for(
    options: tuple[str, ...], categories: dict[int, str]
) -> None:
    assert usam("images", "asked.json", "found.json", *options).exit_code == 0
    sort = ("--format", "dataset", "--sort", "expected_iou")
    assert usam("images", "asked.json", "set.json", *options, *sort).exit_code == 0
    loaded = COCO("set.json")
    found = loaded.loadAnns(loaded.getAnnIds())
    keys = ("image_id", "category_id", "segmentation", "score", "attributes")
    assert [{key: one[key] for key in keys} for one in found] == sorted(
        ({key: one[key] for key in keys} for one in entries()), key=lambda one: one["score"]
    )
    assert loaded.loadImgs([11, 12]) == json.loads(Path("asked.json").read_text())["images"]
    assert {key: one["name"] for key, one in loaded.cats.items()} == categories


def test_images_of_a_data_set_must_have_numbers() -> None:
    text = Path("asked.json").read_text("utf-8").replace('"id": 11,', '"id": "a",')
    Path("asked.json").write_text(text.replace('"image_id": 11', '"image_id": "a"'), "utf-8")
    result = usam("images", "asked.json", "a.json", "--format", "dataset")
    assert result.stderr == (
        "error: asked.json: ids of images must be integers for --format dataset, got 'a'\n"
    )
    assert not list(Path().glob("a.json*"))


@pytest.fixture
def encoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many images were encoded, by a list that grows."""
    seen: list[int] = []
    set_image = UncertainPredictor.set_image

    def spy(predictor: UncertainPredictor, image: np.ndarray) -> None:
        seen.append(len(seen))
        set_image(predictor, image)

    monkeypatch.setattr(UncertainPredictor, "set_image", spy)
    return seen


def test_a_broken_image_is_named_the_rest_goes_on_and_only_it_is_done_again(
    encoded: list[int],
) -> None:
    whole = Path("images/11.png").read_bytes()
    Path("images/11.png").write_bytes(whole[:200])
    result = usam("images", "asked.json", "found.json")
    assert result.exit_code == 1
    assert result.stdout == "found.json: 1 mask in 1 image by mini-photos tiny\n"
    (error,) = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert "1 of 2 images left out" in error
    assert "images/11.png must be a readable image" in error
    assert [one["image_id"] for one in entries()] == [12]
    Path("images/11.png").write_bytes(whole)
    assert len(encoded) == 1
    assert usam("images", "asked.json", "found.json").exit_code == 0
    assert len(encoded) == 2
    assert [one["annotation_id"] for one in entries()] == [1, 2, 3]


def test_an_interrupted_run_goes_on_to_the_same_results(
    encoded: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    usam("images", "asked.json", "found.json")
    expected = Path("found.json").read_bytes()
    Path("found.json").unlink()
    encoded.clear()
    spy, kept = UncertainPredictor.set_image, list[str | None]()

    def interrupted(predictor: UncertainPredictor, image: np.ndarray) -> None:
        if encoded:
            kept.append(kept_work())
            raise KeyboardInterrupt
        spy(predictor, image)

    with monkeypatch.context() as patch:
        patch.setattr(UncertainPredictor, "set_image", interrupted)
        assert usam("images", "asked.json", "found.json").exit_code != 0
    assert kept == ["answers of finished images are kept beside found.json"]
    assert not Path("found.json").exists()
    assert usam("images", "asked.json", "found.json").exit_code == 0
    assert Path("found.json").read_bytes() == expected
    assert len(encoded) == 2  # one each


@pytest.mark.parametrize(
    ("key", "prompt", "message"),
    [
        ("annotations", "box", "one annotation or more, got none: the prompt everything needs"),
        ("images", "everything", "one image or more, got none"),
    ],
)
def test_a_file_with_nothing_to_segment_is_refused(key: str, prompt: str, message: str) -> None:
    content = json.loads(Path("asked.json").read_text("utf-8"))
    Path("asked.json").write_text(json.dumps(content | {key: []}), encoding="utf-8")
    result = usam("images", "asked.json", "found.json", "--prompt", prompt)
    assert result.exit_code == 1
    assert result.stderr.startswith(f"error: asked.json must have {message}")
    assert not Path("found.json").exists()
    if key == "annotations":
        few = ("--prompt", "everything", "--points-per-side", "2")
        assert usam("images", "asked.json", "found.json", *few).exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("images", "none.json", "a"), "none.json must be a file of COCO annotations, got no such"),
        (("images", "asked.json", "a", "--sort", "x"), "sort must be one of expected_iou, gain_m"),
        (("images", "asked.json", "a", "--masks", "x"), "masks must be one of selected, best, "),
        (
            ("images", "asked.json", "a", "--masks", "best", "--prompt", "everything"),
            "masks must be selected for --prompt everything, got best",
        ),
        (("photos", "asked.json", "a"), "images must be in a folder, got none at photos"),
        (("images", "asked.json", "images"), "images: Is a directory"),
        (
            ("images", "asked.json", "./asked.json"),
            "asked.json must be a new file, or one that this command has written, got one that it",
        ),
        (
            ("images", "asked.json", "a", "--min-stability", "0.8"),
            "min-stability must come with --prompt everything, got 0.8 without it",
        ),
    ],
)
def test_faults_are_named_in_one_line_before_anything_is_written(
    arguments: tuple[str, ...], message: str
) -> None:
    asked = Path("asked.json").read_bytes()
    result = usam(*arguments)
    assert Path("asked.json").read_bytes() == asked
    assert not Path("a").exists()
    assert result.exit_code == 1
    assert result.stderr.startswith(f"error: {message}")
    assert result.stderr.count("\n") == 1
