"""README and docs/results.md mark what knows the ground truth, and what is sure."""

import sys

import pytest

from pipeline.scoring.measures import UNTRAINED_MEASURES
from pipeline.vocabulary import JUDGED, PROTOCOLS, TASKS
from stages import evaluate
from stages.page.labels import measure_label, protocol_heading
from stages.page.verdict import LINES, comparisons
from storage.outputs.results import SplitResults, read_results
from storage.paths import results_dir
from tests.fixtures.eval_split import write_heads, write_params, write_split
from tools.show_results import FURTHER, MARK, OF_NO_PROPOSAL, readme_block, results_block


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
