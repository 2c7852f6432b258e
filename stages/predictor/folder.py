"""Many images and their prompts, answered as entries of a COCO results file."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.predictor import PromptSet, UncertainPredictor, Uncertainty
from stages.predictor.told import gains_told
from storage.datasets.coco_prompts import AskedImage, CocoPrompt
from storage.errors import ImageError
from storage.images.files import read_rgb
from storage.outputs.coco_results import KeptResults
from storage.rle import encode_rle


def answer_images(
    predictor: UncertainPredictor,
    folder: Path,
    asked: Iterable[AskedImage],
    kept: KeptResults,
    advance: Callable[[int], None],
) -> list[str]:
    """Answer every prompt of the images that are not done, and keep the results of each.

    Returns
    -------
    Why an image could not be read, for each such; the others are answered.
    """
    faults = []
    for one in asked:
        if one.image_id not in kept:
            try:
                kept.keep(one.image_id, _answer(predictor, folder, one))
            except ImageError as error:
                faults.append(str(error))
        advance(1)
    return faults


def _answer(predictor: UncertainPredictor, folder: Path, asked: AskedImage) -> list[dict[str, Any]]:
    image = asked.image
    path = folder / image.file
    predictor.set_image(read_rgb(path, height_px=image.height_px, width_px=image.width_px))
    found = predictor.predict_uncertainties([_prompt_set(one) for one in asked.prompts])
    return [_result(asked, prompt, one) for prompt, one in zip(asked.prompts, found, strict=True)]


def _prompt_set(prompt: CocoPrompt) -> PromptSet:
    if prompt.box is not None:
        return PromptSet(box=list(prompt.box))
    return PromptSet(np.array(prompt.clicks), np.ones(len(prompt.clicks), np.int64))


def _result(asked: AskedImage, prompt: CocoPrompt, found: Uncertainty) -> dict[str, Any]:
    """The selected mask; its score is the expected IoU."""
    k, mask = found.selected, found.masks[found.selected]
    return {
        "image_id": asked.image_id,
        "category_id": prompt.category_id,
        "annotation_id": prompt.annotation_id,
        "segmentation": {"size": list(mask.shape), "counts": encode_rle(mask)},
        "score": float(found.expected_iou.own[k]),
        "uncertainty": {
            "sam_score": float(found.sam_score[k]),
            **gains_told(found, k),
            "h_std": float(found.h_std[k]),
            "h_a": found.h_a,
            "advice": vars(found.advice),
            "caution": found.caution or None,
        },
    }
