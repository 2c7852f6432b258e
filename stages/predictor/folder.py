"""Many images and their prompts, answered as entries of a COCO results file."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.predictor import (
    PromptSet,
    UncertainMaskGenerator,
    UncertainPredictor,
    Uncertainty,
)
from stages.predictor.told import prompt_told, proposal_told
from storage.datasets.coco import NO_CATEGORY, AskedImage, CocoPrompt
from storage.errors import ImageError
from storage.images.files import read_rgb
from storage.outputs.coco_results import KeptResults
from storage.rle import encode_rle

Answer = Callable[[np.ndarray, AskedImage], list[dict[str, Any]]]
"""Entries of a results file about one image."""


def answer_images(
    answer: Answer,
    folder: Path,
    asked: Iterable[AskedImage],
    kept: KeptResults,
    advance: Callable[[int], None],
) -> list[str]:
    """Answer what is asked of the images that are not done, and keep the results of each.

    Returns
    -------
    Why an image could not be read, for each such; the others are answered.
    """
    faults = []
    for one in asked:
        if one.image_id not in kept:
            image = one.image
            path = folder / image.file
            try:
                rgb = read_rgb(path, height_px=image.height_px, width_px=image.width_px)
                kept.keep(one.image_id, answer(rgb, one))
            except ImageError as error:
                faults.append(str(error))
        advance(1)
    return faults


def prompt_answers(predictor: UncertainPredictor) -> Answer:
    """Answers to the prompts of an image: the selected mask of each."""

    def answer(rgb: np.ndarray, asked: AskedImage) -> list[dict[str, Any]]:
        predictor.set_image(rgb)
        found = predictor.predict_uncertainties([_prompt_set(one) for one in asked.prompts])
        both = zip(asked.prompts, found, strict=True)
        return [_result(asked, prompt, one) for prompt, one in both]

    return answer


def everything_answers(predictor: UncertainPredictor, options: Mapping[str, Any]) -> Answer:
    """All masks of an image, with the options of ``UncertainMaskGenerator``."""
    generator = UncertainMaskGenerator(predictor, output_mode="coco_rle", **options)

    def answer(rgb: np.ndarray, asked: AskedImage) -> list[dict[str, Any]]:
        return [_found_result(asked, record) for record in generator.generate(rgb)]

    return answer


def _found_result(asked: AskedImage, record: Mapping[str, Any]) -> dict[str, Any]:
    """A mask of everything; its score is the expected IoU."""
    told = ("expected_iou", "gap", "direct_gap", "advice", "is_kept")
    scores = {name: record[name] for name in ("stability_score", "point_coords")}
    return {
        "image_id": asked.image_id,
        "category_id": NO_CATEGORY,
        "segmentation": record["segmentation"],
        "bbox": record["bbox"],
        "score": record["expected_iou"]["own"],
        "uncertainty": {
            "sam_score": record["predicted_iou"],
            **scores,
            **{name: record[name] for name in told},
        },
    }


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
            **proposal_told(found, k),
            **prompt_told(found),
        },
    }
