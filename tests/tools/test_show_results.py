"""README marks what knows the ground truth, and each of its words follows from an interval."""

import sys
from dataclasses import replace

import pytest

from pipeline.scoring.measures import UNTRAINED_MEASURES
from pipeline.vocabulary import JUDGED, PROTOCOLS, TASKS
from stages import evaluate
from stages.page.labels import protocol_heading
from storage.outputs.results import SplitResults, read_results
from storage.paths import results_dir
from tests.fixtures.eval_split import write_heads, write_params, write_split
from tools.show_results import MARK, MARK_MEANING, OF_NO_PROPOSAL, SPLIT, readme_block
from tools.verdicts import SUBJECTS, verdict


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> SplitResults:
    root = tmp_path_factory.mktemp("shown")
    write_params(root, [SPLIT])
    write_heads(root, "shapes_train")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        write_split(SPLIT, n_objects=60)
        patch.setattr(sys, "argv", ["evaluate", SPLIT])
        evaluate.main()
    return read_results(root / results_dir(SPLIT))


def cells(block: str) -> dict[str, list[str]]:
    """Rows of the tables of a block by their first cell."""
    rows = [line.strip("| ").split(" | ") for line in block.splitlines() if line.startswith("|")]
    return {row[0]: row[1:] for row in rows}


def tables(found: SplitResults, protocol: str) -> tuple[str, str]:
    """What README shows of a protocol: relative AUC, and margins."""
    block = readme_block(found).split(f"### {protocol_heading(protocol)}\n")[1].split("### ")[0]
    relative, margins = block.split("Margin over 1 − SamScore")
    return relative, margins


def test_what_knows_the_truth_is_marked(found: SplitResults) -> None:
    best, selected = (tables(found, protocol)[0] for protocol in PROTOCOLS)
    shown = cells(best)
    for measure, is_marked in {"1 − SamScore": True, "H_Std": True, "H_Y": False}.items():
        assert [MARK in cell for cell in shown[measure]] == [
            is_marked and task != "task" for task in TASKS
        ]
    assert MARK not in "".join(shown["1 − SamScore, highest"] + shown["H_A"])
    assert MARK_MEANING in best
    assert MARK not in selected


def test_measures_without_a_mark_do_not_follow_the_judged_proposal(found: SplitResults) -> None:
    objects = found.objects.query("protocol == 'best'").groupby("judged")
    best, selected = (objects.get_group(judged).reset_index(drop=True) for judged in JUDGED)
    same = {name for name in UNTRAINED_MEASURES if best[name].equals(selected[name])}
    assert same | {"sam_score_highest"} == set(OF_NO_PROPOSAL)


def test_an_interval_that_flips_changes_what_the_readme_says(found: SplitResults) -> None:
    is_it = (found.auc["measure"] == "h_xp") & (found.auc["protocol"] == "selected")
    said = []
    for low, high in ((0.01, 0.2), (-0.1, 0.1), (-0.2, -0.01)):
        auc = found.auc.copy()
        auc.loc[is_it, ["margin_low", "margin_high"]] = (low, high)
        block = readme_block(replace(found, auc=auc)).split("### ")[2]
        (line,) = (
            line for line in block.splitlines() if line.startswith(f"- {SUBJECTS['prompt']}")
        )
        (part,) = (part for part in line.split("; ") if "H_Xp" in part)
        said.append([verb for verb in (" beat", "clearly differ", " fall") if verb in part])
    assert said == [[" beat"], ["clearly differ"], [" fall"]]


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [
        (0.1, 5, "better"),
        (0, 5, "no better"),
        (-5, 5, "no better"),
        (-5, 0, "no better"),
        (-5, -0.1, "worse"),
        (float("nan"), float("nan"), "no better"),
    ],
)
def test_a_verdict_needs_the_whole_interval_on_one_side(low: float, high: float, said: str) -> None:
    assert verdict({"margin_low": low, "margin_high": high}) == said
