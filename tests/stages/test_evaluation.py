"""Statistics of a split follow from its table of objects, by other libraries."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score

from pipeline.scoring.measures import BY_NAME
from pipeline.vocabulary import PROTOCOLS
from stages.tables.report_table import of_protocol
from storage.outputs.results import SplitResults
from tests.fixtures.eval_split import SPLITS


@pytest.fixture(params=SPLITS)
def found(results: dict[str, SplitResults], request: pytest.FixtureRequest) -> SplitResults:
    return results[request.param]


@pytest.fixture(params=PROTOCOLS)
def own(found: SplitResults, request: pytest.FixtureRequest) -> SplitResults:
    """Results of one protocol, of its own masks."""
    protocol = request.param
    one = of_protocol({"split": found}, protocol)["split"]
    is_own = one.objects["judged"] == protocol
    is_method = one.auc["tokens"].isin(["", protocol])
    return replace(one, objects=one.objects[is_own], auc=one.auc[is_method])


def column_of(measure: str, train_split: str) -> str:
    return f"{measure}@{train_split}" if train_split else measure


def test_ranks_and_failures_are_those_of_the_objects(own: SplitResults) -> None:
    rows = own.statistics[own.statistics["statistic"].isin(["spearman", "auroc", "bias"])]
    assert set(rows["model"]) == set(own.objects["model"])
    for row in rows.to_dict("records"):
        objects = own.objects[own.objects["model"] == row["model"]]
        shown = objects[column_of(row["measure"], row["train_split"])].to_numpy()
        is_iou = BY_NAME[row["measure"]].predicted_iou
        uncertainty, iou = (1 - shown if is_iou else shown), objects["iou"].to_numpy()
        match row["statistic"]:
            case "spearman" if (
                np.ptp(uncertainty) == 0
            ):  # the largest model gains nothing of itself
                expected = np.nan
            case "spearman":
                expected = stats.spearmanr(1 - iou, uncertainty).statistic
            case "auroc":
                fails = iou < row["iou_below"]
                expected = (
                    roc_auc_score(fails, uncertainty) if 0 < fails.sum() < len(iou) else np.nan
                )
            case _:
                expected = (shown - iou).mean()
        assert row["value"] == pytest.approx(expected, abs=1e-6, nan_ok=True), row
