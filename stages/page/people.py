"""Verdicts on the plan of what is asked about people's segments, for the page."""

from typing import Any, Final

import pandas as pd

from pipeline.scoring.people import PLAN
from stages.page import labels
from stages.page.verdict import holm
from stages.tables.statistics import BY_NAME

_TEST: Final = ["statistic", "measure", "model"]
"""Columns that identify a test of the plan."""


def verdicts(scores: pd.DataFrame, train_split: str) -> pd.DataFrame:
    """Tests of the plan's hypotheses; no row if one person outlined each image.

    ``scores`` are those of a split. Heads are those of ``train_split``.

    Returns
    -------
    The statistic, measure and model of each test, and its ``value``, ``low`` and ``high``, of heads
    of the first seed; ``p``, the largest p-value of the seeds; ``verdict``: ``repeated`` or
    ``reversed`` if the intervals of all seeds lie above or below 0 and Holm's procedure over all
    tests rejects 0, else ``cannot tell``.
    """
    scores = scores[scores["train_split"].isin(["", train_split])]
    tested = scores["statistic"].str.removesuffix("_p")
    pairs = zip(tested, scores["measure"], strict=True)
    is_planned = [measure in PLAN.get(statistic, ()) for statistic, measure in pairs]
    planned = scores[is_planned].assign(statistic=tested[is_planned])
    is_p = scores["statistic"][is_planned].str.endswith("_p")
    by_test = planned[~is_p].groupby(_TEST, sort=False)
    rows = planned[~is_p & planned["seed"].isna()].set_index(_TEST)[["value", "low", "high"]]
    rows["p"] = planned[is_p].groupby(_TEST)["value"].max()
    is_sure = pd.Series(holm(rows["p"].tolist()), rows.index)
    rows["verdict"] = "cannot tell"
    rows.loc[is_sure & (by_test["low"].min() > 0), "verdict"] = "repeated"
    rows.loc[is_sure & (by_test["high"].max() < 0), "verdict"] = "reversed"
    return rows.reset_index()


def plan_table(rows: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows of the plan's table on the page: the words of a hypothesis, and its tests by model.

    ``rows`` are those of ``verdicts``.
    """
    by_hypothesis = dict(iter(rows.groupby(_TEST[:2])))
    return [
        {
            "statistic": BY_NAME[statistic].symbol,
            "measure": labels.measure_label(measure),
            "tests": by_hypothesis[statistic, measure].set_index("model").to_dict("index"),
        }
        for statistic, measures in PLAN.items()
        for measure in measures
        if (statistic, measure) in by_hypothesis
    ]
