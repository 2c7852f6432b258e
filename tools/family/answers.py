"""How a model answers clicks, boxes and corrections of annotated objects: true IoUs."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Float, Float32, Int32, UInt8

from pipeline.predictor.prompt_sets import BACKGROUND, FOREGROUND
from pipeline.predictor.uncertainty import bounded
from pipeline.prompt_kinds import BOX
from pipeline.prompts import central_error, depth_px
from pipeline.sam.model import Decoded, Embedding, Sam
from pipeline.upsampling import masks_at_image

N_CORRECTIONS: Final = 5
"""Corrections in a row after a click."""

VISIBLE_PX: Final = 3.0
"""Depth from which a region that was taken for an object is clicked: thinner ones are its rim."""

Masks = Bool[np.ndarray, "object height width"]
Ious = Float[np.ndarray, " object"]


@dataclass(frozen=True, eq=False)
class Annotated:
    """An image and its objects."""

    rgb: UInt8[np.ndarray, "height width 3"]
    masks: Masks
    point_px: Float32[np.ndarray, "object 2"]
    """First click on each object."""
    corner_px: Float32[np.ndarray, "object 2 2"]
    """Upper left and lower right corner of each object's box."""


def answer_prompts(sam: Sam, images: Iterable[Annotated]) -> pd.DataFrame:
    """Ask a model about every object; one row each.

    Returns
    -------
    True IoU at the image's resolution, in the columns ``box`` of the selected proposal from a box,
    ``corrected_0`` of the selected proposal from one click, and ``corrected_1`` to
    ``corrected_5``, with ``is_visible_1`` to ``is_visible_5`` where the region that a correction
    clicks is ``VISIBLE_PX`` deep or more. Where the selected proposal visibly takes other pixels
    for the object: its IoU ``false_before`` and, after a background click on these pixels,
    ``false_after``; ``is_left`` says whether the clicked pixel has left the mask.
    """
    tables = [_answer(sam, sam.encode(image.rgb), image) for image in images]
    return pd.concat(tables, ignore_index=True)


def _answer(sam: Sam, embedding: Embedding, image: Annotated) -> pd.DataFrame:
    rows = np.arange(len(image.masks))
    points = image.point_px[:, None].astype(np.float32)
    labels = np.full((len(rows), 1), FOREGROUND, np.int32)
    clicked = sam.decode(embedding, points, labels=labels)
    corners = np.tile(np.array(BOX, np.int32), (len(rows), 1))
    boxed = sam.decode(embedding, image.corner_px, labels=corners)
    chosen = clicked.sam_score.numpy().argmax(axis=1)
    logits = bounded(clicked.logits).numpy()[rows, chosen]
    chosen = boxed.sam_score.numpy().argmax(axis=1)
    columns = {"box": _ious(boxed, image.masks)[rows, chosen]}
    columns |= _correct(sam, embedding, image, (points, labels), logits)
    columns |= _refuse(sam, embedding, image, (points, labels), logits)
    return pd.DataFrame(columns)


Clicks = tuple[Float32[np.ndarray, "object click 2"], Int32[np.ndarray, "object click"]]


def _correct(
    sam: Sam,
    embedding: Embedding,
    image: Annotated,
    clicks: Clicks,
    logits: Float32[np.ndarray, "object y x"],
) -> dict[str, np.ndarray]:
    """Click where the mask is wrong, again and again, each time with the mask before as input."""
    predicted = _masks_of(logits[:, None], image.masks)[:, 0]
    columns: dict[str, np.ndarray] = {"corrected_0": _iou(predicted, image.masks)}
    for number in range(1, N_CORRECTIONS + 1):
        pixels = [
            central_error(mask, true) for mask, true in zip(predicted, image.masks, strict=True)
        ]
        columns[f"is_visible_{number}"] = _is_visible(predicted, image.masks)
        clicks = _with_pixels(clicks, pixels, image.masks)
        answer = sam.decode(
            embedding,
            clicks[0],
            labels=clicks[1],
            mask_input=logits[:, None],
            multimask_output=False,
        )
        logits = bounded(answer.logits).numpy()[:, 0]
        predicted = _masks_of(logits[:, None], image.masks)[:, 0]
        columns[f"corrected_{number}"] = _iou(predicted, image.masks)
    return columns


def _is_visible(predicted: Masks, true: Masks) -> Bool[np.ndarray, " object"]:
    regions = zip(predicted & ~true, true & ~predicted, strict=True)
    depths = [max(depth_px(false).max(), depth_px(missed).max()) for false, missed in regions]
    return np.array(depths) >= VISIBLE_PX


def _refuse(
    sam: Sam,
    embedding: Embedding,
    image: Annotated,
    clicks: Clicks,
    logits: Float32[np.ndarray, "object y x"],
) -> dict[str, Ious]:
    """Put a background click on the deepest pixel that was taken for the object."""
    predicted = _masks_of(logits[:, None], image.masks)[:, 0]
    wrong = predicted & ~image.masks
    has_wrong = np.array([depth_px(region).max() >= VISIBLE_PX for region in wrong])
    pixels = [central_error(region, np.zeros_like(region)) for region in wrong]
    points, labels = _with_pixels(clicks, pixels, np.zeros_like(wrong))
    answer = sam.decode(
        embedding, points, labels=labels, mask_input=logits[:, None], multimask_output=False
    )
    after = _masks_of(answer.logits.numpy(), image.masks)[:, 0]
    x, y = np.array(pixels).T
    rows = np.arange(len(pixels))
    return {
        name: np.where(has_wrong, values, np.nan)
        for name, values in {
            "false_before": _iou(predicted, image.masks),
            "false_after": _iou(after, image.masks),
            "is_left": (~after[rows, y, x]).astype(float),
        }.items()
    }


def _with_pixels(clicks: Clicks, pixels: Sequence[tuple[int, int]], true: Masks) -> Clicks:
    """Clicks and one more pixel (x, y) for each object, foreground where the object covers it."""
    points, labels = clicks
    new_points = np.array(pixels, np.float32)
    is_member = [mask[y, x] for mask, (x, y) in zip(true, pixels, strict=True)]
    label = np.where(is_member, FOREGROUND, BACKGROUND).astype(np.int32)
    return (
        np.concatenate([points, new_points[:, None]], axis=1),
        np.concatenate([labels, label[:, None]], axis=1),
    )


def _masks_of(
    logits: Float32[np.ndarray, "object mask y x"], true: Masks
) -> Bool[np.ndarray, "object mask height width"]:
    """Masks at the image's resolution."""
    return masks_at_image(torch.from_numpy(logits), true.shape[1:])


def _ious(answer: Decoded, true: Masks) -> Float[np.ndarray, "object mask"]:
    predicted = _masks_of(answer.logits.numpy(), true)
    return np.stack([_iou(predicted[:, k], true) for k in range(predicted.shape[1])], axis=1)


def _iou(predicted: Masks, true: Masks) -> Ious:
    iou: Ious = (predicted & true).sum(axis=(1, 2)) / (predicted | true).sum(axis=(1, 2)).clip(
        min=1
    )
    return iou
