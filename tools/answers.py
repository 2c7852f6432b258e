"""Answers of a model and its heads about annotated objects, beside the truth: a row for each.

The images are drawn scenes or those of a COCO data set. Tables of the docs are made of the rows.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
from jaxtyping import Bool
from scipy.special import expit

from pipeline.masks import CUT
from pipeline.predictor import PromptSet, UncertainPredictor, Uncertainty
from pipeline.prompts import GroundTruth, central_error, measure_objects
from pipeline.scenes.scene import Role, draw_scene, scene_seeds
from stages.settings.params import read_params
from storage.datasets.object_records import Source
from storage.datasets.readers import DATA_SETS, collect
from storage.images.image_files import read_rgb
from storage.rle import decode_rle

Mask = Bool[np.ndarray, "y x"]

Masks = Bool[np.ndarray, "object y x"]

Image = tuple[np.ndarray, Masks]
"""Pixels of an image, and the true masks of its objects."""

N_CORRECTIONS: Final = 3

CLICK: Final = "click"

PROMPTS: Final[Mapping[str, str]] = {
    CLICK: "one click",
    "box": "a box",
    "refined": "eight clicks on the object",
    "alone": f"one click, {N_CORRECTIONS} corrections",
    "given": "the same, with the mask before",
}
"""Kinds of prompts by their names in rows; the last also gives the logits of the mask before."""

PER_PHOTOGRAPH: Final = 10
"""Objects of a photograph of BSDS500, as ``max_objects_per_image``."""


def drawn_images(seed: int, role: Role, n: int) -> Iterator[Image]:
    """Draw scenes of the size that the params have."""
    size_px = read_params().shapes.image_size_px
    for scene_seed in scene_seeds(seed, role, n):
        scene = draw_scene(scene_seed, size_px)
        yield scene.rgb, scene.masks


def coco_images(folder: Path) -> Iterator[Image]:
    """Read the images of ``annotations.json`` in a folder from its sub-folder ``images``."""
    return _annotated("coco", Source(folder / "images", folder / "annotations.json"), None)


def bsds500_images(folder: Path, part: str) -> Iterator[Image]:
    """Read a part of BSDS500, with the objects that ``params/photographs.yaml`` takes."""
    source = Source(folder / "images" / part, folder / "groundTruth" / part)
    return _annotated("bsds500", source, PER_PHOTOGRAPH)


def _annotated(reader: str, source: Source, per_image: int | None) -> Iterator[Image]:
    media = DATA_SETS[reader].list_media(source)
    records = collect(media, source, min_area_px=1, max_objects=None, max_per_image=per_image)
    for index, image in enumerate(records.images):
        size = image.height_px, image.width_px
        objects = (row for row in records.objects if row.image_index == index)
        masks = np.array([decode_rle(row.mask_rle, *size) for row in objects])
        yield read_rgb(source.images / image.file), masks


def iou_of(first: Mask, second: Mask) -> float:
    """IoU of two masks, which must not both be empty."""
    return float((first & second).sum() / (first | second).sum())


def corners_of(truth: GroundTruth) -> np.ndarray:
    """Left, top, right and bottom of the box of each object."""
    return np.concatenate([truth.box_px[:, :2], truth.box_px[:, :2] + truth.box_px[:, 2:]], axis=1)


def answers(
    predictor: UncertainPredictor, images: Iterable[Image], prompts: Collection[str]
) -> pd.DataFrame:
    """Ask about every object by some of ``PROMPTS``.

    Returns
    -------
    A row for each object and prompt: ``image``, the number of its image, and ``prompt``; of the
    selected mask ``iou``, ``expected_iou``, ``sam_score``, ``stability``, ``h_std`` and
    ``soft_dice``; ``best_iou``, the highest of the three proposals; of the chosen mask
    ``chosen_iou`` and the stated ``chosen_gain``; ``unlike_training``; the expected gain of each
    correction, ``gain model`` and so on, which is missing where there is no advice; and
    ``direct gain model`` and so on, Δ* of the selected mask.
    """
    rows = []
    for number, (rgb, masks) in enumerate(images):
        predictor.set_image(rgb)
        for prompt in prompts:
            for answer, true in zip(_asked(predictor, masks, prompt), masks, strict=True):
                rows.append({"image": number, "prompt": prompt, **_row(answer, true)})
    return pd.DataFrame(rows)


def _asked(predictor: UncertainPredictor, masks: Masks, prompt: str) -> list[Uncertainty]:
    truth = measure_objects((mask, 0) for mask in masks)
    if prompt == "box":
        return predictor.predict_uncertainties([PromptSet(box=box) for box in corners_of(truth)])
    n_clicks = truth.point_px.shape[1] if prompt == "refined" else 1
    clicks = [(points[:n_clicks], np.ones(n_clicks, int)) for points in truth.point_px]
    found = predictor.predict_uncertainties([PromptSet(*click) for click in clicks])
    for _ in range(N_CORRECTIONS if prompt in {"alone", "given"} else 0):
        clicks = list(map(_corrected, clicks, found, masks))
        before = [
            answer.logits[answer.selected][None] if prompt == "given" else None for answer in found
        ]
        found = predictor.predict_uncertainties(
            [PromptSet(*click, None, logits) for click, logits in zip(clicks, before, strict=True)]
        )
    return found


Clicks = tuple[np.ndarray, np.ndarray]
"""Pixels (x, y) and labels of one object."""


def _corrected(clicks: Clicks, answer: Uncertainty, true: Mask) -> Clicks:
    """Add a click in the middle of the largest region where the selected mask is wrong."""
    x, y = central_error(answer.masks[answer.selected], true)
    return np.append(clicks[0], [[x, y]], axis=0), np.append(clicks[1], int(true[y, x]))


def _row(answer: Uncertainty, true: Mask) -> dict[str, float | None]:
    k = answer.selected
    ious, p = [iou_of(mask, true) for mask in answer.masks], expit(answer.logits[k])
    return {
        "iou": ious[k],
        "best_iou": max(ious),
        "expected_iou": float(answer.expected_iou.own[k]),
        "sam_score": float(answer.sam_score[k]),
        "stability": float(answer.stability[k]),
        "h_std": float(answer.h_std[k]),
        "soft_dice": float(2 * (p * (p > CUT)).sum() / (p.sum() + (p > CUT).sum())),
        "chosen_iou": iou_of(answer.best_mask.mask, true),
        "chosen_gain": answer.best_mask.gain,
        "unlike_training": answer.unlike_training,
        **{f"gain {name}": gain for name, gain in answer.advice.gains.items()},
        **{f"direct gain {name}": gains[k] for name, gains in answer.direct_gap.items()},
    }
