"""README and docs/results.md mark what knows the ground truth, and what is sure."""

import sys
from dataclasses import replace

import numpy as np
import pytest

from pipeline.scoring.measures import UNTRAINED_MEASURES
from pipeline.vocabulary import JUDGED, PROTOCOLS, TASKS
from stages import evaluate
from stages.page.labels import measure_label, protocol_heading
from stages.page.verdict import LINES, comparisons
from storage.outputs.results import SplitResults, read_results
from storage.paths import results_dir
from tests.fixtures.eval_split import write_heads, write_params, write_split
from tools.show_results import (
    CALIBRATED,
    FURTHER,
    MARK,
    OF_NO_PROPOSAL,
    calibration_sentence,
    readme_block,
    results_block,
)
from tools.show_tuning import tuning_block


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> SplitResults:
    root = tmp_path_factory.mktemp("shown")
    write_params(root, [FURTHER])
    write_heads(root, "shapes_train")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        write_split(FURTHER, n_objects=60)
        patch.setattr(sys, "argv", ["evaluate", FURTHER])
        evaluate.main()
    return read_results(root / results_dir(FURTHER))


def cells(block: str) -> dict[str, list[str]]:
    """Rows of the tables of a block by their first cell."""
    rows = [line.strip("| ").split(" | ") for line in block.splitlines() if line.startswith("|")]
    return {row[0]: row[1:] for row in rows}


def of_protocol(found: SplitResults, protocol: str) -> dict[str, list[str]]:
    """Rows of docs/results.md for a protocol."""
    part = results_block(found).split(f"## {protocol_heading(protocol)}\n")[1].split("## ")[0]
    return cells(part)


def test_what_knows_the_truth_is_marked(found: SplitResults) -> None:
    best, selected = (of_protocol(found, protocol) for protocol in PROTOCOLS)
    for measure, is_marked in {"1 − SamScore": True, "H_Std": True, "H_Y": False}.items():
        assert [MARK in cell for cell in best[measure]] == [
            is_marked and task != "task" for task in TASKS
        ]
    assert MARK not in "".join(best["1 − SamScore, highest"] + best["H_A"])
    assert not any(MARK in cell for row in selected.values() for cell in row)


def test_measures_without_a_mark_do_not_follow_the_judged_proposal(found: SplitResults) -> None:
    objects = found.objects.query("protocol == 'best'").groupby("judged")
    best, selected = (objects.get_group(judged).reset_index(drop=True) for judged in JUDGED)
    same = {name for name in UNTRAINED_MEASURES if best[name].equals(selected[name])}
    assert same | {"sam_score_highest"} == set(OF_NO_PROPOSAL)


def test_numbers_are_set_by_their_verdict(found: SplitResults) -> None:
    rows = comparisons({FURTHER: found}, FURTHER)
    styles = {"better": ("**", "**"), "worse": ("*", "*")}
    assert set(rows["verdict"].dropna()) > {"worse"}
    for protocol in PROTOCOLS:
        shown = of_protocol(found, protocol)
        for row in rows[rows["protocol"] == protocol].to_dict("records"):
            label = measure_label(row["measure"]).replace("*", r"\*")
            cell = shown[label][TASKS.index(row["task"])]
            begin, end = styles.get(row["verdict"], ("", ""))
            written = cell.removesuffix(f" {MARK}")
            assert written.startswith(f"{begin}{row['relative']:.1f} (")
            assert written.endswith(f"){end}")


def test_readme_has_a_line_for_whatever_a_user_can_act_on(found: SplitResults) -> None:
    shown = cells(readme_block(found))
    assert list(shown)[2:] == [line.label for line in LINES]


def with_predicted_iou(found: SplitResults, measure: str, error: float) -> SplitResults:
    """The same results, if a measure missed each IoU by so much, to either side in turn."""
    side = np.where(np.arange(len(found.objects)) % 2, error, -error)
    column = f"{measure}@shapes_train"
    return replace(found, objects=found.objects.assign(**{column: found.objects["iou"] + side}))


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_heads_are_compared_with_calibrated_scores(found: SplitResults, protocol: str) -> None:
    calibrated = with_predicted_iou(found, CALIBRATED, 0.1)
    nearer = with_predicted_iou(calibrated, "usam", 0)
    same = with_predicted_iou(nearer, "usam_ours", 0.1)
    assert calibration_sentence(same, protocol).endswith(
        "the ECE is surely lower for USAM; the RMSE is surely lower for USAM."
    )
    farther = with_predicted_iou(same, "usam_ours", 0.2)
    sentence = calibration_sentence(farther, protocol)
    assert "lower for USAM, higher for USAM of ours; the RMSE" in sentence
    level = with_predicted_iou(same, "usam", 0.1)
    assert "no ECE surely differs; no RMSE surely differs." in calibration_sentence(level, protocol)
    assert "; SamScore, isotonic " in sentence
    assert "USAM 0.0 (0.0 to 0.0) and 0.0 (0.0 to 0.0)" in sentence
    assert "predicted IoUs of the large model have an ECE" in sentence


def test_calibration_errors_are_those_of_the_stage(found: SplitResults) -> None:
    rows = found.statistics.query("protocol == 'selected' and model == 'large'")
    sentence = calibration_sentence(found, "selected")
    for measure, label in {"sam_score": "SamScore", "usam": "USAM"}.items():
        is_own = (rows["measure"] == measure) & rows["iou_below"].isna()
        own = rows[is_own].set_index("statistic").to_dict("index")
        error, distance = (
            "{:.1f} ({:.1f} to {:.1f})".format(
                *(100 * own[name][f"value{end}"] for end in ("", "_low", "_high"))
            )
            for name in ("calibration_error", "root_mean_square")
        )
        assert f"{label} {error} and {distance}" in sentence


def test_tuning_that_changes_nothing_is_said_to(found: SplitResults) -> None:
    block = tuning_block(found, found)
    n = comparisons({FURTHER: found}, FURTHER)["verdict"].notna().sum()
    assert f", none of {n} verdicts on {FURTHER} differ; " in block
    assert list(cells(block)) == ["protocol", "---"]


def test_verdicts_that_tuning_changes_are_counted_and_shown(found: SplitResults) -> None:
    is_own = (found.auc["measure"] == "usam") & (found.auc["task"] == "segmentation")
    columns = [f"{name}{end}" for name in ("relative", "margin") for end in ("", "_low", "_high")]
    auc = found.auc.copy()
    auc.loc[is_own, columns] = [0.1, 0.09, 0.11, -0.7, -0.72, -0.68]
    block = tuning_block(found, replace(found, auc=auc))
    assert f", {len(PROTOCOLS)} of " in block
    rows = [line for line in block.splitlines() if "1 − USAM |" in line]
    assert len(rows) == len(PROTOCOLS)
    assert all(row.endswith(" | *10.0 (9–11)* |") for row in rows)


def test_tuned_results_of_other_measures_are_refused(found: SplitResults) -> None:
    fewer = replace(found, auc=found.auc[found.auc["measure"] != "h_t"])
    with pytest.raises(ValueError, match="must compare the same measures"):
        tuning_block(found, fewer)
