"""``usam gate``: a threshold, what it promises, and why there is none."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from pipeline.heads.kinds import HeadSet
from pipeline.heads.scope import Scope
from pipeline.mask_choices import mask_set
from pipeline.mask_sets import judged_sets, set_threshold
from pipeline.proposals import ProposalScores
from pipeline.risk_control import CalibrationSet, Guarantee, threshold_of_all
from stages.cli.app import app
from stages.gate_calibration import Gated, PromptMasks, calibrate_masks, calibrate_sets
from stages.predictor.card_entries import PROMPT_WORDS, read_gates
from stages.settings.params import read_params
from stages.settings.signatures import eval_settings
from stages.split_predictions import expected_ious
from stages.training.data import group_index
from storage.errors import DataError
from storage.head_files.guarantees import read_guarantees
from storage.head_files.head_file import read_head_set
from storage.outputs.records import write_record
from storage.paths import gate_path, objects_path
from storage.split.object_table import read_objects
from storage.split.split_cells import open_cells
from tests.fixtures.eval_split import write_params
from tests.fixtures.mini import MODELS

SPLIT = "shapes_val"
"""The first eval split."""

SETS = ("--promise", "set")


@pytest.fixture(autouse=True)
def cached(evaluated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The stores, heads and settings of the eval splits, as the working directory."""
    for name in ("cache", "heads", "params.yaml", "versions.yaml"):
        (tmp_path / name).symlink_to(evaluated / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def gate(*options: str, exit_code: int = 0) -> str:
    measure = () if "--measure" in options else ("--measure", "sam_score")
    result = CliRunner().invoke(app, ["gate", *measure, *options])
    assert result.exit_code == exit_code, result.output
    return result.output


def test_where_no_threshold_holds_it_is_said_how_many_images_it_takes() -> None:
    """90 images of two masks, whose SamScore tells the IoU."""
    rng = np.random.default_rng(0)
    iou = rng.random(180) ** 0.2
    sam_score = iou + 0.02 * rng.random(180)
    judged = CalibrationSet.of(1 - sam_score, iou < 0.99, np.arange(180) // 2)
    masks = Gated(SPLIT, "selected", "large", "sam_score", "")
    with pytest.raises(DataError) as refused:
        calibrate_masks(masks, Guarantee("kept", 0.99, 0.01), judged, "center")
    said = str(refused.value)
    assert "90 images of shapes_val show to hold this promise, got none" in said
    assert "take 322 images" in said
    surest, every = (int(share) for share in re.findall(r"(\d+)% of (?:the least|all)", said))
    assert 0 < surest < every < 100


def test_where_no_threshold_holds_nothing_is_written() -> None:
    said = gate("--iou", "0.99", "--alpha", "0.01", exit_code=1)
    assert "images of shapes_val show to hold this promise, got none" in said
    assert not gate_path(SPLIT, "selected-large-sam_score").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--iou", "1.5", "--alpha", "0.1"), "iou must be from 1e-06 to below 1, got 1.5"),
        (("--iou", "0.5", "--alpha", "1e-300"), "alpha must be from 1e-06 to below 1, got 1e-300"),
        (("--promise", "some"), "promise must be one of all, kept, set, got 'some'"),
        (("--measure", "h_std"), "measure must be one of sam_score, usam, usam_ours, got 'h_std'"),
        (("--protocol", "x"), "protocol must be one of best, selected, got 'x'"),
        (("--model", "x"), f"model must be one of {', '.join(MODELS)}, got 'x'"),
        (("--split", "x"), "eval split must be one of shapes_val, coco_val, got 'x'"),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_faulty_options_are_named(options: tuple[str, ...], message: str) -> None:
    needed = () if "--iou" in options else ("--iou", "0.5", "--alpha", "0.1")
    assert message in gate(*needed, *options, exit_code=1)


def test_without_train_splits_the_error_names_a_measure_without_heads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "other").mkdir()
    write_params(tmp_path / "other", [SPLIT], train_splits=[], objectives=["own"])
    monkeypatch.chdir(tmp_path / "other")
    said = gate("--measure", "usam_ours", "--iou", "0.5", "--alpha", "0.1", exit_code=1)
    assert "train_splits must name the split whose heads compute usam_ours, got none" in said
    assert "--measure sam_score" in said


def read_center_and_refined(measure: str) -> Iterator[tuple[str, np.ndarray, ProposalScores]]:
    """Predicted IoUs and proposals of the large model under each prompt set."""
    params = read_params()
    identity = [params.view("identity")]
    settings = eval_settings(params.extract, SPLIT, ("large",), identity, params.extra_prompts)
    cells = open_cells(SPLIT, settings)
    (cell,) = cells.identity.values()
    for prompt in ("center", "refined"):
        scores = cell.proposals(prompt)
        predicted = scores.sam_score
        if measure != "sam_score":
            head_set = HeadSet("selected", "selected", "ours")
            heads = read_head_set("shapes_train", head_set)
            predicted = expected_ious(cell, head_set, heads, prompt)
        yield prompt, predicted, scores


def groups() -> np.ndarray:
    return group_index(read_objects(objects_path(SPLIT)))


@pytest.mark.parametrize("measure", ["sam_score", "usam_ours"])
def test_every_prompt_set_has_a_threshold_of_its_own(measure: str) -> None:
    said = gate("--measure", measure, "--iou", "0.3", "--alpha", "0.6", "--promise", "all")
    made = read_guarantees(gate_path(SPLIT, f"selected-large-{measure}"))
    assert [guarantee.scope.prompts for guarantee in made] == [("center",), ("refined",)]
    assert "Keep a mask if 1 − " in said
    for guarantee, (prompt, predicted, scores) in zip(
        made, read_center_and_refined(measure), strict=True
    ):
        rows, selected = np.arange(len(predicted)), scores.sam_score.argmax(axis=1)
        uncertainty = 1 - predicted[rows, selected].astype(np.float64)
        short = scores.iou[rows, selected] < 0.3
        judged = CalibrationSet.of(uncertainty, short, groups())
        assert guarantee.threshold == threshold_of_all(judged, 0.6)
        assert guarantee.kept == (judged.uncertainty <= guarantee.threshold).mean()
        n_images = len({*groups().tolist()})
        assert guarantee.scope == Scope("selected", (prompt,), n_images, images="")
        assert (guarantee.n_objects, guarantee.confidence) == (len(groups()), None)
        assert guarantee.train_split == ("" if measure == "sam_score" else "shapes_train")
        assert f"{guarantee.threshold:.4g}" in said
    assert "at most 60% of all masks from one click or eight clicks are kept" in said


@pytest.mark.parametrize("measure", ["sam_score", "usam_ours"])
def test_sets_are_calibrated_on_the_proposals_of_the_features(measure: str) -> None:
    said = gate(*SETS, "--measure", measure, "--iou", "0.01", "--alpha", "0.5")
    made = read_guarantees(gate_path(SPLIT, f"selected-large-{measure}-set"))
    by_prompt = {guarantee.scope.prompts[0]: guarantee for guarantee in made}
    assert by_prompt
    for prompt, predicted, scores in read_center_and_refined(measure):
        judged = judged_sets(predicted, scores.iou >= 0.01, groups())
        if prompt not in by_prompt:
            assert f"No threshold for {PROMPT_WORDS[prompt]}: sets of the 3 proposals" in said
            continue
        guarantee = by_prompt[prompt]
        assert (guarantee.of, guarantee.alpha, guarantee.iou_at_least) == ("set", 0.5, 0.01)
        assert guarantee.threshold == set_threshold(judged, 0.5)
        sizes = [len(mask_set(ious, guarantee.threshold)) for ious in predicted]
        assert guarantee.kept == pytest.approx(np.mean(sizes) / 3)
        assert f"{np.mean(sizes):.2f}" in said
    assert "at least 50% of all sets from one click" in said
    assert "Calibrated on sets of the 3 proposals of the large model in " in said
    assert "halves of these images" in said


def test_the_command_that_an_error_about_a_missing_gate_names_writes_it() -> None:
    asked = SPLIT, HeadSet("selected", "selected", "ours"), "shapes_train"
    path = gate_path(SPLIT, "selected-large-usam_ours")
    for fault in ("got none: run", "calibrate it again by `usam gate`"):
        with pytest.raises(DataError, match=fault):
            read_gates(*asked)
        gate("--iou", "0.01", "--alpha", "0.5", "--split", SPLIT, "--measure", "usam_ours")
        assert read_gates(*asked) == read_guarantees(path)
        content = json.loads(path.read_text())
        gates = [made | {"more": 1} for made in content["gates"]]
        write_record(path, {"gates": gates}, [])


def test_an_iou_of_exactly_the_promise_is_kept() -> None:
    masks = Gated("val", "selected", "large", "sam_score", "")
    ious = np.full((60, 3), 0.5, np.float32)
    every = PromptMasks("center", ious, ious, ious, np.arange(60), np.arange(60))
    made, coverage = calibrate_sets(masks, every, Guarantee("set", 0.5, 0.1))
    assert made.kept == pytest.approx(1 / 3)
    assert coverage.share == 1
    assert not every.calibration_set("selected", 0.5).falls_short.any()


def test_sets_need_as_many_images_as_the_error_says_for_each_half_must_allow_sets() -> None:
    masks = Gated("val", "selected", "large", "sam_score", "")
    every = PromptMasks("center", *[np.ones((17, 3), np.float32)] * 3, *[np.arange(17)] * 2)
    assert set_threshold(judged_sets(every.predicted, every.iou > 0, every.group), 0.1) > 0
    with pytest.raises(DataError, match="or take 18 images"):
        calibrate_sets(masks, every, Guarantee("set", 0.5, 0.1))
    more = PromptMasks("center", *[np.ones((18, 3), np.float32)] * 3, *[np.arange(18)] * 2)
    assert calibrate_sets(masks, more, Guarantee("set", 0.5, 0.1))[1].n_without == 0


def test_where_no_proposal_is_good_often_enough_the_share_of_such_objects_is_told() -> None:
    said = gate(*SETS, "--measure", "sam_score", "--iou", "0.99", "--alpha", "0.1", exit_code=1)
    assert "for 90% of the objects, got 100% of the objects in" in said
    assert "without any such proposal of the large model: ask for a larger alpha" in said
    assert not gate_path(SPLIT, "selected-large-sam_score-set").exists()
