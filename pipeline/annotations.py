"""Ranks annotations by how much models doubt them.

Models doubt an annotation if their masks are expected to be good, but are far from the annotation.
The order says which annotations to look at first. It proves nothing: the models may be wrong.
"""

from typing import Final

import numpy as np
import pandas as pd
from jaxtyping import Float, Int, Shaped

from pipeline.proposals import Values

DOUBTED: Final = "annotation"
"""Value of the gallery's column ``end`` for annotations to check."""

DOUBT: Final = "annotation_doubt"
"""Value of the gallery's column ``measure`` for annotations to check."""


def model_evidence(
    of_selected: Values,
    expected_iou: Float[np.ndarray, "object prompt proposal"],
    iou: Float[np.ndarray, "object prompt proposal"],
) -> tuple[Values, Values]:
    """Expected IoU of a model's masks of each annotation, and their highest IoU with it.

    The first is the mean of two expected IoUs: of the selected mask for the annotation's box
    (``of_selected``), and the highest of all masks. A click inside half of an object finds the
    whole object, which the box of the half hides.

    Notes
    -----
    Chosen of about 40 rules on drawn scenes and photographs of BSDS500's validation images.
    Clicks alone find fewer halved annotations of drawn scenes than clicks and the box do.
    """
    return (of_selected + expected_iou.max(axis=(1, 2))) / 2, iou.max(axis=(1, 2))


def annotation_doubt(
    expected_iou: Float[np.ndarray, "object model"], iou: Float[np.ndarray, "object model"]
) -> Values:
    """How much models doubt each annotation: mean over the models of expected IoU times 1 - IoU.

    In [0, 1]: high if models expect good masks, and none of their masks is near the annotation.

    >>> annotation_doubt(np.array([[0.9, 0.8], [0.1, 0.2]]), np.array([[0.2, 0.1], [0.2, 0.1]]))
    array([0.72, 0.13])
    """
    doubt: Values = (expected_iou.astype(np.float64) * (1 - iou.astype(np.float64))).mean(axis=1)
    return doubt


def annotation_table(
    object_id: Int[np.ndarray, "object"],
    file: Shaped[np.ndarray, "object"],
    group: Int[np.ndarray, "object"],
    prompt: str,
    expected_iou: Float[np.ndarray, "object model"],
    iou: Float[np.ndarray, "object model"],
) -> pd.DataFrame:
    """Table of all annotations, the most doubted first, with the columns of ``annotations.csv``.

    The column ``rank`` counts from 1; ``row`` is the index of the object in its split, from 0.

    Parameters
    ----------
    file, group
        File of each object's image, and index of the image, or video.
    prompt
        The prompt set of the selected masks: the box of the annotation, or the click ``center``.
    expected_iou, iou
        Results of ``model_evidence`` for each model: the expected IoU of its masks, and their
        highest IoU with the annotation.
    """
    doubt = annotation_doubt(expected_iou, iou)
    order = np.argsort(-doubt, kind="stable")
    table = pd.DataFrame(
        {
            "protocol": "selected",
            "row": np.arange(len(doubt)),
            "object_id": object_id,
            "file": file,
            "group": group,
            "prompt": prompt,
            "doubt": doubt,
            "expected_iou": expected_iou.mean(axis=1, dtype=np.float64),
            "iou": iou.mean(axis=1, dtype=np.float64),
            "best_iou": iou.max(axis=1).astype(np.float64),
        }
    ).iloc[order]
    table.insert(1, "rank", np.arange(1, len(doubt) + 1))
    return table.reset_index(drop=True)


def doubted_rows(annotations: pd.DataFrame, model: str, n_objects: int) -> pd.DataFrame:
    """Rows of the gallery for the ``n_objects`` most doubted annotations, with masks of ``model``.

    ``annotations`` is a result of ``annotation_table``. The rows have its columns, such as
    ``prompt``, the prompt set of the masks, and those of ``gallery_rows``.
    """
    return annotations.head(n_objects).assign(
        task="segmentation",
        end=DOUBTED,
        model=model,
        measure=DOUBT,
        train_split="",
        uncertainty=annotations["doubt"],
        corrected_iou=1.0,
    )
