"""Answers for an ML backend of Label Studio: clicks or a box in, a mask as brush region out.

Input and output are plain data, so no package of Label Studio is needed here.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import numpy as np
from jaxtyping import UInt8

from pipeline.predictor import PromptSet, UncertainPredictor
from pipeline.prompt_kinds import PromptError
from stages.predictor.answers import picked_mask
from stages.predictor.command_options import SELECTED, check_masks
from storage.errors import shown
from storage.images.image_files import read_rgb

PERCENT: Final = 100
"""Label Studio's coordinates are percent of the image's width or height."""

Encode = Callable[[UInt8[np.ndarray, "height width"]], list[int]]
"""Takes a mask of 0 and 255; returns its run lengths.

Usually ``label_studio_sdk.converter.brush.mask2rle``.
"""


def predictions(
    predictor: UncertainPredictor,
    path: str | Path,
    context: Mapping[str, Any] | None,
    encode: Encode,
    *,
    from_name: str,
    to_name: str,
    masks: str = SELECTED,
) -> list[dict[str, Any]]:
    """The mask for a person's marks as a brush region; its score is the expected IoU.

    Parameters
    ----------
    path
        The image file of the task.
    context
        Clicks and boxes of a person, as Label Studio sends them.
    from_name, to_name
        Names of the tags ``BrushLabels`` and ``Image``.
    masks
        The mask to answer with: ``selected`` by SAM2, or ``best``, chosen by the heads.

    Returns
    -------
    A list of one prediction with one region; empty if there are no marks or the mask is empty.

    Raises
    ------
    ParamsError
        If the heads choose no masks and ``best`` are asked for.
    ImageError, PromptError
        If the file is no image, or if a mark is neither a keypoint nor a rectangle or lies outside
        of the image.
    """
    check_masks(masks, predictor.heads.choices)
    marks = (context or {}).get("result") or []
    if not marks:
        return []
    rgb = read_rgb(Path(path))
    height, width = rgb.shape[:2]
    predictor.set_image(rgb)
    (uncertainty,) = predictor.predict_uncertainties([_prompt_set(marks, (height, width))])
    picked = picked_mask(uncertainty, masks)
    mask, score = picked.mask, picked.expected_iou
    region = {
        "id": str(uuid4()),
        "from_name": from_name,
        "to_name": to_name,
        "type": "brushlabels",
        "original_width": width,
        "original_height": height,
        "image_rotation": 0,
        "value": {
            "format": "rle",
            "rle": encode(mask * np.uint8(255)),
            "brushlabels": _labels(marks[-1]),
        },
        "score": score,
    }
    return [{"result": [region], "score": score}] if mask.any() else []


def _prompt_set(marks: Sequence[Mapping[str, Any]], size_px: tuple[int, int]) -> PromptSet:
    height, width = size_px
    clicks, labels, box = [], [], None
    for mark in marks:
        kind, value = str(mark.get("type")).removesuffix("labels"), mark["value"]
        if kind not in {"keypoint", "rectangle"}:
            raise PromptError(f"mark must be a keypoint or a rectangle, got {shown(kind)}")
        corner = np.array([value["x"] * width, value["y"] * height]) / PERCENT
        if kind == "rectangle":
            extent = np.array([value["width"] * width, value["height"] * height]) / PERCENT
            box = [*corner, *(corner + extent)]
        else:
            clicks.append(corner)
            labels.append(int(mark.get("is_positive", 1)))
    return PromptSet(clicks or None, labels or None, box)


def _labels(mark: Mapping[str, Any]) -> list[str]:
    """Labels of a mark. The mark's type is the key of its labels, such as ``keypointlabels``."""
    return list(mark["value"].get(mark["type"], []))
