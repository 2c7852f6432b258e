"""``usam predict``: what it prints for people and for programs, what it draws, what it refuses."""

import inspect
import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from sam2.automatic_mask_generator import SAM2AutomaticMaskGenerator
from sklearn.datasets import load_sample_images
from typer.testing import CliRunner, Result

from pipeline.predictor import UncertainMaskGenerator
from pipeline.predictor.advice import Costs
from stages.cli.app import COMMANDS, app
from stages.predictor.command_options import GRID, GRID_OF_MINI, NOTE, GridOptions
from stages.predictor.loading import load_predictor
from storage.head_files.tensors import read_tensors
from storage.rle import decode_rle
from tests.fixtures.dvc_stages import ROOT
from tests.fixtures.predictors import GATE, NO_BEST, drawn, write_random_heads

HEIGHT, WIDTH = 192, 256

MINI = ("--family", "mini")
"""The family that knows images such as ``drawn``."""


def usam_predict(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["predict", *arguments])


@pytest.fixture(autouse=True)
def photo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A picture in the working directory."""
    monkeypatch.chdir(tmp_path)
    Image.fromarray(drawn()).save("photo.png")
    return tmp_path / "photo.png"


def told(*arguments: str) -> dict[str, Any]:
    result = usam_predict("photo.png", *arguments, "--json")
    assert result.exit_code == 0, result.stderr
    values: dict[str, Any] = json.loads(result.stdout)
    return values


@pytest.mark.parametrize(
    ("arguments", "model", "asked"),
    [
        (
            ("--click", "120,80.5", "--click", "100,60", "--not-click", "30,150"),
            "tiny",
            {"point_coords": [[120, 80.5], [100, 60], [30, 150]], "point_labels": [1, 1, 0]},
        ),
        (
            ("--box", "40,30,200,150", "--not-click", "30,150", "--model", "small"),
            "small",
            {"box": [40, 30, 200, 150], "point_coords": [[30, 150]], "point_labels": [0]},
        ),
    ],
    ids=["clicks", "box"],
)
def test_json_has_what_the_predictor_says(
    arguments: tuple[str, ...], model: str, asked: dict[str, Any]
) -> None:
    values = told(*arguments)
    predictor = load_predictor("mini-photos", model)
    predictor.set_image(drawn())
    found = predictor.predict_uncertainty(**asked)
    about = {"image": "photo.png", "height_px": HEIGHT, "width_px": WIDTH}
    about |= {"family": "mini-photos", "model": model, "gate": None}
    assert values == {**about, **found.to_dict(), "set": None, "saved": []}


def test_people_get_a_row_for_each_proposal_the_gains_and_an_advice() -> None:
    result = usam_predict("photo.png", "--click", "120,80", *MINI)
    assert result.stderr == f"{NOTE}\n"
    lines = result.stdout.splitlines()
    values = told("--click", "120,80", *MINI)
    assert lines[0] == "photo.png, 256 x 192 px, mini tiny"
    selected = values["proposals"][values["selected"]]
    (row,) = [line.split() for line in lines if line.endswith("selected")]
    numbers = selected["sam_score"], selected["expected_iou"]["own"], selected["h_std"]
    share = f"{selected['area_px'] / (HEIGHT * WIDTH):.1%}"
    assert row == [str(values["selected"]), share, *(f"{n:.2f}" for n in numbers), "selected"]
    (clicks,) = [line.split() for line in lines if line.startswith("eight clicks")]
    gains = selected["gap"]["prompt"], selected["direct_gap"]["prompt"]
    assert clicks[-2:] == [f"{gain:+.2f}" for gain in gains]
    assert f"Advice: {values['advice']['words']}" in lines[-3]
    assert lines[-1] == "Caution: the mini models know drawn shapes only."


def test_a_drawn_scene_is_answered_by_the_family_that_knows_them() -> None:
    scene = Path("data/shapes/val/photo.png")
    scene.parent.mkdir(parents=True)
    shutil.copy("photo.png", scene)
    drawn_scene = usam_predict(str(scene), "--click", "120,80")
    named = usam_predict("photo.png", "--click", "120,80", *MINI)
    assert drawn_scene.stdout.splitlines()[0] == f"{scene}, 256 x 192 px, mini tiny"
    assert drawn_scene.stdout.splitlines()[1:] == named.stdout.splitlines()[1:]
    assert drawn_scene.stdout.endswith("Caution: the mini models know drawn shapes only.\n")
    assert (drawn_scene.stderr, named.stderr) == ("", f"{NOTE}\n")


def test_the_mask_and_its_entropy_are_drawn(tmp_path: Path) -> None:
    arguments = ("--click", "120,80", "--not-click", "30,150", "--save", "out/pictures")
    values = told(*arguments)
    kinds = ("mask", "overlay", "entropy")
    paths = [f"out/pictures/photo-{kind}.png" for kind in kinds]
    assert values["saved"] == paths
    assert sorted(path.name for path in (tmp_path / "out" / "pictures").iterdir()) == sorted(
        f"photo-{kind}.png" for kind in kinds
    )
    mask, overlay, entropy = (np.array(Image.open(path)) for path in paths)
    counts = values["proposals"][values["selected"]]["segmentation"]["counts"]
    is_inside = decode_rle(counts, height_px=HEIGHT, width_px=WIDTH)
    np.testing.assert_array_equal(mask, is_inside * np.uint8(255))
    assert overlay.shape == entropy.shape == (HEIGHT, WIDTH, 3)
    np.testing.assert_array_equal(overlay[80, 120], (239, 68, 68))
    np.testing.assert_array_equal(overlay[150, 30], (15, 23, 42))
    # Far from mask and clicks, the image is as it was, and darker below the heat.
    assert (overlay[185, 250] == drawn()[185, 250]).all()
    assert entropy[185, 250].astype(int).sum() < drawn()[185, 250].astype(int).sum()
    assert usam_predict("photo.png", *arguments).stdout.splitlines()[-3:] == paths


def test_the_best_mask_is_drawn_and_told_if_it_is_asked_for() -> None:
    values = told("--click", "180,90", "--best-mask", "--save", "out", *MINI)
    choice, selected = values["choice"], values["proposals"][values["selected"]]
    counts = choice["segmentation"]["counts"]
    is_chosen = decode_rle(counts, height_px=HEIGHT, width_px=WIDTH)
    np.testing.assert_array_equal(np.array(Image.open("out/photo-mask.png")), 255 * is_chosen)
    assert counts != selected["segmentation"]["counts"]
    expected_iou = selected["expected_iou"]["own"] + choice["gain"]
    assert choice["expected_iou"] == pytest.approx(expected_iou)
    assert choice["gain"] > 0
    printed = usam_predict("photo.png", "--click", "180,90", *MINI).stdout
    words = f"Chosen mask: proposal {choice['proposal']} cut at a probability of {choice['cut']}, "
    assert words in printed
    assert f"of the image, expected gain in IoU {choice['gain']:+.2f}." in printed


def test_a_selected_mask_that_is_the_chosen_one_is_named_so() -> None:
    choice = told("--click", "120,80", *MINI)["choice"]
    assert choice["gain"] == 0
    words = "Chosen mask: the selected one. No other mask is expected to gain IoU."
    assert words in usam_predict("photo.png", "--click", "120,80", *MINI).stdout


def test_heads_that_judge_single_masks_give_no_best_mask(tmp_path: Path) -> None:
    refused = usam_predict(
        "photo.png", *ASKED, str(write_random_heads(tmp_path / "a")), "--best-mask"
    )
    assert (refused.exit_code, refused.stderr) == (1, f"{NOTE}\nerror: {NO_BEST}\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nope.png", "--click", "1,2"), "nope.png must be an image file, got no such file"),
        (
            ("photo.png",),
            "a prompt must be given by --click X,Y or --box LEFT,TOP,RIGHT,BOTTOM, or --everythin",
        ),
        (
            ("photo.png", "--everything", "--click", "1,2"),
            "--everything must be given without a prompt, got one",
        ),
        (
            ("photo.png", "--everything", "--best-mask"),
            "--best-mask must be given with a prompt, got --everything",
        ),
        (
            ("photo.png", "--box", "1,2,3"),
            "box must be LEFT,TOP,RIGHT,BOTTOM in pixels, got '1,2,3'",
        ),
        (
            ("photo.png", "--click", "1,2", "--save", "photo.png"),
            "photo.png: File exists",
        ),
        (
            ("photo.png", "--click", "1,2", "--cost-of-person", "80"),
            "cost of person must be a number from 0 to 1, got 80",
        ),
        (
            ("photo.png", "--click", "1,2", "--min-score", "0.5"),
            "min-score must come with --everything, got 0.5 without it",
        ),
        (
            ("photo.png", "--everything", "--points-per-side", "100000"),
            "points-per-side must be a whole number from 1 to 1000, got 100000",
        ),
    ],
)
def test_faults_are_named_in_one_line(arguments: tuple[str, ...], message: str) -> None:
    result = usam_predict(*arguments)
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.startswith(f"error: {message}")
    assert result.stderr.count("\n") == 1


@pytest.mark.skipif(os.name != "posix", reason="Windows has no such names")
def test_control_characters_of_names_do_not_reach_the_terminal() -> None:
    name = "red\x1b[31m\nphoto.png"
    Path("photo.png").rename(name)
    result = usam_predict(name, "--click", "120,80", "--save", "out\x07")
    assert result.stdout.startswith(r"red\x1b[31m\nphoto.png, 256 x 192 px, mini-photos tiny" "\n")
    assert r"out\x07/" in result.stdout
    assert {one for one in result.stdout if not one.isprintable()} == {"\n"}
    refused = usam_predict(f"no{name}", "--click", "120,80")
    assert refused.stderr == (
        r"error: nored\x1b[31m photo.png must be an image file, got no such file" "\n"
    )


def gated(path: Path, **changes: Any) -> str:  # noqa: ANN401 - of the gate
    """Random heads with a gate for tiny in their card."""
    gate = asdict(replace(GATE, model="tiny", **changes))
    return str(write_random_heads(path, changes={"gates": json.dumps([gate])}))


ASKED = ("--click", "120,80", "--heads")


def test_the_gate_in_the_card_says_whether_the_mask_is_kept(tmp_path: Path) -> None:
    before = told(*ASKED, str(write_random_heads(tmp_path / "plain")))
    assert before["is_kept"] is None
    own = before["proposals"][before["selected"]]["expected_iou"]["own"]
    for least, is_kept, words in ((own - 0.01, True, "keep the"), (own + 0.01, False, "do not")):
        heads = gated(tmp_path / words, threshold=1 - least)
        found = told(*ASKED, heads)
        assert found["is_kept"] is is_kept
        said = usam_predict("photo.png", *ASKED, heads).stdout
        assert f"card: {words}" in said
        assert f" the mask. {found['gate']}\n" in said
    result = usam_predict("photo.png", *ASKED, heads, "--model", "large")
    assert "Gate" not in result.stdout
    assert result.stderr.splitlines() == [
        NOTE,
        "note: the heads' card has a gate for tiny, which says nothing of masks of large",
    ]


LENIENT = ("--points-per-side", "6", "--min-score", "0.3", "--min-stability", "0.5")


def test_everything_gives_the_masks_of_the_generator_with_their_uncertainty(tmp_path: Path) -> None:
    values = told("--everything", *LENIENT, "--cost-of-person", "0.4", "--save", "out")
    generator = UncertainMaskGenerator(
        load_predictor("mini-photos", "tiny"),
        costs=Costs(person=0.4),
        points_per_side=6,
        pred_iou_thresh=0.3,
        stability_score_thresh=0.5,
    )
    expected = generator.generate(drawn())
    assert len(values["masks"]) == len(expected) > 3
    for one, other in zip(values["masks"], expected, strict=True):
        mask = decode_rle(one["segmentation"]["counts"], height_px=HEIGHT, width_px=WIDTH)
        np.testing.assert_array_equal(mask, other["segmentation"])
        del one["segmentation"], other["segmentation"]
        assert one == other
    assert values["saved"] == ["out/photo-everything.png"]
    assert (tmp_path / "out/photo-everything.png").is_file()


def test_the_thresholds_of_everything_are_those_of_the_official_generator() -> None:
    official = inspect.signature(SAM2AutomaticMaskGenerator).parameters
    names = ("points_per_side", "pred_iou_thresh", "stability_score_thresh")
    defaults = GridOptions().of_generator("sam2.1")
    assert defaults == {name: official[name].default for name in names}
    help_text = " ".join(usam_predict("--help").stdout.replace("│", "").split())
    for name, default in GRID.items():
        assert f"{default} by default, {GRID_OF_MINI[name]} of mini models" in help_text
    found = GridOptions().of_generator("mini-photos")
    assert list(found.values()) == list(GRID_OF_MINI.values())


WITHOUT_TORCH = """
import json, sys
from typer.testing import CliRunner
from stages.cli.app import app
from stages.program.stopping import prepare_process

prepare_process()
results = [CliRunner().invoke(app, arguments) for arguments in json.load(sys.stdin)]
assert not {"torch", "sam2"} & set(sys.modules)
print(json.dumps([[result.exit_code, result.stderr] for result in results]))
"""

TOLD = {
    **{f"{name} --help": "" for name in COMMANDS},
    "predict photo.png --click 300,1": "error: click must lie in the image of 256 x 192 px, got",
    "predict photo.png --click 1,1 --heads x": "error: heads must be a file, got none at x",
    # Of so many pixels Pillow warns, and nothing is said of that.
    "predict large.png --click 1,1": "error: large.png must be a readable image, got: ",
    "predict-coco images none.json found.json": "error: ",
}


def test_help_and_faults_in_the_arguments_are_told_without_torch() -> None:
    Image.new("1", (10_000, 9_000)).save("large.png")
    Path("large.png").write_bytes(Path("large.png").read_bytes()[:-50])
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH],
        input=json.dumps([command.split() for command in TOLD]),
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stderr
    for (status, error), (command, message) in zip(
        json.loads(done.stdout), TOLD.items(), strict=True
    ):
        assert status == bool(message), command
        assert error.startswith(message)


def test_the_file_of_heads_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[Path] = []

    def spy(path: Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
        read.append(path)
        return read_tensors(path)

    monkeypatch.setattr("storage.head_files.head_file.read_tensors", spy)
    assert usam_predict("photo.png", "--click", "120,80").exit_code == 0
    assert len(read) == 1


@pytest.mark.parametrize("command", ["predict", "predict-coco", "review", "demo", "doctor"])
def test_commands_with_a_predictor_have_the_same_options(command: str) -> None:
    text = CliRunner().invoke(app, [command, "--help"], terminal_width=200).output
    for option in ("--family", "--model", "--heads", "--device", "--precision"):
        assert f" {option} " in text


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("--device tpu", "device must be one of auto, cpu, cuda, got 'tpu'"),
        ("--device cuda", "device must be auto or cpu where torch sees no GPU, got 'cuda'"),
        ("--precision fp64", "precision must be one of fp32, bf16, got 'fp64'"),
        ("--precision bf16", r"precision \(fp32 -> bf16\)"),
        ("--family sam2.1", "checkpoints/sam2.1/sam2.1_hiera_tiny.pt must exist, got no file: "),
    ],
)
def test_a_choice_that_is_not_to_be_had_is_refused_in_a_line(option: str, message: str) -> None:
    if torch.cuda.is_available() and "cuda" in option:
        pytest.skip("there is a GPU")
    refused = usam_predict("photo.png", "--click", "120,80", *option.split())
    assert refused.exit_code == 1
    assert re.search(message, refused.stderr)
    assert refused.stderr.strip().splitlines()[-1].startswith("error: ")


def test_a_photograph_gets_advice_and_numbers_without_a_mark() -> None:
    Image.fromarray(load_sample_images().images[0]).save("photo.png")
    found = usam_predict("photo.png", "--click", "320,213")
    assert (found.exit_code, found.stderr) == (0, "")
    assert "Advice: " in found.stdout
    assert "?" not in found.stdout
    assert "Caution" not in found.stdout


@pytest.mark.parametrize("family", ["mini", "mini-photos"])
def test_an_unlike_image_gets_marked_numbers_and_no_advice(family: str) -> None:
    unlike = {"mini": load_sample_images().images[0], "mini-photos": drawn()}
    Image.fromarray(unlike[family]).save("unlike.png")
    found = usam_predict("unlike.png", "--click", "120,80", "--family", family)
    assert found.exit_code == 0
    assert " bits. No advice.\n" in found.stdout
    assert "No choice of masks: the image is unlike the training images.\n" in found.stdout
    assert len(re.findall(r"\d\.\d\d\?", found.stdout)) == 3
    assert "Caution: the image is unlike what these heads learned from" in found.stdout
