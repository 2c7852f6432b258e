"""Predictions as entries of a COCO results file."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.predictor import coco_masks
from pipeline.predictor.prompts import PromptSet
from storage.datasets.coco import NO_CATEGORY, CocoPrompt, PromptedImage
from storage.errors import ImageError
from storage.images.files import read_rgb
from storage.outputs.coco_results import KeptResults

if TYPE_CHECKING:
    from pipeline.predictor import UncertainPredictor, Uncertainty

Answer = Callable[[np.ndarray, PromptedImage], list[dict[str, Any]]]
"""Entries of a results file about one image."""


def answer_images(
    answer: Answer,
    folder: Path,
    images: Iterable[PromptedImage],
    kept: KeptResults,
    advance: Callable[[int], None],
) -> list[str]:
    """Predict on the remaining images, and keep the results of each.

    Returns
    -------
    Why an image could not be read, for each such; the others are answered.
    """
    faults = []
    for one in images:
        if one.image_id not in kept:
            path = folder / one.image.file
            try:
                rgb = read_rgb(path, height_px=one.image.height_px, width_px=one.image.width_px)
                kept.keep(one.image_id, answer(rgb, one))
            except ImageError as error:
                faults.append(str(error))
        advance(1)
    return faults


def prompt_answers(predictor: "UncertainPredictor") -> Answer:
    """Answers to the prompts of an image: the selected mask of each."""

    def answer(rgb: np.ndarray, image: PromptedImage) -> list[dict[str, Any]]:
        predictor.set_image(rgb)
        found = predictor.predict_uncertainties([_prompt_set(one) for one in image.prompts])
        both = zip(image.prompts, found, strict=True)
        return [_prompt_result(image, prompt, one) for prompt, one in both]

    return answer


def everything_answers(predictor: "UncertainPredictor", options: Mapping[str, Any]) -> Answer:
    """All masks of an image, with the options of ``UncertainMaskGenerator``."""
    from pipeline.predictor import UncertainMaskGenerator  # noqa: PLC0415 - torch takes seconds

    generator = UncertainMaskGenerator(predictor, output_mode="coco_rle", **options)

    def answer(rgb: np.ndarray, image: PromptedImage) -> list[dict[str, Any]]:
        return [_everything_result(image, record) for record in generator.generate(rgb)]

    return answer


def _everything_result(image: PromptedImage, record: Mapping[str, Any]) -> dict[str, Any]:
    """A mask of everything; its score is the expected IoU."""
    judgement = (
        *("expected_iou", "gap", "direct_gap"),
        *("advice", "is_kept", "unlike_training", "caution"),
    )
    scores = {name: record[name] for name in ("stability_score", "point_coords")}
    return {
        "image_id": image.image_id,
        "category_id": NO_CATEGORY,
        "segmentation": record["segmentation"],
        "bbox": record["bbox"],
        "score": record["expected_iou"]["own"],
        "uncertainty": {
            "sam_score": record["predicted_iou"],
            **scores,
            **{name: record[name] for name in judgement},
        },
    }


def _prompt_set(prompt: CocoPrompt) -> PromptSet:
    box = None if prompt.box is None else list(prompt.box)
    return PromptSet(list(prompt.clicks) or None, [1] * len(prompt.clicks) or None, box)


def _prompt_result(
    image: PromptedImage, prompt: CocoPrompt, found: "Uncertainty"
) -> dict[str, Any]:
    return {
        "image_id": image.image_id,
        "category_id": prompt.category_id,
        "annotation_id": prompt.annotation_id,
        **mask_result(found, found.selected),
    }


def mask_result(found: "Uncertainty", proposal: int) -> dict[str, Any]:
    """A proposal, and what is said of it; its score is the expected IoU."""
    return {
        "segmentation": coco_masks.rle(found.masks[proposal]),
        "score": float(found.expected_iou.own[proposal]),
        "uncertainty": {
            **found.proposal_values(proposal),
            **found.prompt_values(),
        },
    }
