"""The paper's numbers: through our own tables, and beside ours."""

from collections.abc import Iterator
from math import nan
from typing import Any, get_args

import numpy as np
import pandas as pd
import pytest

from pipeline.scoring.auc import relative_auc
from pipeline.scoring.measures import HEAD_MEASURES
from pipeline.vocabulary import TASKS
from stages.settings.blocks import PaperDataSet
from stages.tables.paper import (
    PAPER,
    beside_paper,
    correlation_beside_paper,
    paper_numbers,
    runtime_beside_paper,
)
from stages.tables.special_tables import correlation_names
from storage.outputs.csv_forms import SPLIT_TABLES
from storage.outputs.results import SplitResults
from tests.fixtures.mini import MODELS
from tests.fixtures.report_inputs import draw_runtime
from tests.fixtures.scores import made

DATA_SETS: dict[str, PaperDataSet] = {name: name for name in get_args(PaperDataSet)}


def auc_of_the_paper(data_set: str) -> pd.DataFrame:
    """Tables 11 to 14 in the form of ``scores.csv``."""
    numbers = paper_numbers("auc")
    blocks = numbers[numbers["data_set"] == data_set].groupby(["task", "model"], sort=False)
    rows: list[dict[str, Any]] = []
    for (task, model), block in blocks:
        bounds = block[block["measure"].isin(["oracle", "worst"])]
        oracle, worst = bounds.set_index("measure")["percent"].div(100)[["oracle", "worst"]]
        for row in block.drop(bounds.index).to_dict("records"):
            auc = row["percent"] / 100
            keys = {
                "train_split": row["trained_on"],
                "tokens": "best" if row["trained_on"] else "",
                "task": task,
                "model": model,
                "measure": row["measure"],
            }
            relative = relative_auc(auc, oracle=oracle, worst=worst)
            values = {"auc": auc, "oracle": oracle, "worst": worst, "relative": relative}
            rows += [keys | {"statistic": name, "value": values[name]} for name in values]
    return pd.DataFrame(rows).assign(low=nan, high=nan, seed=nan)


@pytest.fixture(scope="module")
def results() -> dict[str, SplitResults]:
    """The paper's data sets as eval splits, evaluated by its Tables 11 to 14."""
    nothing = pd.DataFrame()
    heads: dict[str, object] = {name: {} for name in DATA_SETS if name != "MOSE"}
    return {
        name: SplitResults(
            **dict.fromkeys(SPLIT_TABLES, nothing) | {"scores": auc_of_the_paper(name)},
            run={"heads": heads, "models": dict.fromkeys(MODELS)},
        )
        for name in DATA_SETS
    }


def both_sides(table: pd.DataFrame) -> Iterator[tuple[float, float]]:
    """Ours and the paper's, where the paper has a number."""
    for name in DATA_SETS:
        is_told = table[name + PAPER].notna()
        yield from zip(table.loc[is_told, name], table.loc[is_told, name + PAPER], strict=True)


def test_our_tables_turn_the_papers_auc_into_its_tables_1_to_4(
    results: dict[str, SplitResults],
) -> None:
    cells: list[tuple[float, float]] = []
    for task in TASKS:
        # The paper says that MOSE is scored with heads of SA-V; its numbers are those of COCO's,
        # which stand in rows of their own.
        numbers = paper_numbers("relative", task)
        cells += both_sides(beside_paper(made("{task}", results, task), numbers, DATA_SETS))
    ours, paper = np.transpose(cells)
    assert len(cells) == 125
    np.testing.assert_allclose(ours, paper, atol=0.06)


def test_our_absolute_tables_are_the_papers_tables_11_to_14(
    results: dict[str, SplitResults],
) -> None:
    cells: list[tuple[float, float]] = []
    for task in TASKS:
        numbers = paper_numbers("auc", task)
        cells += both_sides(beside_paper(made("{task}_auc", results, task), numbers, DATA_SETS))
    ours, paper = np.transpose(cells)
    assert len(cells) == len(paper_numbers("auc")) == 420
    np.testing.assert_allclose(ours, paper)


def test_numbers_of_other_heads_and_splits_are_not_compared() -> None:
    table = pd.DataFrame(
        {
            "measure": ["h_std", "delta_a", "delta_a", "delta_a"],
            "trained_on": ["", "ours", "COCO", "mine"],
            "val": [1.0, 2.0, 3.0, 4.0],
            "val_high": [1.0, 2.0, 3.0, 4.0],
            "other": [1.0, 2.0, 3.0, 4.0],
        }
    )
    numbers = paper_numbers("relative", "task")
    found = beside_paper(table, numbers, {"val": "COCO", "ours": "COCO", "mine": "DAVIS"})
    assert list(found.columns) == [*table.columns[:4], "val_paper", "other"]
    # A split that is called COCO is not yet the paper's.
    np.testing.assert_array_equal(found["val_paper"], [74.56, 94.85, nan, nan])


def test_seconds_of_metas_models_stand_beside_the_papers() -> None:
    timed = draw_runtime("sam2.1")
    both = runtime_beside_paper(timed)
    assert both[list(timed.columns)].equals(timed)
    of_large = both[both["model"] == "large"].set_index("method")
    assert of_large["seconds_paper"].dropna().to_dict() == {
        "sam": 0.437,
        "entropy": 0.452,
        "views5": 2.187,
        "prompts8": 0.5,
        "usam": 0.441,
    }
    assert of_large["ratio_paper"]["sam"] == 1
    assert of_large["ratio_paper"]["views5"] == pytest.approx(2.187 / 0.437)
    assert both[both["method"] != "usam_ours"].notna().all(axis=None)


def correlations(train_split: str) -> pd.DataFrame:
    """Correlations of one model in the form of ``correlation_table``."""
    names = [name for name in correlation_names() if train_split or name not in HEAD_MEASURES]
    table = pd.DataFrame(0.5, index=range(len(names)), columns=names)
    table.insert(0, "row", names)
    table.insert(0, "model", "large")
    table.insert(0, "train_split", train_split)
    return table


@pytest.mark.parametrize("train_split", ["", "ours"])
def test_correlations_of_coco_stand_beside_the_papers(train_split: str) -> None:
    table = correlations(train_split)
    both = correlation_beside_paper(table, "COCO", {"ours": "COCO"})
    in_paper = paper_numbers("correlation").columns
    names = [name for name in table["row"] if name in in_paper]
    assert list(both.columns) == [*table.columns, *(name + PAPER for name in names)]
    assert both["sam_score_paper"][:3].tolist() == [0.49, 1.00, -0.44]
    assert both["h_xp_paper"].notna().equals(both["row"].isin(names))


def test_our_table_turns_the_papers_mean_ious_into_its_table_10() -> None:
    numbers = paper_numbers("view")
    mean = numbers["percent"] / 100
    gain = mean - mean.groupby(numbers["model"]).transform("first")
    keys = numbers[["model", "view"]].assign(proposal="best", task="", train_split="")
    rows = [
        keys.assign(statistic="mean_iou", value=mean),
        keys.assign(statistic="gain", value=gain),
    ]
    tables = dict.fromkeys(SPLIT_TABLES, pd.DataFrame())
    tables |= {"scores": pd.concat(rows).assign(low=nan, high=nan, seed=nan)}
    found = SplitResults(**tables, run={"heads": {}, "models": dict.fromkeys(MODELS)})
    table = made("iou_by_view", {"paper": found}).merge(numbers, on=["model", "view"])
    assert len(table) == len(numbers) == 7 * len(MODELS)
    np.testing.assert_allclose(table["paper"], table["percent"])
    np.testing.assert_allclose(table["paper_difference"], table["difference"], atol=1e-9)
