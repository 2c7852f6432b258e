"""Which objects of a split the gallery shows, told from its table of objects."""

from collections.abc import Sequence
from typing import Final

import numpy as np
import pandas as pd

from pipeline.gallery.pictures import extremes
from pipeline.scoring.measures import GALLERY_MEASURES, predicted_iou
from pipeline.scoring.tasks import Correction, default_corrections

IOU_COLUMNS: Final = {"best": "iou", "selected": "selected_iou", "refined": "refined_iou"}
"""Of ``objects.csv``, by the mask whose IoU they hold."""


def ranking_columns(columns: Sequence[str]) -> list[str]:
    """Columns of ``objects.csv`` that the gallery reads: whose IoUs are shown, what ranks a task.

    None is of several views, so that one more changes no picture.
    """
    measures = {_measure_column(task, columns) for task in GALLERY_MEASURES}
    read = {"object_id", "model", *IOU_COLUMNS.values(), *measures}
    return [name for name in columns if name in read]


def gallery_rows(objects: pd.DataFrame, n_objects: int) -> pd.DataFrame:
    """The most and the least uncertain objects of each task, by the first train split's heads.

    Parameters
    ----------
    objects
        As in ``objects.csv``, its ``ranking_columns`` at least.
    n_objects
        At either end.

    Returns
    -------
    Columns of the gallery's table, save ``file`` and ``picture``, and ``row``, the place of the
    object in its split.
    """
    of_model = {
        str(model): rows.reset_index(drop=True)
        for model, rows in objects.groupby("model", sort=False)
    }
    ious = {
        model: {mask: rows[column].to_numpy() for mask, column in IOU_COLUMNS.items()}
        for model, rows in of_model.items()
    }
    blocks = [
        _ends(task, of_model[model], correction, n_objects)
        for task, model, correction in default_corrections(ious)
    ]
    return pd.concat(blocks, ignore_index=True)


def _ends(task: str, rows: pd.DataFrame, correction: Correction, n_objects: int) -> pd.DataFrame:
    column = _measure_column(task, list(rows.columns))
    measure, _, train_split = column.partition("@")
    uncertainty = predicted_iou(measure, rows[column].to_numpy(np.float64))
    rank = np.empty(len(rows), np.int64)
    rank[np.argsort(-uncertainty, kind="stable")] = np.arange(1, len(rows) + 1)
    table = pd.DataFrame(
        {
            "task": task,
            "rank": rank,
            "object_id": rows["object_id"],
            "model": rows["model"],
            "measure": measure,
            "train_split": train_split,
            "uncertainty": uncertainty,
            "iou": correction.iou,
            "corrected_iou": correction.corrected_iou,
            "row": np.arange(len(rows)),
        }
    )
    ends = zip(("most", "least"), extremes(uncertainty, n_objects), strict=True)
    return pd.concat([table.iloc[shown].assign(end=end) for end, shown in ends])


def _measure_column(task: str, columns: Sequence[str]) -> str:
    trained, untrained = GALLERY_MEASURES[task]
    return next((name for name in columns if name.startswith(f"{trained}@")), untrained)
