"""Results as tables in the paper's form, metrics, plots and figures."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from pipeline.scoring.corrections import IOU_GT
from pipeline.scoring.measures import HEAD_MEASURES, OF_KIND, TASK_MEASURES, UNTRAINED_MEASURES
from pipeline.vocabulary import TASKS
from stages.tables.auc import (
    ablation_table,
    correlation_names,
    correlation_table,
    curve_table,
    margin_table,
    metrics,
    relative_table,
    token_margin_table,
)
from stages.tables.paper import paper_numbers
from stages.tables.report_table import Results, of_protocol
from stages.tables.statistics import best_model_table, iou_table, view_table
from storage.outputs.results import SplitResults
from tests.fixtures.eval_split import SPLITS, TRAIN_SPLITS
from tests.fixtures.mini import MODELS

JUDGED_TOKENS = {
    **{("best", task): "best" for task in TASKS},
    ("best", "task"): "selected",
    **{("selected", task): "selected" for task in TASKS},
}
"""Tokens of the judged mask, by protocol and task."""


def rows_of(table: pd.DataFrame, **named: str) -> pd.DataFrame:
    """Rows of a table of results that have these names."""
    for column, name in named.items():
        table = table[table[column] == name]
    assert len(table)
    return table


def untrained_of(protocol: str, task: str) -> list[str]:
    """Measures without heads: the highest SamScore is that of the selected mask."""
    is_twin = JUDGED_TOKENS[protocol, task] == "selected"
    return [n for n in UNTRAINED_MEASURES if not (is_twin and n == "sam_score_highest")]


@pytest.mark.parametrize("task", TASKS)
def test_relative_tables_have_the_papers_rows_of_the_default_model_and_the_judged_mask(
    results: dict[str, SplitResults], own: Results, protocol: str, task: str
) -> None:
    table = relative_table(own, task)
    untrained = [name for name in untrained_of(protocol, task) if name in TASK_MEASURES[task]]
    trained = [name for name in TASK_MEASURES[task] if name in HEAD_MEASURES]
    columns = [split + end for split in SPLITS for end in ("", "_low", "_high")]
    assert list(table.columns) == ["measure", "trained_on", *columns]
    for split in SPLITS:
        assert table[f"{split}_low"].lt(table[split]).all()
        assert table[f"{split}_high"].gt(table[split]).all()
    assert list(zip(table["measure"], table["trained_on"], strict=True)) == [
        *((name, "") for name in untrained),
        *((name, split) for split in TRAIN_SPLITS for name in trained),
    ]
    model = "large" if task == "segmentation" else "tiny"
    auc = rows_of(results["coco_val"].auc, protocol=protocol, task=task, model=model)
    auc = auc[auc["tokens"].isin(["", JUDGED_TOKENS[protocol, task]])]
    expected = 100 * auc.set_index(["measure", "train_split"])["relative"]
    shown = table.set_index(["measure", "trained_on"])["coco_val"]
    assert shown.to_dict() == pytest.approx(expected[shown.index].to_dict())


def test_the_iou_table_holds_means_over_objects(results: dict[str, SplitResults]) -> None:
    table = iou_table(results)
    proposals = ["best", "selected", "refined", "refined_selected"]
    assert table["proposal"].tolist() == proposals * len(MODELS)
    for row in table.to_dict("records"):
        for split, found in results.items():
            objects = rows_of(found.objects, protocol="best", judged="best", model=row["model"])
            values = objects[f"{row['proposal']}_iou"]
            assert row[split] == pytest.approx(100 * values.mean())
            assert row[f"{split}_low"] < row[split] < row[f"{split}_high"]


def test_the_view_table_shows_the_protocols_masks_in_every_view(
    results: dict[str, SplitResults], own: Results, protocol: str
) -> None:
    table = view_table(own)
    views = ["identity", "vflip"] * len(MODELS)
    assert table["view"].tolist() == views
    of_identity = rows_of(iou_table(results), proposal=protocol)
    for split in SPLITS:
        shown = table.loc[table["view"] == "identity", split]
        assert shown.tolist() == of_identity[split].tolist()


def test_models_share_the_objects_on_which_they_tie(results: dict[str, SplitResults]) -> None:
    iou = {"tiny": [0.5, 0.1, 0.2, 0.0], "small": [0, 0.3, 0.2, 0], "large": [0.5, 0.9, 0.2, 0.0]}
    judged = {"protocol": "best", "judged": "best"}
    objects = pd.concat([pd.DataFrame({"model": k, "iou": v} | judged) for k, v in iou.items()])
    # The selected masks of the task "task" do not count.
    others = objects.assign(judged="selected", iou=np.arange(len(objects)) / 100)
    objects = pd.concat([others, objects])
    table = best_model_table({"split": replace(results["shapes_val"], objects=objects)})
    assert table["model"].tolist() == ["tiny", "small", "large"]
    expected = np.array([1 / 2 + 2 / 3, 2 / 3, 3 / 2 + 2 / 3]) / 4 * 100
    np.testing.assert_allclose(table["split"], expected)


def test_margins_are_told_of_every_measure_but_the_baseline(own: Results, protocol: str) -> None:
    table = margin_table(own)
    assert set(table["task"]) == set(TASKS)
    assert "sam_score" not in set(table["measure"])
    assert ("sam_score_highest" in set(table["measure"])) == (protocol == "best")
    for task, measure in {"prompt": "h_xp", "task": "h_a", "segmentation": "h_std"}.items():
        relative = relative_table(own, task).set_index("measure")["coco_val"]
        (found,) = table.query("task == @task and measure == @measure")["coco_val"]
        assert found == pytest.approx(relative[measure] - relative["sam_score"])


def test_ablated_heads_lack_a_token_of_the_judged_mask(results: dict[str, SplitResults]) -> None:
    table = ablation_table(of_protocol(results, "best"))
    for row in table[table["tokens"] != "both"].to_dict("records"):
        tokens = f"{JUDGED_TOKENS['best', row['task']]}_{row['tokens']}"
        names = {name: row[name] for name in ("task", "model", "measure")}
        rows = rows_of(
            results["coco_val"].auc, tokens=tokens, train_split=row["trained_on"], **names
        )
        (expected,) = rows["relative"]
        assert row["coco_val"] == pytest.approx(100 * expected)


def test_token_margins_are_differences_to_heads_that_read_both(
    results: dict[str, SplitResults],
) -> None:
    best = of_protocol(results, "best")
    margins = token_margin_table(best)
    assert list(margins["tokens"].unique()) == ["no_mask", "no_iou"]
    assert set(margins["measure"]) == set(OF_KIND["paper"])
    key = ["task", "measure", "trained_on"]
    sets = {
        tokens: rows.set_index(key)["coco_val"]
        for tokens, rows in ablation_table(best).groupby("tokens")
    }
    for lack in ("no_mask", "no_iou"):
        is_gap = margins["measure"] != "usam"
        found = margins[(margins["tokens"] == lack) & is_gap]
        expected = (sets[lack] - sets["both"]).to_dict()
        assert found.set_index(key)["coco_val"].to_dict() == pytest.approx(expected, abs=1e-5)


def test_correlations_are_those_of_all_measures_the_papers_first() -> None:
    assert sorted(correlation_names()) == sorted([IOU_GT, *UNTRAINED_MEASURES, *HEAD_MEASURES])
    of_paper = paper_numbers("correlation").columns[2:]
    assert (correlation_names()[: len(of_paper)]) == list(of_paper)


def test_correlations_are_those_with_the_judged_mask(
    results: dict[str, SplitResults], own: Results, protocol: str
) -> None:
    table = correlation_table(own["coco_val"])
    objects = rows_of(results["coco_val"].objects, protocol=protocol, judged=protocol)
    rows = table.query("row == 'iou_gt' and train_split == 'coco_train'").set_index("model")
    for model in MODELS:
        of_model = rows_of(objects, model=model)
        for name, column in {"sam_score": "sam_score", "usam": "usam@coco_train"}.items():
            expected = np.corrcoef(of_model[f"{protocol}_iou"], of_model[column])[0, 1]
            assert rows[name][model] == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("task", TASKS)
def test_plots_have_the_curves_of_every_split(
    results: dict[str, SplitResults], own: Results, protocol: str, task: str
) -> None:
    table = curve_table(own, task)
    assert table.notna().all(axis=None)
    np.testing.assert_allclose(table["corrected_fraction"], np.linspace(0, 1, 21))
    curves = rows_of(results["coco_val"].curves, protocol=protocol, task=task)
    for name in ("oracle", "h_std"):
        expected = rows_of(curves, measure=name)["mean_iou"]
        assert table[f"coco_val:{name}"].tolist() == expected.tolist()


def test_metrics_are_a_score_of_numbers_about_the_masks_that_a_user_has(
    results: dict[str, SplitResults],
) -> None:
    told = metrics(results)
    assert list(told) == list(SPLITS)
    for split, found in told.items():
        objects = results[split].objects
        objects = rows_of(objects, protocol="selected", judged="selected", model="small")
        assert found["mean_iou"]["small"] == pytest.approx(objects["selected_iou"].mean(), abs=1e-6)
        own = rows_of(results[split].auc, protocol="selected", task="task", model="tiny")
        of_first = {"h_a": ("", ""), "delta_a_star": (TRAIN_SPLITS[0], "selected")}
        for measure, (train_split, tokens) in of_first.items():
            rows = rows_of(own, measure=measure, train_split=train_split, tokens=tokens)
            (relative,) = rows["relative"]
            assert found["task"][measure] == pytest.approx(relative, abs=1e-6)
