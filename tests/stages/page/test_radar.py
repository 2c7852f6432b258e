"""Figure 6: a radar of the relative AUC of all tasks."""

import json
import re
from dataclasses import replace
from math import nan

import pytest

from pipeline.vocabulary import TASKS
from stages.page.labels import measure_label
from stages.page.radar import radar_figure
from stages.tables.auc import relative_table
from stages.tables.radar import RADAR_LINES, radar_table
from storage.outputs.results import SplitResults, read_results
from storage.paths import results_dir
from tests.fixtures.eval_split import SPLITS, TRAIN_SPLITS, evaluate_splits

UNTRAINED = [line.name for line in RADAR_LINES if not line.needs_heads]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, SplitResults]:
    root = tmp_path_factory.mktemp("evaluated")
    evaluate_splits(root)
    return {split: read_results(root / results_dir(split)) for split in SPLITS}


def test_the_radar_has_the_cells_of_the_relative_tables(
    results: dict[str, SplitResults],
) -> None:
    table = radar_table(results["coco_val"])
    assert list(table.columns) == ["measure", "trained_on", *TASKS]
    assert list(zip(table["measure"], table["trained_on"], strict=True)) == [
        *((line, "") for line in UNTRAINED),
        *((line, split) for split in TRAIN_SPLITS for line in ("gaps", "gaps_star")),
    ]
    lines = table.set_index(["measure", "trained_on"])
    for task in TASKS:
        relative = relative_table(results, task).set_index(["measure", "trained_on"])["coco_val"]
        for line in RADAR_LINES:
            for trained_on in TRAIN_SPLITS if line.needs_heads else [""]:
                # Not every entropy stands in the table of every task.
                expected = relative.get((line.measures[task], trained_on), nan)
                if expected == expected:  # noqa: PLR0124 - not NaN
                    assert lines.loc[(line.name, trained_on), task] == pytest.approx(expected)
    assert table.notna().all(axis=None)


def test_tasks_that_were_not_evaluated_have_no_axis(results: dict[str, SplitResults]) -> None:
    found = results["shapes_val"]
    fewer = replace(found, auc=found.auc[found.auc["task"] != "model"])
    table = radar_table(fewer)
    assert list(table.columns) == ["measure", "trained_on", *TASKS[1:]]
    assert '"theta":["Prompt","Task","Segmentation","Prompt"]' in radar_figure(table, [], "here")


def test_a_figure_encloses_an_area_a_line(results: dict[str, SplitResults]) -> None:
    table = radar_table(results["shapes_val"])
    html = radar_figure(table, TRAIN_SPLITS, "here")
    names = [json.loads(f'"{name}"') for name in re.findall(r'"name":"([^"]+)"', html)]
    assert names == [
        *(measure_label(line) for line in UNTRAINED),
        *("Δ and 1 − USAM", "Δ* and 1 − USAM"),
        *("Δ and 1 − USAM (coco_train)", "Δ* and 1 − USAM (coco_train)"),
    ]
    assert 'id="here"' in html
    for around in re.findall(r'"r":\[([^\]]+)\]', html):
        values = around.split(",")
        assert len(values) == len(TASKS) + 1
        assert values[0] == values[-1]
