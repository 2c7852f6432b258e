"""What README and model card show is what the results say."""

import re
from pathlib import Path

import pytest

from docs import show_results
from docs.blocks import marks
from docs.show_results import SPLIT, draw_curves, readme_block, scores_block
from pipeline.scoring.measures import TASK_MEASURES
from pipeline.vocabulary import MODELS, TASKS
from stages.page.labels import TASK_LABELS, measure_label
from stages.page.numbers import number
from storage.outputs.results import SplitResults, read_results
from storage.paths import results_dir
from tests.fixtures.eval_split import evaluate_splits

MARKS = marks("results")
ROOT = Path(__file__).parents[1]


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


def test_the_readme_shows_relative_auc_with_intervals_and_the_best_in_bold(
    found: SplitResults,
) -> None:
    shown = cells(readme_block(found).split("Beyond")[0])
    assert shown["measure"] == list(TASK_LABELS.values())
    (row,) = found.auc.query("task == 'task' and model == 'tiny' and measure == 'h_a'").to_dict(
        "records"
    )
    value, low, high = (100 * row[f"relative{end}"] for end in ("", "_low", "_high"))
    text = shown["H_A"][2]
    assert text.strip("*") == f"{number(value)} ({number(low, 0)}–{number(high, 0)})"
    for place in range(len(TASKS)):
        column = [row[place] for name, row in shown.items() if name not in {"measure", "---"}]
        values = [float(match[0]) for cell in column if (match := re.search(r"[\d.]+", cell))]
        (best,) = (cell for cell in column if cell.startswith("**"))
        assert best.startswith(f"**{max(values)}")


def test_the_readme_shows_margins_and_marks_those_that_are_sure(found: SplitResults) -> None:
    margins = cells(readme_block(found).split("Beyond 1 − SamScore")[1])
    assert "1 − SamScore" not in margins
    for row in found.auc.query("task == 'prompt' and model == 'tiny'").to_dict("records"):
        if row["measure"] == "h_xp":
            text = margins["H_Xp"][1]
            assert text.strip("*").startswith(number(100 * row["margin"]))
            assert text.startswith("**") == (row["margin_low"] > 0)
    assert margins["H_Xp"][0] == "–"


def test_the_model_card_shows_what_every_view_costs(found: SplitResults) -> None:
    block = scores_block(found)
    scores, costs = block.split("What a view changes")
    assert list(cells(scores))[2:] == list(cells(costs))[2:] == list(MODELS)
    (row,) = found.iou.query("model == 'large' and view == 'vflip' and proposal == 'best'").to_dict(
        "records"
    )
    assert cells(costs)["large"][0].startswith(number(100 * row["gain"]))


def test_the_figure_has_a_panel_a_task_and_a_line_a_measure(found: SplitResults) -> None:
    panels = draw_curves(found).axes
    assert [panel.get_title() for panel in panels] == list(TASK_LABELS.values())
    for panel, task in zip(panels, TASKS, strict=True):
        assert [line.get_label() for line in panel.lines] == [
            measure_label(measure) for measure in TASK_MEASURES[task]
        ]


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
