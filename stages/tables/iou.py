"""Mean IoU of models, views and proposals as tables in the paper's form."""

import numpy as np
import pandas as pd

from pipeline.views import view_order
from pipeline.vocabulary import JUDGED
from stages.tables.rows import BOUNDS_OF, Results, a_column_a_split, all_rows, models_in_order


def iou_table(results: Results) -> pd.DataFrame:
    """Mean IoU in percent of every model's best and selected masks, from one click and eight."""
    rows = all_rows(results, "iou")
    rows = rows[rows["view"] == "identity"]
    return a_column_a_split(models_in_order(rows), ["model", "proposal"], "mean_iou")


def view_table(results: Results) -> pd.DataFrame:
    """Mean IoU of each model's judged mask in each view, in percent: the paper's Table 10.

    Parameters
    ----------
    results
        Results of one protocol.

    Returns
    -------
    With bounds; ``<split>_difference`` is the change from identity, in percentage points.
    """
    rows = all_rows(results, "iou")
    rows = rows[rows["proposal"].isin(JUDGED)].sort_values(
        "view", key=lambda view: view.map(view_order), kind="stable"
    )
    # Identity has no difference from itself.
    gains = ["gain" + end for end in ("", *BOUNDS_OF)]
    rows[gains] = rows[gains].where(rows["view"] != "identity")
    index = ["model", "view"]
    means = a_column_a_split(models_in_order(rows), index, "mean_iou")
    differences = a_column_a_split(models_in_order(rows), index, "gain", "_difference")
    return means.merge(differences, on=index)


def best_model_table(results: Results) -> pd.DataFrame:
    """Share of the objects on which each model is the best, in percent: the paper's Table 9.

    Notes
    -----
    Models are compared by the mask from one click that the protocol judges. Those that tie for the
    best share an object evenly, so that a column adds up to 100.
    """
    columns = {split: _best_shares(_own(found.objects)) for split, found in results.items()}
    table = pd.DataFrame(columns).mul(100).rename_axis("model").reset_index()
    return models_in_order(table).reset_index(drop=True)


def _own(objects: pd.DataFrame) -> pd.DataFrame:
    """Rows of the mask that most tasks of their protocol judge."""
    return objects[objects["judged"] == objects["protocol"]]


def _best_shares(objects: pd.DataFrame) -> "pd.Series[float]":
    # Rows of a model are in the order of the objects; ids may repeat from video to video.
    by_model = {model: rows["iou"].to_numpy() for model, rows in objects.groupby("model")}
    iou = np.stack(list(by_model.values()))
    is_best = iou == iou.max(axis=0)
    return pd.Series((is_best / is_best.sum(axis=0)).mean(axis=1), index=list(by_model))
