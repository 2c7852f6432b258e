"""Chooses the objects of a split that the gallery shows, and draws each as a picture."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import cv2
import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int, UInt8

from pipeline.masks import CUT, decode
from pipeline.scoring.measures import GALLERY_MEASURES, UNCERTAINTY, uncertainty_column
from pipeline.scoring.tasks import REFINED, Correction, default_corrections, judged_proposal
from pipeline.vocabulary import PROTOCOLS

Judging = tuple[str, str, str]
"""Key of a group of rows: protocol, judged proposal and model."""

KEYS: Final = ["protocol", "judged", "model"]

IOU_COLUMNS: Final = {name: f"{name}_iou" for name in (*REFINED, *REFINED.values())}
"""For each kind of mask, the column of ``objects.csv`` that holds its IoU."""

TRUTH_COLOUR: Final = (37, 99, 235)
"""Blue, like the ground truth in the paper's Figures 4, 7 and 8."""

PREDICTION_COLOUR: Final = (34, 197, 94)
"""Green, like the predictions in the paper's Figures 4, 7 and 8."""

WHITE: Final = (255, 255, 255)

CLICK_COLOUR: Final = (239, 68, 68)

TINT: Final = 0.3
"""Share of the mask's colour in the pixels inside a mask; the image has the rest."""

CONTEXT: Final = 2.0
"""Side of the image region that a picture shows, in longer sides of the object's box."""

MIN_SIDE_PX: Final = 48
"""Smallest side of the region, in pixels of the image: a smaller region shows no surroundings."""

MIN_PROBABILITY: Final = 1e-5
"""Probability of code 0, and 1 minus that of the last code: 0 and 1 have no finite logits."""

RgbImage = UInt8[np.ndarray, "height width 3"]
Mask = Bool[np.ndarray, "height width"]


def ranking_columns(columns: Sequence[str]) -> list[str]:
    """Select, of the columns of ``objects.csv``, the keys, the IoUs and the ranking measures.

    The columns stay in their order. The ranking measures need one view only, so that adding a view
    changes no picture.
    """
    measures = {name for task in GALLERY_MEASURES for name in _measure_columns(task, columns)}
    keys = {"protocol", "judged", "object_id", "model", "iou"}
    needed = {*keys, *IOU_COLUMNS.values(), *measures}
    return [name for name in columns if name in needed]


def by_judged(blocks: Iterable[pd.DataFrame]) -> dict[Judging, pd.DataFrame]:
    """Group the rows of ``objects.csv`` by protocol, judged proposal and model.

    The rows of a group stay in their order, and lose the columns ``KEYS``. ``blocks`` are
    consecutive rows: reading the table at once takes three times the memory.
    """
    groups: dict[Judging, list[pd.DataFrame]] = {}
    for block in blocks:
        for (protocol, judged, model), rows in block.groupby(KEYS, sort=False):
            key = str(protocol), str(judged), str(model)
            groups.setdefault(key, []).append(rows.drop(columns=KEYS))
    return {key: pd.concat(tables, ignore_index=True) for key, tables in groups.items()}


def gallery_rows(objects: Mapping[Judging, pd.DataFrame], n_objects: int) -> pd.DataFrame:
    """Table of the most and the least uncertain objects by protocol, task and kind of heads.

    The heads of the first train split rank the objects; without heads, the untrained measure of the
    task does.

    Parameters
    ----------
    objects
        Result of ``by_judged`` for rows with at least the ``ranking_columns``.
    n_objects
        Largest number of most uncertain objects, and of least uncertain ones, of each ranking.

    Returns
    -------
    The gallery's table without its columns ``file`` and ``picture``, but with ``row``, the index of
    the object in its split, from 0.
    """
    ious = {
        model: {mask: rows[column].to_numpy() for mask, column in IOU_COLUMNS.items()}
        for (_, _, model), rows in objects.items()
    }
    blocks = []
    for protocol in PROTOCOLS:
        for task, model, correction in default_corrections(ious, protocol):
            rows = objects[protocol, judged_proposal(protocol, task), model]
            ranked = [
                _ranked(rows, column, correction, model)
                for column in _measure_columns(task, list(rows.columns))
            ]
            ends = [_ends(table, n_objects) for table in ranked]
            blocks += [shown.assign(protocol=protocol, task=task) for shown in ends]
    return pd.concat(blocks, ignore_index=True)


def _ranked(rows: pd.DataFrame, column: str, correction: Correction, model: str) -> pd.DataFrame:
    """Table of the objects in the order of their split, with their rank (1: most uncertain).

    ``column`` names the column of ``rows`` (of ``objects.csv``) that ranks the objects.
    """
    measure, _, train_split = column.removeprefix(UNCERTAINTY).partition("@")
    uncertainty = rows[column].to_numpy(np.float64)
    rank = np.empty(len(rows), np.int64)
    rank[np.argsort(-uncertainty, kind="stable")] = np.arange(1, len(rows) + 1)
    return pd.DataFrame(
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


def _ends(table: pd.DataFrame, n_objects: int) -> pd.DataFrame:
    rows = extremes(table["uncertainty"].to_numpy(), n_objects)
    ends = zip(("most", "least"), rows, strict=True)
    return pd.concat([table.iloc[shown].assign(end=end) for end, shown in ends])


def _measure_columns(task: str, columns: Sequence[str]) -> list[str]:
    *trained, untrained = GALLERY_MEASURES[task]
    of_first_split = [
        next((name for name in columns if name.startswith(f"{uncertainty_column(measure)}@")), "")
        for measure in trained
    ]
    return [name for name in of_first_split if name] or [uncertainty_column(untrained)]


def extremes(
    uncertainty: Float[np.ndarray, "object"], n_objects: int
) -> tuple[Int[np.ndarray, "most"], Int[np.ndarray, "least"]]:
    """Rows of the most and of the least uncertain objects, each by decreasing uncertainty.

    Each has at most ``n_objects`` rows, and they share none: with too few objects, the more
    uncertain half counts as most uncertain. Of two equal objects, the first counts as more
    uncertain.
    """
    order = np.argsort(-uncertainty, kind="stable")
    n_most = min(n_objects, math.ceil(len(order) / 2))
    others = order[n_most:]
    return order[:n_most], others[max(0, len(others) - n_objects) :]


def foreground(
    mask_code: UInt8[np.ndarray, "y x"], height_px: int, width_px: int
) -> Bool[np.ndarray, "height width"]:
    """Foreground of a coded mask at the size of the image, cut as for ``iou``.

    Probabilities, bounded by ``MIN_PROBABILITY``, become logits, which are upsampled bilinearly and
    cut at 0.
    """
    p = decode(mask_code).astype(np.float64).clip(MIN_PROBABILITY, 1 - MIN_PROBABILITY)
    logit = np.log(p / (1 - p))
    # OpenCV's bilinear resize is that of align_corners=False.
    enlarged: Bool[np.ndarray, "height width"] = (
        cv2.resize(logit, (width_px, height_px), interpolation=cv2.INTER_LINEAR) > 0
    )
    return enlarged


def draw_object(
    rgb: RgbImage,
    truth: Mask,
    prediction: Mask,
    *,
    click_px: tuple[int, int],
    box_px: tuple[float, float, float, float],
    side_px: int,
) -> UInt8[np.ndarray, "h w 3"]:
    """Draw an object and its surroundings: truth in blue, prediction in green, the click as a dot.

    Parameters
    ----------
    rgb, truth, prediction
        The whole image, and masks of its size.
    click_px
        x, y in pixels of the image.
    box_px
        x, y, w, h of the ground truth, in pixels of the image.
    side_px
        Longer side of the resulting picture.
    """
    rows, columns = crop(box_px, *truth.shape)
    scale = side_px / max(rows.stop - rows.start, columns.stop - columns.start)
    picture = _resize(rgb[rows, columns], scale)
    truth, prediction = (
        _resize(mask[rows, columns].astype(np.float32), scale) > CUT for mask in (truth, prediction)
    )
    picture = tint(tint(picture, truth, TRUTH_COLOUR), prediction, PREDICTION_COLOUR)
    # One outline inside its mask, one outside: both can be seen where the masks agree.
    outlined = ((~prediction, PREDICTION_COLOUR), (truth, TRUTH_COLOUR))
    n_px = max(1, side_px // 128)
    # A scene may have the colour of an outline: a white line beside each makes it visible.
    for area, _ in outlined:
        picture[_rim(area, 2 * n_px)] = WHITE
    for area, colour in outlined:
        picture[_rim(area, n_px)] = colour
    x, y = click_px
    place = (x + 0.5 - columns.start) * scale, (y + 0.5 - rows.start) * scale
    return dot(picture, *place, CLICK_COLOUR)


def crop(
    box_px: tuple[float, float, float, float], height_px: int, width_px: int
) -> tuple[slice, slice]:
    """Rows and columns of a square around a box (x, y, w, h), shifted or cut to lie in the image.

    The square's side is ``CONTEXT`` times the longer side of the box, at least ``MIN_SIDE_PX``.
    """
    x, y, width, height = box_px
    side_px = math.ceil(max(CONTEXT * max(width, height), MIN_SIDE_PX))
    return (
        _span(y + height / 2, side_px, height_px),
        _span(x + width / 2, side_px, width_px),
    )


def _span(center_px: float, side_px: int, size_px: int) -> slice:
    length = min(side_px, size_px)
    start = min(max(round(center_px - length / 2), 0), size_px - length)
    return slice(start, start + length)


def _resize(pixels: np.ndarray, scale: float) -> np.ndarray:
    height, width = (max(1, round(n * scale)) for n in pixels.shape[:2])
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    resized: np.ndarray = cv2.resize(pixels, (width, height), interpolation=method)
    return resized


def _rim(area: Bool[np.ndarray, "h w"], n_px: int) -> Bool[np.ndarray, "h w"]:
    """Pixels outside of an area, at most ``n_px`` away from it in x and in y."""
    square = np.ones((3, 3), np.uint8)
    grown = cv2.dilate(area.astype(np.uint8), square, iterations=n_px)
    rim: Bool[np.ndarray, "h w"] = (grown > 0) & ~area
    return rim


def tint(
    picture: UInt8[np.ndarray, "h w 3"], mask: Bool[np.ndarray, "h w"], colour: tuple[int, int, int]
) -> UInt8[np.ndarray, "h w 3"]:
    """Copy a picture and blend a colour into the pixels inside a mask."""
    tinted = picture.copy()
    tinted[mask] = np.rint((1 - TINT) * picture[mask] + TINT * np.array(colour)).astype(np.uint8)
    return tinted


def dot(
    picture: UInt8[np.ndarray, "h w 3"], x: float, y: float, colour: tuple[int, int, int]
) -> UInt8[np.ndarray, "h w 3"]:
    """Draw a dot with a white rim at the pixel (x, y), and return the picture.

    The dot grows with the size of the picture. A contiguous ``picture`` is itself drawn on.
    """
    radius = max(2, max(picture.shape) // 48)
    dotted = np.ascontiguousarray(picture)
    center = (int(x), int(y))
    cv2.circle(dotted, center, radius + 2, WHITE, cv2.FILLED, cv2.LINE_AA)
    cv2.circle(dotted, center, radius, colour, cv2.FILLED, cv2.LINE_AA)
    return dotted
