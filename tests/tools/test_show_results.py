"""What README and model card show is what the results say."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.scoring.measures import BY_NAME, MEASURES, TASK_MEASURES, UNTRAINED_MEASURES
from pipeline.scoring.tasks import judged_proposal
from pipeline.vocabulary import JUDGED, MODELS, PROTOCOLS, TASKS
from stages.page.labels import TASK_LABELS, measure_label, protocol_heading
from stages.page.numbers import number
from storage.outputs.results import SplitResults, read_results
from storage.paths import results_dir
from tests.fixtures.eval_split import evaluate_splits
from tools import show_results
from tools.blocks import marks
from tools.claims import SUBJECTS, as_markdown
from tools.show_results import (
    DRAWN,
    MARK,
    MARK_MEANING,
    OF_NO_PROPOSAL,
    SPLIT,
    draw_curves,
    knows_truth,
    readme_block,
    scores_block,
)

MARKS = marks("results")
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("shown")
    evaluate_splits(root)
    return root


@pytest.fixture(scope="module")
def found(root: Path) -> SplitResults:
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


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_the_readme_shows_relative_auc_with_intervals_and_the_best_in_bold(
    found: SplitResults, protocol: str
) -> None:
    shown = cells(tables(found, protocol)[0])
    assert shown["measure"] == list(TASK_LABELS.values())
    (row,) = found.auc.query(
        "protocol == @protocol and task == 'task' and model == 'tiny' and measure == 'h_a'"
    ).to_dict("records")
    value, low, high = (100 * row[f"relative{end}"] for end in ("", "_low", "_high"))
    text = shown["H_A"][2]
    assert text.strip("*") == f"{number(value)} ({number(low, 0)}–{number(high, 0)})"
    for place in range(len(TASKS)):
        column = [row[place] for name, row in shown.items() if name not in {"measure", "---"}]
        values = [float(match[0]) for cell in column if (match := re.search(r"[\d.]+", cell))]
        (best,) = (cell for cell in column if cell.startswith("**"))
        assert best.startswith(f"**{max(values)}")


def test_both_rows_of_the_samscore_stand_where_the_best_proposal_is_judged(
    found: SplitResults,
) -> None:
    best, selected = (cells(tables(found, protocol)[0]) for protocol in PROTOCOLS)
    assert "–" not in best["1 − SamScore"]
    assert [cell == "–" for cell in best["1 − SamScore, highest"]] == [
        judged_proposal("best", task) == "selected" for task in TASKS
    ]
    assert "1 − SamScore" in selected
    assert "1 − SamScore, highest" not in selected


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


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_the_readme_shows_margins_and_marks_those_that_are_sure(
    found: SplitResults, protocol: str
) -> None:
    margins = cells(tables(found, protocol)[1])
    assert "1 − SamScore" not in margins
    rows = found.auc.query(
        "protocol == @protocol and task == 'prompt' and model == 'tiny' and train_split == ''"
    )
    for row in rows.to_dict("records"):
        if "prompt" not in BY_NAME[row["measure"]].tasks or row["measure"] == "sam_score":
            continue
        text = margins[measure_label(row["measure"])][1]
        assert text.strip("*").startswith(number(100 * row["margin"]))
        assert (MARK in text) == knows_truth(protocol, "prompt", row["measure"])
        assert text.startswith("**") == (row["margin_low"] > 0)
        assert bool(re.match(r"\*[^*]", text)) == (row["margin_high"] < 0)
    assert margins["H_Xp"][0] == "–"


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


def test_no_sentence_about_results_stands_outside_of_the_block() -> None:
    text = (ROOT / "README.md").read_text("utf-8")
    before, _, rest = text.partition(MARKS[0])
    words = before + rest.partition(MARKS[1])[2]
    symbols = {measure.symbol for measure in MEASURES if measure.name != "sam_score"}
    assert [symbol for symbol in symbols if as_markdown(symbol) in words] == []


def test_the_model_card_shows_masks_of_both_protocols_and_what_every_view_costs(
    found: SplitResults,
) -> None:
    block = scores_block(found)
    scores, costs = block.split("What a view changes")
    assert list(cells(scores))[2:] == list(cells(costs))[2:] == list(MODELS)
    (row,) = found.iou.query("model == 'large' and view == 'vflip' and proposal == 'best'").to_dict(
        "records"
    )
    assert cells(costs)["large"][0].startswith(number(100 * row["gain"]))
    own = found.iou.query("model == 'tiny' and view == 'identity'").set_index("proposal")
    masks = ("best", "refined", "selected", "refined_selected")
    for cell, mask in zip(cells(scores)["tiny"], masks, strict=False):
        assert cell.startswith(number(100 * own["mean_iou"][mask]))
    truth = found.correlation.query("row == 'iou_gt' and model == 'tiny'")
    assert cells(scores)["tiny"][4:] == [
        f"{truth[truth['protocol'] == protocol]['sam_score'].iloc[0]:.2f}" for protocol in PROTOCOLS
    ]


def test_the_figure_has_a_row_a_protocol_a_panel_a_task_and_a_line_a_drawn_measure(
    found: SplitResults,
) -> None:
    axes = draw_curves(found).axes
    panels = [axes[: len(TASKS)], axes[len(TASKS) :]]
    assert [panel.get_title() for panel in panels[0]] == list(TASK_LABELS.values())
    for row, protocol in zip(panels, PROTOCOLS, strict=True):
        assert row[0].get_ylabel().startswith(protocol_heading(protocol))
        for panel, task in zip(row, TASKS, strict=True):
            assert [line.get_label() for line in panel.lines] == [
                measure_label(measure) for measure in DRAWN[task]
            ]
    for last in panels[-1]:
        legend = last.get_legend()
        assert legend is not None
        assert [text.get_text() for text in legend.get_texts()] == [
            line.get_label() for line in last.lines
        ]


def test_drawn_measures_are_of_their_task_for_every_judged_proposal() -> None:
    for task, measures in DRAWN.items():
        assert set(measures) <= set(TASK_MEASURES[task])
        assert not any(BY_NAME[measure].judged for measure in measures)


def test_both_pages_and_the_figure_are_written_and_stay_equal_when_written_again(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(root)
    (root / "docs").mkdir()
    pages = [Path("README.md"), Path("docs") / "mini.md"]
    for page in pages:
        page.write_text(f"# Before\n{MARKS[0]}\nstale\n{MARKS[1]}\nafter\n", encoding="utf-8")
    show_results.main()
    written = {path: path.read_bytes() for path in (*pages, show_results.FIGURE)}
    show_results.main()
    assert written == {path: path.read_bytes() for path in written}
    for page in pages:
        text = page.read_text(encoding="utf-8")
        assert text.startswith(f"# Before\n{MARKS[0]}\n")
        assert text.endswith(f"\n{MARKS[1]}\nafter\n")
        assert "stale" not in text


@pytest.mark.parametrize("page", ["README.md", "docs/mini.md"])
def test_the_pages_of_the_repository_have_their_marks(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    assert [text.count(mark) for mark in MARKS] == [1, 1]
