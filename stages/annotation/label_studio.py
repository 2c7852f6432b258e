"""Answers for an ML backend of Label Studio: clicks or a box in, a mask as brush region out.

Input and output are plain data, so no package of Label Studio is needed here.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import numpy as np
from jaxtyping import Bool

from pipeline.predictor import PromptSet, UncertainPredictor
from pipeline.prompt_kinds import PromptError
from stages.predictor.answers import picked_mask
from stages.predictor.command_options import SELECTED, check_masks
from storage.errors import shown
from storage.images.image_files import read_rgb
from storage.rle import run_lengths

PERCENT: Final = 100
"""Label Studio's coordinates are percent of the image's width or height."""

N_CHANNELS: Final = 4
"""Label Studio's brushes paint pixels of red, green, blue and opacity."""

RUN_BITS: Final = (3, 4, 8, 16)
"""Sizes in bits of the numbers that Label Studio's format has for the length of a run."""


def predictions(
    predictor: UncertainPredictor,
    path: str | Path,
    context: Mapping[str, Any] | None,
    *,
    from_name: str,
    to_name: str,
    masks: str = SELECTED,
) -> list[dict[str, Any]]:
    """Answer a person's marks with a mask, as a brush region with the score of ``score_of``.

    Parameters
    ----------
    predictor
        Its image becomes the image of the task.
    path
        The image file of the task.
    context
        Clicks and boxes of a person about one object, as Label Studio sends them; of several boxes,
        the last counts. The region gets the labels of the last mark.
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
        If ``masks`` is unknown, or is ``best`` and the heads choose no masks.
    ImageError
        If the image file is missing or cannot be read.
    PromptError
        If a mark is neither a keypoint nor a rectangle, or lies outside of the image, or if no mark
        lies on the object.
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
    score = uncertainty.score_of(picked)
    region = brush_region(
        picked.mask, _labels(marks[-1]), score, from_name=from_name, to_name=to_name
    )
    return [{"result": [region], "score": score}] if picked.mask.any() else []


def brush_region(
    mask: Bool[np.ndarray, "height width"],
    labels: Sequence[str],
    score: float,
    *,
    from_name: str,
    to_name: str,
) -> dict[str, Any]:
    """Describe a mask as a region of Label Studio, painted with a brush; its id is random.

    ``score`` is the expected IoU; ``from_name`` and ``to_name`` are the names of the tags
    ``BrushLabels`` and ``Image``.
    """
    height, width = mask.shape
    return {
        "id": str(uuid4()),
        "from_name": from_name,
        "to_name": to_name,
        "type": "brushlabels",
        "original_width": width,
        "original_height": height,
        "image_rotation": 0,
        "value": {"format": "rle", "rle": brush_rle(mask), "brushlabels": list(labels)},
        "score": score,
    }


def brush_rle(mask: Bool[np.ndarray, "height width"]) -> list[int]:
    """Encode a mask, row by row, in the run lengths of Label Studio; returns the bytes.

    A pixel is ``N_CHANNELS`` equal bytes.

    Notes
    -----
    The format of ``@thi.ng/rle-pack``: the number of bytes in 32 bits, the size of a byte less 1 in
    5, and the four ``RUN_BITS`` less 1 in 4 each. Then, for each run, a bit 1, the index of a size
    in 2 bits, the run's length less 1 in as many bits as this size says, and the run's byte.
    """
    runs = run_lengths(mask.ravel()) * N_CHANNELS
    bits = [f"{N_CHANNELS * mask.size:032b}", f"{7:05b}", *(f"{size - 1:04b}" for size in RUN_BITS)]
    for number, length in enumerate(runs.tolist()):
        value = "11111111" if number % 2 else "00000000"
        most = 1 << RUN_BITS[-1]
        for start in range(0, length, most):
            less_one = min(length - start, most) - 1
            size = next(k for k, n_bits in enumerate(RUN_BITS) if less_one < 1 << n_bits)
            bits.append(f"1{size:02b}{less_one:0{RUN_BITS[size]}b}{value}")
    text = "".join(bits)
    text += "0" * (-len(text) % 8)
    return list(int(text, 2).to_bytes(len(text) // 8))


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
    """Labels of a mark; empty if it has none. Their key is its type, such as ``keypointlabels``."""
    return list(mark["value"].get(mark["type"], []))
