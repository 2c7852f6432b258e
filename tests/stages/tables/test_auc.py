"""Results as tables in the paper's form, metrics, plots and figures."""

import json
import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from pipeline.auc import relative_auc
from pipeline.scoring.measures import HEAD_MEASURES, TASK_MEASURES, UNTRAINED_MEASURES
from pipeline.scoring.tasks import BOUNDS, IOU_GT
from pipeline.vocabulary import MODELS, TASKS
from stages.page.figures import task_figure
from stages.page.labels import measure_label
from stages.tables.auc import (
    absolute_table,
    correlation_names,
    correlation_table,
    curve_table,
    margin_table,
    metrics,
    overview_table,
    relative_table,
)
from stages.tables.iou import best_model_table, iou_table, view_table
from stages.tables.paper import paper_numbers
from stages.tables.rows import task_models
from stages.tables.tokens import ablation_table, selected_table, token_margin_table
from storage.outputs.results import SplitResults, read_results
from storage.paths import results_dir
from tests.fixtures.eval_split import SPLITS, TRAIN_SPLITS, evaluate_splits


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, SplitResults]:
    root = tmp_path_factory.mktemp("evaluated")
    evaluate_splits(root)
    return {split: read_results(root / results_dir(split)) for split in SPLITS}


@pytest.mark.parametrize("task", TASKS)
def test_relative_tables_have_the_papers_rows_and_a_column_a_split(
    results: dict[str, SplitResults], task: str
) -> None:
    table = relative_table(results, task)
    untrained = [name for name in TASK_MEASURES[task] if name in UNTRAINED_MEASURES]
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


def test_relative_tables_show_the_default_model_in_percent(
    results: dict[str, SplitResults],
) -> None:
    auc = results["coco_val"].auc
    for task, model in {"prompt": "tiny", "segmentation": "large"}.items():
        is_row = (auc["task"] == task) & (auc["model"] == model) & (auc["measure"] == "h_std")
        (expected,) = auc.loc[is_row, "relative"]
        (found,) = relative_table(results, task).query("measure == 'h_std'")["coco_val"]
        assert found == pytest.approx(100 * expected)


def test_absolute_tables_start_each_model_with_its_bounds(
    results: dict[str, SplitResults],
) -> None:
    table = absolute_table(results, "segmentation")
    assert list(table["model"].unique()) == list(MODELS)
    for model, rows in table.groupby("model"):
        names = ["oracle", "worst", *UNTRAINED_MEASURES, *HEAD_MEASURES, *HEAD_MEASURES]
        assert rows["measure"].tolist() == names
        auc = results["shapes_val"].auc
        auc = auc[(auc["task"] == "segmentation") & (auc["model"] == model)]
        assert rows["shapes_val"].iloc[0] == pytest.approx(100 * auc["oracle"].iloc[0])
        assert rows["shapes_val"].iloc[2] == pytest.approx(100 * auc["auc"].iloc[0])


def test_the_relative_tables_follow_from_the_absolute_ones(
    results: dict[str, SplitResults],
) -> None:
    absolute = absolute_table(results, "task")
    of_tiny = absolute[(absolute["model"] == "tiny") & (absolute["trained_on"] == "")]
    auc = dict(zip(of_tiny["measure"], of_tiny["shapes_val"], strict=True))
    for row in relative_table(results, "task").to_dict("records"):
        if not row["trained_on"]:
            expected = relative_auc(auc[row["measure"]], oracle=auc["oracle"], worst=auc["worst"])
            assert row["shapes_val"] == pytest.approx(100 * expected)


def test_the_iou_table_holds_means_over_objects(results: dict[str, SplitResults]) -> None:
    table = iou_table(results)
    assert table["proposal"].tolist() == ["best", "selected", "refined"] * len(MODELS)
    for row in table.to_dict("records"):
        column = {"best": "iou"}.get(row["proposal"], f"{row['proposal']}_iou")
        for split, found in results.items():
            values = found.objects.loc[found.objects["model"] == row["model"], column]
            assert row[split] == pytest.approx(100 * values.mean())
            assert row[f"{split}_low"] < row[split] < row[f"{split}_high"]


def test_the_view_table_shows_the_best_proposal_of_every_view(
    results: dict[str, SplitResults],
) -> None:
    table = view_table(results)
    views = ["identity", "vflip"] * len(MODELS)
    assert table["view"].tolist() == views
    of_identity = iou_table(results).query("proposal == 'best'")
    for split in SPLITS:
        shown = table.loc[table["view"] == "identity", split]
        assert shown.tolist() == of_identity[split].tolist()


def test_the_view_table_tells_what_a_view_costs(results: dict[str, SplitResults]) -> None:
    table = view_table(results)
    identity, flipped = (table[table["view"] == view] for view in ("identity", "vflip"))
    for split in SPLITS:
        names = [f"{split}_difference{end}" for end in ("", "_low", "_high")]
        assert identity[names].isna().all(axis=None)
        difference, low, high = flipped[names].to_numpy().T
        cost = flipped[split].to_numpy() - identity[split].to_numpy()
        np.testing.assert_allclose(difference, cost, atol=1e-5)
        assert (low < difference).all()
        assert (difference < high).all()


def test_the_view_table_sorts_views_as_the_paper_does(results: dict[str, SplitResults]) -> None:
    found = results["shapes_val"]
    shuffled = found.iou.assign(view=found.iou["view"].replace("vflip", "gray"))
    both = pd.concat([shuffled, shuffled[shuffled["view"] == "gray"].assign(view="hflip")])
    table = view_table({"shapes_val": replace(found, iou=both)})
    assert table["view"].tolist() == ["identity", "hflip", "gray"] * len(MODELS)


def test_models_share_the_objects_on_which_they_tie(results: dict[str, SplitResults]) -> None:
    iou = {"large": [0.5, 0.9, 0.2, 0.0], "tiny": [0.5, 0.1, 0.2, 0.0], "small": [0, 0.3, 0.2, 0]}
    objects = pd.concat([pd.DataFrame({"model": k, "iou": v}) for k, v in iou.items()])
    table = best_model_table({"split": replace(results["shapes_val"], objects=objects)})
    assert table["model"].tolist() == ["tiny", "small", "large"]
    expected = np.array([1 / 2 + 2 / 3, 2 / 3, 3 / 2 + 2 / 3]) / 4 * 100
    np.testing.assert_allclose(table["split"], expected)


def test_shares_of_the_best_models_add_up(results: dict[str, SplitResults]) -> None:
    table = best_model_table(results)
    assert table["model"].tolist() == list(MODELS)
    np.testing.assert_allclose(table[list(SPLITS)].sum(), 100)


def test_margins_are_told_of_every_measure_but_the_baseline(
    results: dict[str, SplitResults],
) -> None:
    table = margin_table(results)
    assert set(table["task"]) == set(TASKS)
    assert "sam_score" not in set(table["measure"])
    relative = relative_table(results, "prompt").set_index("measure")["coco_val"]
    (found,) = table.query("task == 'prompt' and measure == 'h_xp'")["coco_val"]
    assert found == pytest.approx(relative["h_xp"] - relative["sam_score"])


def test_the_ablation_shows_the_gaps_without_a_token_and_with_both(
    results: dict[str, SplitResults],
) -> None:
    table = ablation_table(results)
    assert list(table["tokens"].unique()) == ["no_mask", "no_iou", "best"]
    assert list(table["task"].unique()) == ["model", "prompt", "task"]
    assert set(table["model"]) == {"tiny"}
    assert set(table["measure"]) == set(HEAD_MEASURES) - {"usam"}
    both = table[table["tokens"] == "best"].set_index(["measure", "trained_on"])
    for task in ("model", "prompt", "task"):
        for row in relative_table(results, task).query("trained_on != ''").to_dict("records"):
            shown = both.loc[(row["measure"], row["trained_on"])]
            assert shown["coco_val"] == row["coco_val"]
            assert shown["coco_val_high"] == row["coco_val_high"]
    no_mask = table[table["tokens"] == "no_mask"].set_index(["measure", "trained_on"])
    assert (no_mask["coco_val"] != both["coco_val"]).any()


def test_the_papers_ablation_is_nearest_to_the_gaps_of_two_heads() -> None:
    relative = paper_numbers("relative").query("data_set == 'COCO'").set_index("measure")
    ablation = paper_numbers("ablation")
    both = ablation[ablation["tokens"] == "best"]
    assert both["measure"].tolist() == ["delta_theta", "delta_xp", "delta_a"]
    for row in both.to_dict("records"):
        gap, direct = (
            abs(row["percent"] - relative["percent"][row["measure"] + end]) for end in ("", "_star")
        )
        assert gap < direct
        assert gap < 0.14


def test_heads_of_the_selected_proposal_stand_beside_those_of_the_best(
    results: dict[str, SplitResults],
) -> None:
    table = selected_table(results)
    assert list(table["tokens"].unique()) == ["best", "selected"]
    for _, of_set in table.groupby("tokens"):
        assert sorted(of_set["measure"]) == sorted([*HEAD_MEASURES] * len(TRAIN_SPLITS))
    assert table["shapes_val_low"].lt(table["shapes_val"]).all()


def test_token_margins_are_differences_to_the_best_proposals(
    results: dict[str, SplitResults],
) -> None:
    margins = token_margin_table(results)
    assert list(margins["tokens"].unique()) == ["selected", "no_mask", "no_iou"]
    key = ["task", "measure", "trained_on"]
    both = {
        tokens: rows.set_index(key) for tokens, rows in selected_table(results).groupby("tokens")
    }
    expected = both["selected"]["coco_val"] - both["best"]["coco_val"]
    found = margins[margins["tokens"] == "selected"].set_index(key)["coco_val"]
    assert found.to_dict() == pytest.approx(expected.to_dict(), abs=1e-5)


def test_without_other_token_sets_their_tables_have_no_row(
    results: dict[str, SplitResults],
) -> None:
    alone = {
        split: replace(found, auc=found.auc[found.auc["tokens"].isin(("", "best"))])
        for split, found in results.items()
    }
    for table in (ablation_table, selected_table, token_margin_table):
        assert table(alone).empty


def test_correlations_are_those_of_all_measures_the_papers_first() -> None:
    assert sorted(correlation_names()) == sorted([IOU_GT, *UNTRAINED_MEASURES, *HEAD_MEASURES])
    of_paper = paper_numbers("correlation").columns[2:]
    assert (correlation_names()[: len(of_paper)]) == list(of_paper)


def test_correlation_tables_have_a_row_and_a_column_a_measure(
    results: dict[str, SplitResults],
) -> None:
    table = correlation_table(results["shapes_val"])
    assert list(table.columns) == ["train_split", "model", "row", *correlation_names()]
    assert table["row"].tolist() == correlation_names() * len(MODELS) * len(TRAIN_SPLITS)
    block = table.iloc[: len(correlation_names())][correlation_names()].to_numpy()
    np.testing.assert_allclose(block, block.T)
    np.testing.assert_allclose(np.diag(block), 1)


def test_the_entropy_over_views_is_told_where_all_entropies_are(
    results: dict[str, SplitResults],
) -> None:
    auc = results["coco_val"].auc
    is_row = (auc["task"] == "segmentation") & (auc["model"] == "large") & (auc["measure"] == "h_t")
    (row,) = auc[is_row].to_dict("records")
    tables = {
        "relative": relative_table(results, "segmentation"),
        "margin": margin_table(results).query("task == 'segmentation'"),
        "auc": absolute_table(results, "segmentation").query("model == 'large'"),
    }
    for value, table in tables.items():
        (shown,) = table.query("measure == 'h_t'").to_dict("records")
        for end in ("", "_low", "_high"):
            assert shown[f"coco_val{end}"] == pytest.approx(100 * row[value + end])
    assert "h_t" in curve_table(results, "segmentation")
    overview = overview_table(results, "coco_val").set_index("measure").loc["h_t"]
    told = [f"segmentation{end}" for end in ("", "_low", "_high")]
    assert overview.dropna().index.tolist() == told


@pytest.mark.parametrize("task", TASKS)
def test_the_first_split_and_heads_have_plain_columns_in_plots(
    results: dict[str, SplitResults], task: str
) -> None:
    table = curve_table(results, task)
    plain = [*BOUNDS, *TASK_MEASURES[task]]
    assert table.columns[0] == "corrected_fraction"
    assert set(plain) <= set(table.columns)
    others = [name for name in TASK_MEASURES[task] if name in HEAD_MEASURES]
    assert {f"{name}@coco_train" for name in others} <= set(table.columns)
    assert {f"coco_val:{name}" for name in plain} <= set(table.columns)
    assert len(table.columns) == 1 + 2 * (len(plain) + len(others))
    assert table.notna().all(axis=None)
    np.testing.assert_allclose(table["corrected_fraction"], np.linspace(0, 1, 21))


def test_the_overview_shows_each_task_its_own_measures(results: dict[str, SplitResults]) -> None:
    table = overview_table(results, "coco_val").set_index("measure")
    assert list(table.columns) == [task + end for task in TASKS for end in ("", "_low", "_high")]
    is_untrained = [name in UNTRAINED_MEASURES for name in table.index]
    assert is_untrained == sorted(is_untrained, reverse=True)
    for task in TASKS:
        expected = set(TASK_MEASURES[task])
        shown = {name.partition("@")[0] for name in table.index[table[task].notna()]}
        assert shown == expected
        assert table[f"{task}_low"].notna().equals(table[task].notna())


def test_metrics_leave_out_a_relative_auc_that_does_not_exist(
    results: dict[str, SplitResults],
) -> None:
    found = results["shapes_val"]
    names = ["relative", "relative_low", "relative_high"]
    flat = found.auc.assign(**found.auc[names].where(found.auc["task"] != "task"))
    told = metrics({"shapes_val": SplitResults(**{**vars(found), "auc": flat})})["shapes_val"]
    assert set(told["mean_iou"]) == set(MODELS)
    auc = {"auc", "auc_low", "auc_high"}
    assert set(told["task"]["h_a"]) == auc  # type: ignore[arg-type]
    assert set(told["prompt"]["delta_xp@coco_train"]) == {  # type: ignore[arg-type]
        *auc,
        *(f"relative_{name}" for name in auc),
    }


def test_tasks_that_were_not_evaluated_are_not_shown(results: dict[str, SplitResults]) -> None:
    found = results["shapes_val"]
    fewer = found.auc[(found.auc["task"] != "model") & (found.auc["model"] != "tiny")]
    shown = task_models({"shapes_val": SplitResults(**{**vars(found), "auc": fewer})})
    assert shown == {"prompt": "small", "task": "small", "segmentation": "large"}


def test_a_figure_draws_bounds_and_measures(results: dict[str, SplitResults]) -> None:
    html = task_figure(results["shapes_val"].curves, "task", TRAIN_SPLITS, "here")
    names = re.findall(r'"name":"([^"]+)"', html)
    assert names[:3] == ["worst", "oracle", "random"]
    labels = [json.loads(f'"{name}"') for name in names[3:]]
    assert labels == [
        *(measure_label(name) for name in TASK_MEASURES["task"] if name in UNTRAINED_MEASURES),
        *("Δ_A", "Δ*_A", "Δ_A (coco_train)", "Δ*_A (coco_train)"),
    ]
    assert 'id="here"' in html
