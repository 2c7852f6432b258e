"""``usam review``: folders and COCO files in, a queue that goes on after a stop, COCO out."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO
from typer.testing import CliRunner, Result

from pipeline.predictor import UncertainPredictor, coco_masks
from stages.cli.app import app
from stages.program.stopping import kept_work
from stages.review.decisions import Decision, Decisions, one_writer
from storage.checkpoints.weights import named_weights
from storage.images.image_files import reads_heif
from storage.outputs.coco_results import signature_of_masks
from storage.outputs.records import append_line, append_lines, read_lines
from tests.fixtures.predictors import drawn

BOXES = {1: [40, 30, 160, 120], 2: [10.5, 20, 60, 50], 3: [100, 80, 90, 90]}
IMAGE_OF = {1: 11, 2: 11, 3: 12}

GRID = ("--points-per-side", "8", "--min-score", "0.4", "--min-stability", "0.6")


def usam(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["review", *arguments])


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two images, and a COCO file with a box for each of three objects."""
    monkeypatch.chdir(tmp_path)
    Path("photos").mkdir()
    height, width = drawn().shape[:2]
    for image_id, rgb in ((11, drawn()), (12, drawn()[:, ::-1])):
        Image.fromarray(rgb).save(f"photos/{image_id}.png")
    annotations = [
        {"id": i, "image_id": image_id, "category_id": 5, "bbox": BOXES[i]}
        for i, image_id in IMAGE_OF.items()
    ]
    images = [
        {"id": i, "file_name": f"{i}.png", "height": height, "width": width} for i in (11, 12)
    ]
    content = {
        "images": images,
        "annotations": annotations,
        "categories": [{"id": 5, "name": "shape"}],
    }
    Path("asked.json").write_text(json.dumps(content), encoding="utf-8")
    return tmp_path


@pytest.fixture
def encoded(monkeypatch: pytest.MonkeyPatch) -> list[np.ndarray]:
    """Images that are encoded during the test."""
    images: list[np.ndarray] = []
    set_image = UncertainPredictor.set_image

    def counted(predictor: UncertainPredictor, image: np.ndarray) -> None:
        images.append(image)
        set_image(predictor, image)

    monkeypatch.setattr(UncertainPredictor, "set_image", counted)
    return images


def exported(path: str = "reviewed.json") -> list[dict[str, Any]]:
    coco = COCO(path)
    annotations: list[dict[str, Any]] = coco.loadAnns(coco.getAnnIds())
    return annotations


def test_a_folder_needs_no_file_and_unreadable_images_are_listed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    Path("photos/broken.png").write_bytes(Path("photos/11.png").read_bytes()[:20])
    Path("photos/cut.png").write_bytes(Path("photos/11.png").read_bytes()[:2000])
    Image.fromarray(np.zeros((8, 8), np.uint16)).save("photos/deep.png")
    Path("photos/phone.heic").write_bytes(b"\0\0\0\x18ftypheic")
    Path("photos/notes.txt").write_text("no image")
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    reads_heif.cache_clear()
    result = usam("photos", "--export", "reviewed.json", *GRID)
    assert result.exit_code == 0, result.stderr
    assert "4 of 6 images left out: photos.review/faults.txt says why" in result.stderr
    faults = Path("photos.review/faults.txt").read_text("utf-8").splitlines()
    assert [fault.split()[0] for fault in faults] == [
        f"photos/{name}" for name in ("broken.png", "deep.png", "phone.heic", "cut.png")
    ]
    assert "got I;16: save it as one of these, with its values scaled to 0..255" in faults[1]
    assert "run pip install pillow-heif" in faults[2]
    annotations = exported()
    assert len(annotations) > 3
    assert result.stdout.splitlines()[-1].startswith(
        f"reviewed.json: {len(annotations)} masks, 0 looked at"
    )
    scores = [annotation["attributes"]["expected_iou"] for annotation in annotations]
    assert scores == sorted(scores)
    assert {annotation["image_id"] for annotation in annotations} == {1, 2}


def test_an_interrupted_run_says_what_is_kept_and_goes_on(
    encoded: list[np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    set_image = UncertainPredictor.set_image

    def interrupted(predictor: UncertainPredictor, image: np.ndarray) -> None:
        if encoded:
            assert kept_work() == "masks of finished images are kept in asked.review"
            raise KeyboardInterrupt
        set_image(predictor, image)

    arguments = ("asked.json", "--images", "photos", "--export", "reviewed.json")
    with monkeypatch.context() as patch:
        patch.setattr(UncertainPredictor, "set_image", interrupted)
        assert usam(*arguments).exit_code != 0
    assert len(read_lines(Path("asked.review/masks.jsonl"))) == 2 + 2
    assert not Path("reviewed.json").exists()
    assert usam(*arguments).exit_code == 0
    assert len(encoded) == 2  # each image once
    assert [annotation["category_id"] for annotation in exported()] == [5, 5, 5]


def test_halves_share_the_images_and_the_whole_has_the_decisions_of_both(
    encoded: list[np.ndarray],
) -> None:
    source = ("asked.json", "--images", "photos")
    for half, n_masks in (("1/2", 2), ("2/2", 1)):
        result = usam(*source, "--half", half, "--export", "half.json")
        assert result.exit_code == 0, result.stderr
        assert (
            result.stdout
            == f"half.json: {n_masks} {'masks' if n_masks > 1 else 'mask'}, 0 looked at\n"
        )
    folder = Path("asked.review")
    made_from = read_lines(folder / "masks.jsonl")[0]["made_from"]
    Decisions(folder / "decisions-1-of-2.jsonl", made_from).add((11, 1), Decision("keep"))
    Decisions(folder / "decisions-2-of-2.jsonl", made_from).add((12, 0), Decision("redraw"))
    result = usam(*source, "--export", "reviewed.json", "--polygons")
    assert result.stdout == "reviewed.json: 3 masks, 2 looked at\n"
    for form in ("cvat", "label-studio"):
        result = usam(*source, "--export", "queue", "--format", form)
        assert result.stdout == "queue: 3 masks, 2 looked at\n"
    assert len(json.loads(Path("queue").read_text("utf-8"))) == 2  # tasks of Label Studio
    assert len(encoded) == 2
    assert sorted(a["attributes"]["decision"] for a in exported()) == ["", "keep", "redraw"]


def test_other_settings_do_not_touch_decisions_that_were_made() -> None:
    source = ("asked.json", "--images", "photos", "--export", "reviewed.json")
    assert usam(*source, "--half", "1/2").exit_code == 0
    folder = Path("asked.review")
    made_from = read_lines(folder / "masks.jsonl")[0]["made_from"]
    Decisions(folder / "decisions-1-of-2.jsonl", made_from).add((11, 1), Decision("skip"))
    before = {path: path.read_bytes() for path in folder.iterdir()}
    for half in (["--half", "1/2"], ["--half", "2/2"], []):
        result = usam(*source, "--model", "small", *half)
        assert result.exit_code == 1
        assert "decisions about masks that were made under other inputs (weights: " in result.stderr
        assert "name another folder with --out" in result.stderr
        assert {path: path.read_bytes() for path in folder.iterdir()} == before
    assert usam(*source, "--model", "small", "--out", "other").exit_code == 0


def test_masks_of_other_settings_take_the_place_of_none_but_not_of_any() -> None:
    grid = ("photos", "--export", "reviewed.json", *GRID[:4], "--min-stability")
    for min_stability in ("1", "0.6"):
        result = usam(*grid, min_stability)
        assert result.exit_code == 0, result.stderr
    assert exported()
    masks = Path("photos.review/masks.jsonl")
    before = masks.read_bytes()
    refused = usam(*grid, "0.5")
    assert refused.exit_code == 1
    assert "made under other inputs (prompt: everything {'points_per_side': 8" in refused.stderr
    assert masks.read_bytes() == before
    assert usam(*grid, "0.5", "--replace").exit_code == 0  # as the message says
    assert masks.read_bytes() != before


def test_masks_of_another_folder_of_this_name_or_of_another_model_are_not_replaced() -> None:
    other = Path("other", "photos")
    other.mkdir(parents=True)
    Image.fromarray(drawn()[::-1]).save(other / "1.png")
    export = ("--export", "reviewed.json", *GRID)
    assert usam("photos", *export).exit_code == 0
    masks = Path("photos.review/masks.jsonl")
    before = masks.read_bytes()
    remedy = "name another folder with --out, or add --replace to replace these masks"
    for arguments, change in (
        ((str(other),), f"images: {Path('photos').resolve()} -> {other.resolve()}"),
        (("photos", "--model", "large"), "weights: mini-photos tiny -> mini-photos large"),
        (("photos", "--precision", "bf16"), "precision: fp32 -> bf16"),
    ):
        refused = usam(*arguments, *export)
        assert refused.stderr == (
            "error: photos.review/masks.jsonl has masks that were made under other inputs "
            f"({change}): {remedy}\n"
        )
        assert masks.read_bytes() == before
    assert usam(str(other), *export, "--out", "other.review").exit_code == 0
    Image.fromarray(drawn()[::-1]).save("photos/13.png")
    assert usam("photos", *export).exit_code == 0  # the same folder, grown
    assert masks.read_bytes().startswith(before)


def test_a_review_goes_on_with_the_family_of_its_masks(encoded: list[np.ndarray]) -> None:
    export = ("photos", "--export", "reviewed.json", *GRID)
    assert usam(*export, "--family", "mini").exit_code == 0
    masks = Path("photos.review/masks.jsonl")
    before, n_encoded = masks.read_bytes(), len(encoded)
    continued = usam(*export)
    assert (continued.exit_code, len(encoded)) == (0, n_encoded), continued.stderr
    assert masks.read_bytes() == before
    refused = usam(*export, "--family", "mini-photos")
    assert "; weights: mini tiny -> mini-photos tiny)" in refused.stderr
    assert usam(*export, "--replace").exit_code == 0
    assert named_weights(signature_of_masks(masks)["weights"]) == "mini-photos tiny"


def test_a_second_review_of_a_folder_is_refused_but_not_its_other_half_and_no_export(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    source = ("asked.json", "--images", "photos")
    reached: list[str] = []
    monkeypatch.setattr("stages.web.review_command._serve", lambda *_: reached.append("page"))
    with one_writer(Path("asked.review/decisions.jsonl")):
        refused = usam(*source)
        assert refused.exit_code == 1
        assert "must have one writer, got a second while process" in refused.stderr
        assert reached == []
        for more in (["--half", "1/2"], ["--half", "2/2"], ["--export", "reviewed.json"]):
            result = usam(*source, *more)
            assert result.exit_code == 0, result.stderr
    assert usam(*source).exit_code == 0
    assert reached == ["page"] * 3


def test_the_export_says_what_it_leaves_out_and_which_lines_are_no_decisions() -> None:
    arguments = ("photos", "--export", "reviewed.json", *GRID)
    assert usam(*arguments).exit_code == 0
    masks = Path("photos.review/masks.jsonl")
    lines = read_lines(masks)
    n_masks = len(exported())
    for line in lines[1:3]:
        line["segmentation"] = coco_masks.rle(np.zeros(drawn().shape[:2], bool))
    masks.unlink()
    append_lines(masks, lines)
    decisions = Decisions(masks.with_name("decisions.jsonl"), lines[0]["made_from"])
    decisions.add((lines[3]["image_id"], 2), Decision("remove"))
    append_line(decisions.path, {"decision": "keep"})
    result = usam(*arguments)
    assert result.stdout == (
        f"reviewed.json: {n_masks - 3} masks, 1 looked at; left out: 1 removed, 2 empty\n"
    )
    assert result.stderr == (
        "note: lines left out: photos.review/decisions.jsonl: line 4 must be a decision, "
        'got b\'{"decision": "keep"}\'\n'
    )


@pytest.mark.parametrize("name", ["masks.jsonl", "decisions.jsonl", "decisions-1-of-2.jsonl"])
def test_an_export_over_masks_or_decisions_is_refused(name: str) -> None:
    file = Path("photos.review", name)
    append_line(file, {"kept": 1})
    refused = usam("photos", "--export", str(file), *GRID)
    assert refused.stderr == (
        f"error: {file} must be a new file, or one that this command has written, got one that it "
        "reads: name another output\n"
    )
    assert read_lines(file) == [{"kept": 1}]


def test_decisions_about_masks_that_do_not_exist_are_named() -> None:
    arguments = ("asked.json", "--images", "photos", "--export", "reviewed.json")
    assert usam(*arguments).exit_code == 0
    folder = Path("asked.review")
    made_from = read_lines(folder / "masks.jsonl")[0]["made_from"]
    decisions = Decisions(folder / "decisions.jsonl", made_from)
    for key in ((12, 0), (12, 1), (99, 0), (11, 7)):
        decisions.add(key, Decision("keep"))
    note = "note: decisions left out, their masks do not exist: {}\n"
    assert usam(*arguments).stderr == note.format("1 of 12, 0 of 99, 7 of 11")
    assert usam(*arguments, "--half", "1/2").stderr == note.format("0 of 99, 7 of 11")


def test_a_continued_review_counts_all_images() -> None:
    assert usam("photos", "--export", "reviewed.json", *GRID).exit_code == 0
    Image.fromarray(drawn()).save("photos/new.png")
    n_images = len([*Path("photos").iterdir()])
    again = usam("photos", "--export", "reviewed.json", *GRID)
    assert f"{n_images}/{n_images} images, " in again.stderr


def test_a_replacing_mask_of_another_size_than_its_image_is_named_and_left_out() -> None:
    arguments = ("photos", "--export", "reviewed.json", *GRID)
    assert usam(*arguments).exit_code == 0
    masks = read_lines(Path("photos.review/masks.jsonl"))
    decisions = Decisions(Path("photos.review/decisions.jsonl"), masks[0]["made_from"])
    of_image = masks[1]["image_id"]
    decisions.add((of_image, 0), Decision("clicked", coco_masks.rle(np.eye(3, dtype=bool)), 0.5))
    result = usam(*arguments)
    assert "0 looked at" in result.stdout
    assert "decisions.jsonl: line 3 must be a decision, got b'" in result.stderr


def test_a_changed_image_is_segmented_again_unless_it_has_decisions() -> None:
    arguments = ("photos", "--export", "reviewed.json", *GRID)
    assert usam(*arguments).exit_code == 0
    Image.fromarray(drawn()[:100, :80]).save("photos/11.png")
    assert usam(*arguments).exit_code == 0
    masks = Path("photos.review/masks.jsonl")
    before = masks.read_bytes()
    sizes = {1: [100, 80], 2: [*drawn().shape[:2]]}
    assert all(mask["segmentation"]["size"] == sizes[mask["image_id"]] for mask in exported())
    made_from = read_lines(masks)[0]["made_from"]
    Decisions(masks.with_name("decisions.jsonl"), made_from).add(("12.png", 0), Decision("keep"))
    assert "1 looked at" in usam(*arguments).stdout
    Image.fromarray(drawn()).save("photos/12.png")
    assert usam(*arguments).stderr == (
        "error: image '12.png' must be the file that decisions are about, got another: restore it, "
        "remove its lines from photos.review/decisions*.jsonl, or name another folder with --out\n"
    )
    assert masks.read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("none",), "source must be a folder, a COCO file, or where params.yaml is, a split, got"),
        (("photos", "--prompt", "box"), "--prompt must come with a COCO file, got the folder"),
        (("asked.json",), "--images must be the folder of the images of asked.json, got None"),
        (("photos", "--images", "photos"), "--images must come with a COCO file, got the folder"),
        (
            ("photos", "--polygons"),
            "--format and --polygons must come with --export, got them alone",
        ),
        (
            ("photos", "--export", "a", "--format", "cvat", "--polygons"),
            "--polygons must come with --format coco, got cvat",
        ),
        (
            ("photos", "--export", "a", "--format", "yolo"),
            "format must be one of coco, cvat, label-studio, got 'yolo'",
        ),
        (
            ("asked.json", "--images", "photos", "--export", "photos/../asked.json"),
            "photos/../asked.json must be a new file, or one that this command has written, got on",
        ),
        (("photos", "--half", "1/3"), "half must be one of 1/2, 2/2, got '1/3'"),
        (("photos", "--stop-at", "9"), "stop-at must be a number from 0 to 1, got 9"),
        (
            ("asked.json", "--images", "photos", "--min-score", "0.5"),
            "min-score must come with --prompt everything, got 0.5 without it",
        ),
    ],
)
def test_faults_are_named_in_one_line_before_anything_is_written(
    arguments: tuple[str, ...], message: str
) -> None:
    result = usam(*arguments)
    assert result.exit_code == 1
    assert result.stderr.startswith(f"error: {message}")
    assert result.stderr.count("\n") == 1
    assert not [*Path().glob("*.review")]


def test_a_folder_without_a_readable_image_is_refused() -> None:
    Path("empty").mkdir()
    assert "empty must have one readable image or more, got none\n" in usam("empty").stderr
    Path("empty/a.png").write_bytes(b"x")
    assert "got none, the first of 1 unreadable: empty/a.png must" in usam("empty").stderr


def test_a_folder_without_masks_says_how_to_find_more() -> None:
    refused = usam("photos", "--points-per-side", "2", "--min-score", "1")
    assert refused.stderr.splitlines()[-1] == (
        "error: photos must have one mask or more to look at, got none: "
        "lower --min-score and --min-stability"
    )
