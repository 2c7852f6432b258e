"""Figure 6 as a table: the relative AUC of all tasks."""

from math import nan

import pytest

from pipeline.vocabulary import TASKS
from stages.tables.auc import RADAR_LINES, radar_table, relative_table
from stages.tables.report_table import Results
from tests.fixtures.eval_split import TRAIN_SPLITS

OF_HEADS = ("gaps", "gaps_star", "gaps_ours", "gaps_star_ours")
UNTRAINED = [line.name for line in RADAR_LINES if not line.needs_heads]


def untrained_of(protocol: str) -> list[str]:
    """Lines without heads: of selected masks, the highest SamScore is the SamScore."""
    return [n for n in UNTRAINED if protocol == "best" or n != "sam_score_highest"]


def test_the_radar_has_the_cells_of_the_relative_tables(own: Results, protocol: str) -> None:
    table = radar_table(own["coco_val"])
    assert list(table.columns) == ["measure", "trained_on", *TASKS]
    assert list(zip(table["measure"], table["trained_on"], strict=True)) == [
        *((line, "") for line in untrained_of(protocol)),
        *((line, split) for split in TRAIN_SPLITS for line in OF_HEADS),
    ]
    lines = table.set_index(["measure", "trained_on"])
    for task in TASKS:
        relative = relative_table(own, task).set_index(["measure", "trained_on"])["coco_val"]
        for line in RADAR_LINES:
            if not line.needs_heads and line.name not in untrained_of(protocol):
                continue
            for trained_on in TRAIN_SPLITS if line.needs_heads else [""]:
                # Not every entropy stands in the table of every task.
                expected = relative.get((line.measures[task], trained_on), nan)
                if expected == expected:  # noqa: PLR0124 - not NaN
                    assert lines.loc[(line.name, trained_on), task] == pytest.approx(expected)
    # The task "task" judges the selected mask: the highest SamScore is its own there.
    missing = [(line, task) for line in table.index for task in TASKS if table.isna()[task][line]]
    assert missing == ([(1, "task")] if protocol == "best" else [])
    assert table["measure"][1] == (
        "sam_score_highest" if protocol == "best" else "sam_score_largest"
    )
