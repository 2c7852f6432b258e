"""Which objects of a split the gallery shows, told from its table of objects."""

from typing import Final

import numpy as np
import pandas as pd

from pipeline.evaluation import TASKS, default_model, predicted_iou
from pipeline.gallery import extremes

GALLERY_MEASURES: Final = {
    "model": ("delta_theta_star", "h_theta"),
    "prompt": ("delta_xp_star", "h_xp"),
    "task": ("delta_a_star", "h_a"),
    "segmentation": ("usam", "h_std"),
}
"""By which a task's objects are ranked: of the heads, and where there are none."""

IOUS: Final = {
    "prompt": ("iou", "refined_iou"),
    "task": ("selected_iou", "iou"),
}
"""Columns of the IoU before and after a correction by the same model."""


def gallery_rows(objects: pd.DataFrame, n_objects: int) -> pd.DataFrame:
    """The most and the least uncertain objects of each task, by the first train split's heads.

    Parameters
    ----------
    objects
        As in ``objects.csv``.
    n_objects
        At either end.

    Returns
    -------
    Columns of the gallery's table, save ``file`` and ``picture``, and ``row``, the place of the
    object in its split.
    """
    models = tuple(objects["model"].unique())
    of_model = {
        str(model): rows.reset_index(drop=True)
        for model, rows in objects.groupby("model", sort=False)
    }
    blocks = [
        _ends(task, of_model[default_model(task, models)], corrected, n_objects)
        for task, corrected in _corrected(of_model).items()
    ]
    return pd.concat(blocks, ignore_index=True)


def _corrected(of_model: dict[str, pd.DataFrame]) -> dict[str, "pd.Series[float]"]:
    """IoU of every object after each correction; the model task only with tiny and large."""
    models = tuple(of_model)
    corrected = {
        task: of_model[default_model(task, models)][after] for task, (_, after) in IOUS.items()
    }
    corrected["segmentation"] = pd.Series(1.0, index=corrected["task"].index)
    if {"tiny", "large"} <= set(models):
        corrected["model"] = of_model["large"]["iou"]
    return {task: corrected[task] for task in TASKS if task in corrected}


def _ends(
    task: str, rows: pd.DataFrame, corrected_iou: "pd.Series[float]", n_objects: int
) -> pd.DataFrame:
    column = _measure_column(task, list(rows.columns))
    measure, _, train_split = column.partition("@")
    uncertainty = predicted_iou(measure, rows[column].to_numpy(np.float64))
    rank = np.empty(len(rows), np.int64)
    rank[np.argsort(-uncertainty, kind="stable")] = np.arange(1, len(rows) + 1)
    before, _ = IOUS.get(task, ("iou", ""))
    table = pd.DataFrame(
        {
            "task": task,
            "rank": rank,
            "object_id": rows["object_id"],
            "model": rows["model"],
            "measure": measure,
            "train_split": train_split,
            "uncertainty": uncertainty,
            "iou": rows[before],
            "corrected_iou": corrected_iou,
            "row": np.arange(len(rows)),
        }
    )
    ends = zip(("most", "least"), extremes(uncertainty, n_objects), strict=True)
    return pd.concat([table.iloc[shown].assign(end=end) for end, shown in ends])


def _measure_column(task: str, columns: list[str]) -> str:
    trained, untrained = GALLERY_MEASURES[task]
    return next((name for name in columns if name.startswith(f"{trained}@")), untrained)
