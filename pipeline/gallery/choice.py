"""Chooses the objects that the gallery shows from the table of a split's objects."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import numpy as np
import pandas as pd

from pipeline.gallery.pictures import extremes
from pipeline.scoring.measures import GALLERY_MEASURES, predicted_iou
from pipeline.scoring.tasks import Correction, default_corrections, judged_proposal
from pipeline.vocabulary import PROTOCOLS

Judging = tuple[str, str, str]
"""Protocol, judged proposal and model."""

KEYS: Final = ["protocol", "judged", "model"]

IOU_COLUMNS: Final = {
    "best": "best_iou",
    "selected": "selected_iou",
    "refined": "refined_iou",
    "refined_selected": "refined_selected_iou",
}
"""Columns of ``objects.csv`` by the mask whose IoU they hold."""


def ranking_columns(columns: Sequence[str]) -> list[str]:
    """Columns of ``objects.csv`` that the gallery reads: the IoUs it shows, what ranks a task.

    None depends on several views, so that adding a view changes no picture.
    """
    measures = {name for task in GALLERY_MEASURES for name in _measure_columns(task, columns)}
    places = {"protocol", "judged", "object_id", "model", "iou"}
    read = {*places, *IOU_COLUMNS.values(), *measures}
    return [name for name in columns if name in read]


def by_judged(blocks: Iterable[pd.DataFrame]) -> dict[Judging, pd.DataFrame]:
    """Rows of ``objects.csv``, in their order, by protocol, judged proposal and model.

    Parameters
    ----------
    blocks
        The table in pieces: as a whole it takes thrice the memory.
    """
    parts: dict[Judging, list[pd.DataFrame]] = {}
    for block in blocks:
        for (protocol, judged, model), rows in block.groupby(KEYS, sort=False):
            key = str(protocol), str(judged), str(model)
            parts.setdefault(key, []).append(rows.drop(columns=KEYS))
    return {key: pd.concat(some, ignore_index=True) for key, some in parts.items()}


def gallery_rows(objects: Mapping[Judging, pd.DataFrame], n_objects: int) -> pd.DataFrame:
    """The most and the least uncertain objects by protocol, task and kind of heads.

    Heads are those of the first train split; without heads, another measure ranks the objects.

    Parameters
    ----------
    objects
        Rows of ``objects.csv`` as ``by_judged`` gives them, with at least its ``ranking_columns``.
    n_objects
        Objects at each end.

    Returns
    -------
    Columns of the gallery's table except ``file`` and ``picture``, and ``row``, the place of the
    object in its split.
    """
    ious = {
        model: {mask: rows[column].to_numpy() for mask, column in IOU_COLUMNS.items()}
        for (_, _, model), rows in objects.items()
    }
    blocks = []
    for protocol in PROTOCOLS:
        for task, model, correction in default_corrections(ious, protocol):
            rows = objects[protocol, judged_proposal(protocol, task), model]
            for column in _measure_columns(task, list(rows.columns)):
                shown = _ends(rows, column, correction, model=model, n_objects=n_objects)
                blocks.append(shown.assign(protocol=protocol, task=task))
    return pd.concat(blocks, ignore_index=True)


def _ends(
    rows: pd.DataFrame, column: str, correction: Correction, *, model: str, n_objects: int
) -> pd.DataFrame:
    measure, _, train_split = column.partition("@")
    uncertainty = predicted_iou(measure, rows[column].to_numpy(np.float64))
    rank = np.empty(len(rows), np.int64)
    rank[np.argsort(-uncertainty, kind="stable")] = np.arange(1, len(rows) + 1)
    table = pd.DataFrame(
        {
            "rank": rank,
            "object_id": rows["object_id"],
            "model": model,
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


def _measure_columns(task: str, columns: Sequence[str]) -> list[str]:
    *trained, untrained = GALLERY_MEASURES[task]
    of_first_split = [
        next((name for name in columns if name.startswith(f"{measure}@")), "")
        for measure in trained
    ]
    return [name for name in of_first_split if name] or [untrained]
