"""Every table and figure of the report, beside the paper's numbers, by the name of its file."""

from collections.abc import Mapping
from typing import Final

import pandas as pd

from pipeline.vocabulary import TASKS
from stages.tables.auc import (
    absolute_table,
    correlation_table,
    curve_table,
    margin_table,
    relative_table,
)
from stages.tables.iou import best_model_table, iou_table, view_table
from stages.tables.paper import (
    DataSets,
    beside_paper,
    correlation_beside_paper,
    paper_numbers,
    runtime_beside_paper,
)
from stages.tables.radar import radar_table
from stages.tables.rows import Results, task_models
from stages.tables.tokens import ablation_table, selected_table, token_margin_table

Tables = Mapping[str, pd.DataFrame]
"""By the name of the CSV."""

IOU: Final = "iou"
MARGIN: Final = "margin"
ABLATION: Final = "table6_token_ablation"
SELECTED: Final = "selected_tokens"
SET_MARGIN: Final = "token_margin"
RUNTIME: Final = "table7_runtime"
TRIALS: Final = "table8_trials"
BEST_MODEL: Final = "table9_best_model"
VIEWS: Final = "table10_iou_by_view"
CURVES: Final = "figure5"
GALLERY: Final = "figures4_7_8"

N_ABSOLUTE: Final = 10
"""What the number of a task's table of AUC has beyond that of its relative AUC."""


def paper_table(task: str) -> int:
    """Number of the paper's table of a task's relative AUC."""
    return TASKS.index(task) + 1


def relative_name(task: str) -> str:
    """Table of a task's relative AUC."""
    return f"table{paper_table(task)}_{task}"


def absolute_name(task: str) -> str:
    """Table of a task's AUC."""
    return f"table{N_ABSOLUTE + paper_table(task)}_{task}_auc"


def curve_name(task: str) -> str:
    """Table of a task's curves."""
    return f"{CURVES}_{task}"


def gallery_name(split: str) -> str:
    """Table of a split's gallery."""
    return f"{GALLERY}_gallery_{split}"


def correlation_name(split: str) -> str:
    """Table of a split's correlations."""
    return f"correlation_{split}"


def radar_name(split: str) -> str:
    """Table of a split's radar."""
    return f"figure6_radar_{split}"


def report_tables(
    results: Results,
    galleries: Mapping[str, pd.DataFrame],
    trials: pd.DataFrame,
    timed: pd.DataFrame,
    data_sets: DataSets,
) -> Tables:
    """All tables; those of trials and of other token sets only where some were made."""
    best = beside_paper(best_model_table(results), paper_numbers("best_model"), data_sets)
    tables = {IOU: iou_table(results), MARGIN: margin_table(results), BEST_MODEL: best}
    tables[RUNTIME] = runtime_beside_paper(timed)
    tables[VIEWS] = _views_beside_paper(view_table(results), data_sets)
    for task in task_models(results):
        tables[relative_name(task)] = _beside(relative_table(results, task), task, data_sets)
        tables[absolute_name(task)] = _beside(absolute_table(results, task), task, data_sets)
        tables[curve_name(task)] = curve_table(results, task)
    for split, found in results.items():
        tables[radar_name(split)] = radar_table(found)
        tables[gallery_name(split)] = galleries[split].drop(columns="picture")
        tables[correlation_name(split)] = correlation_beside_paper(
            correlation_table(found), data_sets.get(split), data_sets
        )
    ablation = beside_paper(ablation_table(results), paper_numbers("ablation"), data_sets)
    optional = {
        ABLATION: ablation,
        SELECTED: selected_table(results),
        SET_MARGIN: token_margin_table(results),
        TRIALS: trials,
    }
    return tables | {name: table for name, table in optional.items() if not table.empty}


def _beside(table: pd.DataFrame, task: str, data_sets: DataSets) -> pd.DataFrame:
    numbers = paper_numbers("auc" if "model" in table else "relative")
    return beside_paper(table, numbers[numbers["task"] == task].drop(columns="task"), data_sets)


def _views_beside_paper(table: pd.DataFrame, data_sets: DataSets) -> pd.DataFrame:
    numbers = paper_numbers("view")
    both = beside_paper(table, numbers.drop(columns="difference"), data_sets)
    return beside_paper(
        both, numbers.drop(columns="percent"), data_sets, value="difference", suffix="_difference"
    )
