"""How good masks are, and how useful measures are in practice, as tables."""

from typing import Final

import numpy as np
import pandas as pd

from pipeline.scoring.measures import BY_NAME
from pipeline.scoring.statistics import PIXEL_STATISTICS, STATISTICS, shown_model
from pipeline.views import view_order
from pipeline.vocabulary import JUDGED
from stages.tables import report_table
from storage.outputs.results import SplitResults

LABELS: Final = {statistic.name: statistic.symbol for statistic in STATISTICS}
"""Statistics as people read them."""

PIXEL_LABELS: Final = {statistic.name: statistic.symbol for statistic in PIXEL_STATISTICS}
"""Statistics of pixels as people read them."""

IN_REGIONS: Final = {"whole": "", "band": ", band"}
"""Suffix of their names for a part of the mask."""

SET_COLUMNS: Final = {"coverage": "coverage", "proposals": "n_masks", "more": "margin"}
"""Columns of ``mask_sets.csv`` by what the table calls them."""

ALONE: Final = "sam"
"""Method of the runtime table that is a model without any measure."""


def selective_table(results: report_table.Results) -> pd.DataFrame:
    """AURC, AUGRC and correlations with the risk, in percent, of the largest model's masks."""
    return _table_of("selective", _of_largest(_statistics(results)), [])


def failure_table(results: report_table.Results) -> pd.DataFrame:
    """Detection of failures among the largest model's masks, in percent."""
    rows = _of_largest(_statistics(results)).sort_values("iou_below", kind="stable")
    table = _table_of("failures", rows, ["iou_below"])
    failing = table.pop("iou_below").map(", IoU < {:g}".format)
    return table.assign(statistic=table["statistic"] + failing)


def calibration_table(results: report_table.Results) -> pd.DataFrame:
    """How far predicted IoUs are from the true ones, in percentage points, of every model."""
    return _table_of("calibration", report_table.models_in_order(_statistics(results)), ["model"])


def pixel_table(results: report_table.Results) -> pd.DataFrame:
    """How well probabilities of every model's masks agree with the truth, times 100."""
    rows = report_table.models_in_order(report_table.all_rows(results, "pixels"))
    rows = rows.assign(
        statistic=rows["statistic"].map(PIXEL_LABELS) + rows["region"].map(IN_REGIONS)
    )
    return report_table.a_column_a_split(rows, ["model", "statistic"], "value")


def promise_table(results: report_table.Results) -> pd.DataFrame:
    """Share of the masks that each promise keeps, in percent."""
    rows = report_table.all_rows(results, "promises").sort_values("iou_at_least", kind="stable")
    rows = rows.assign(
        masks=rows["iou_at_least"].map("IoU ≥ {:g}".format),
        promised="of " + rows["promise"] + rows["alpha"].map(", α = {:g}".format),
        kept_low=np.nan,
        kept_high=np.nan,
    )
    names = ["masks", "measure", "trained_on", "promised"]
    # A split whose images show nothing has no rows.
    return report_table.a_column_a_split(rows, names, "kept", splits=results)


def set_table(results: report_table.Results) -> pd.DataFrame:
    """How often mask sets have a good proposal, in percent, and how many proposals they have."""
    rows = report_table.all_rows(results, "mask_sets")
    rows = rows.assign(
        sets=rows["iou_at_least"].map("IoU ≥ {:g}".format)
        + (1 - rows["alpha"]).map(" in {:.0%} of the sets".format)
    )
    shown = []
    for statistic, column in SET_COLUMNS.items():
        # Those of proposals are not shares, which the table turns into percent.
        unit = 1 if column == "coverage" else 100
        values = {
            "value" + end: rows[column + end] / unit if column + end in rows else np.nan
            for end in report_table.WITH_BOUNDS
        }
        shown.append(rows.assign(statistic=statistic, **values))
    names = ["sets", "measure", "trained_on", "statistic"]
    return report_table.a_column_a_split(pd.concat(shown), names, "value", splits=results)


def routing_table(results: report_table.Results, timed: pd.DataFrame) -> pd.DataFrame:
    """Clicks sent on and time needed to match the largest model by routing, in percent.

    Parameters
    ----------
    timed
        As in ``runtime.csv``. Measures that it does not time have no row of their time.
    """
    rows = _statistics(results)
    rows = rows[rows["statistic"] == "routed"].assign(told=LABELS["routed"])
    models = report_table.models_of(results)
    small = rows["measure"].map(
        lambda measure: seconds_of(timed, models[0], BY_NAME[measure].timed_as)
    )
    large = seconds_of(timed, models[-1])
    numbers = ["value" + end for end in report_table.WITH_BOUNDS]
    costs = rows.assign(
        told="time, of the largest model's",
        **{name: (small + rows[name] * large) / large for name in numbers},
    )
    both = pd.concat([rows, costs[small.notna()]])
    return report_table.a_column_a_split(both, ["measure", "trained_on", "told"], "value")


def seconds_of(timed: pd.DataFrame, model: str, method: str = ALONE) -> float:
    """Seconds per click of a model by a method of the runtime table; NaN if it is not timed.

    Those of the model alone where the rounds cannot tell the method's from them.
    """
    rows = timed[timed["model"] == model].set_index("method")
    if method not in rows.index:
        return np.nan
    if rows["ratio_low"][method] <= 1 <= rows["ratio_high"][method]:
        method = ALONE
    return float(rows["seconds"][method])


def _statistics(results: report_table.Results) -> pd.DataFrame:
    return report_table.all_rows(results, "statistics").reset_index(drop=True)


def _of_largest(rows: pd.DataFrame) -> pd.DataFrame:
    return rows[rows["model"] == shown_model(list(rows["model"].unique()))].copy()


def _table_of(table: str, rows: pd.DataFrame, names: list[str]) -> pd.DataFrame:
    shown = [statistic.name for statistic in STATISTICS if statistic.table == table]
    rows = rows[rows["statistic"].isin(shown)]
    rows = rows.assign(statistic=rows["statistic"].map(LABELS))
    return report_table.a_column_a_split(
        rows, [*names, "measure", "trained_on", "statistic"], "value"
    )


def iou_table(results: report_table.Results) -> pd.DataFrame:
    """Mean IoU in percent of every model's best and selected masks, from one click and eight."""
    rows = report_table.all_rows(results, "iou")
    rows = rows[rows["view"] == "identity"]
    return report_table.a_column_a_split(
        report_table.models_in_order(rows), ["model", "proposal"], "mean_iou"
    )


def view_table(results: report_table.Results) -> pd.DataFrame:
    """Mean IoU of each model's judged mask in each view, in percent: the paper's Table 10.

    Parameters
    ----------
    results
        Results of one protocol.

    Returns
    -------
    With bounds; ``<split>_difference`` is the change from identity, in percentage points.
    """
    rows = report_table.all_rows(results, "iou")
    rows = rows[rows["proposal"].isin(JUDGED)].sort_values(
        "view", key=lambda view: view.map(view_order), kind="stable"
    )
    # Identity has no difference from itself.
    gains = ["gain" + end for end in report_table.WITH_BOUNDS]
    rows[gains] = rows[gains].where(rows["view"] != "identity")
    rows = report_table.models_in_order(rows)
    return report_table.a_column_a_split(rows, ["model", "view"], "mean_iou", difference="gain")


def best_model_table(results: report_table.Results) -> pd.DataFrame:
    """Share of the objects on which each model is the best, in percent: the paper's Table 9.

    Returns
    -------
    No rows for a single model.

    Notes
    -----
    Models are compared by the mask from one click that the protocol judges. Those that tie for the
    best share an object evenly, so that a column adds up to 100.
    """
    columns = {split: _best_shares(found) for split, found in results.items()}
    table = pd.DataFrame(columns).mul(100).rename_axis("model").reset_index()
    return table if len(table) > 1 else table.iloc[:0]


def _best_shares(found: SplitResults) -> "pd.Series[float]":
    by_model = {
        model: rows["iou"].to_numpy() for model, rows in report_table.own_objects(found).items()
    }
    iou = np.stack(list(by_model.values()))
    is_best = iou == iou.max(axis=0)
    return pd.Series((is_best / is_best.sum(axis=0)).mean(axis=1), index=list(by_model))
