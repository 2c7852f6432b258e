"""Tables that are no pivot of scores, and the metrics."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from pipeline.scoring.measures import (
    HEAD_MEASURES,
    IOU_GT,
    UNTRAINED_MEASURES,
    uncertainty_column,
)
from pipeline.vocabulary import TASKS
from stages.tables.paper import paper_numbers
from stages.tables.report_table import Results
from stages.tables.special_tables import (
    best_model_table,
    correlation_names,
    correlation_table,
    curve_table,
    metrics,
)
from storage.outputs.results import SplitResults
from tests.fixtures.eval_split import SPLITS, TRAIN_SPLITS
from tests.fixtures.mini import MODELS
from tests.fixtures.scores import rows_of


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
        for name, split in {"sam_score": "", "usam": "coco_train"}.items():
            predicted = 1 - of_model[uncertainty_column(name, split)]
            expected = np.corrcoef(of_model[f"{protocol}_iou"], predicted)[0, 1]
            assert rows[name][model] == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("task", TASKS)
def test_tables_have_the_curves_of_every_split(
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
        scores = rows_of(
            results[split].scores,
            protocol="selected",
            task="task",
            model="tiny",
            statistic="relative",
        )
        of_first = {"h_a": ("", ""), "delta_a_star": (TRAIN_SPLITS[0], "selected")}
        for measure, (train_split, tokens) in of_first.items():
            rows = rows_of(scores, measure=measure, train_split=train_split, tokens=tokens)
            assert found["task"][measure] == pytest.approx(rows["value"].item(), abs=1e-6)
