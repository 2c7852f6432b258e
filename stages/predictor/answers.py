"""Answers of predictors to ``usam predict`` and ``usam predict-coco``: pictures, COCO results."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.predictor import (
    PromptSet,
    UncertainMaskGenerator,
    UncertainPredictor,
    Uncertainty,
    coco_masks,
)
from pipeline.predictor.pictures import draw_entropy, draw_mask, draw_masks
from stages.predictor.command_options import Question
from stages.predictor.loading import load_by_heads
from storage.datasets.coco import NO_CATEGORY, CocoPrompt, PromptedImage
from storage.errors import ImageError
from storage.folders import whole_file
from storage.images.image_files import png_bytes, read_rgb
from storage.outputs.coco_results import KeptResults
from storage.rle import decode_rle


def answer_prompt(question: Question, prompt: PromptSet) -> tuple[Uncertainty, list[Path]]:
    """What a predictor says of one object, and pictures of it.

    Raises
    ------
    ParamsError, WeightsError, DataError
        As ``load_predictor``.
    """
    predictor = _predictor(question)
    predictor.set_image(question.rgb)
    (found,) = predictor.predict_uncertainties([prompt], costs=question.costs)
    return found, _save_pictures(question.save, question, prompt, found) if question.save else []


def answer_everything(
    question: Question, options: Mapping[str, Any]
) -> tuple[list[dict[str, Any]], list[Path]]:
    """Masks of everything in the image, as COCO's RLE, and the picture of them.

    Parameters
    ----------
    options
        Those of ``UncertainMaskGenerator``.
    """
    predictor = _predictor(question)
    generator = UncertainMaskGenerator(
        predictor, costs=question.costs, output_mode="coco_rle", **options
    )
    records = generator.generate(question.rgb)
    return records, [_save_everything(question.save, question, records)] if question.save else []


def _predictor(question: Question) -> UncertainPredictor:
    return load_by_heads(question.card["family"], question.model, question.heads)


def _save_pictures(
    folder: Path, question: Question, prompt: PromptSet, found: Uncertainty
) -> list[Path]:
    """Write the selected mask (255 inside), the mask on the image, and its pixels' entropy."""
    clicks = np.reshape([] if prompt.point_coords is None else prompt.point_coords, (-1, 2))
    labels = np.ravel([] if prompt.point_labels is None else prompt.point_labels)
    on, beside = ([(x, y) for x, y in clicks[labels == label].tolist()] for label in (1, 0))
    mask, name = found.masks[found.selected], question.path.stem
    pictures = {
        "mask": mask.astype(np.uint8) * 255,
        "overlay": draw_mask(question.rgb, mask, on=on, beside=beside),
        "entropy": draw_entropy(question.rgb, found.pixel_entropy[found.selected]),
    }
    return [_save(folder / f"{name}-{kind}.png", pixels) for kind, pixels in pictures.items()]


def _save_everything(
    folder: Path, question: Question, records: Sequence[Mapping[str, Any]]
) -> Path:
    """Write all masks on the image, from red to green by expected IoU."""
    # The larger ones first, so that what lies on them is seen.
    ordered = sorted(records, key=lambda record: -record["area"])
    masks = [decode_rle(one["segmentation"]["counts"], *question.size_px) for one in ordered]
    iou = [one["expected_iou"]["own"] for one in ordered]
    picture = draw_masks(question.rgb, masks, iou)
    return _save(folder / f"{question.path.stem}-everything.png", picture)


def _save(path: Path, pixels: np.ndarray) -> Path:
    with whole_file(path) as partial:
        partial.write_bytes(png_bytes(pixels))
    return path


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


def prompt_answers(predictor: UncertainPredictor) -> Answer:
    """Answers to the prompts of an image: the selected mask of each."""

    def answer(rgb: np.ndarray, image: PromptedImage) -> list[dict[str, Any]]:
        predictor.set_image(rgb)
        found = predictor.predict_uncertainties([_prompt_set(one) for one in image.prompts])
        both = zip(image.prompts, found, strict=True)
        return [_prompt_result(image, prompt, one) for prompt, one in both]

    return answer


def everything_answers(predictor: UncertainPredictor, options: Mapping[str, Any]) -> Answer:
    """All masks of an image, with the options of ``UncertainMaskGenerator``."""
    generator = UncertainMaskGenerator(predictor, output_mode="coco_rle", **options)

    def answer(rgb: np.ndarray, image: PromptedImage) -> list[dict[str, Any]]:
        return [_everything_result(image, record) for record in generator.generate(rgb)]

    return answer


def _everything_result(image: PromptedImage, record: Mapping[str, Any]) -> dict[str, Any]:
    """A mask of everything; its score is the expected IoU."""
    said = (
        *("stability_score", "point_coords", "expected_iou", "gap", "direct_gap"),
        *("advice", "is_kept", "unlike_training", "caution"),
    )
    return {
        "image_id": image.image_id,
        "category_id": NO_CATEGORY,
        "segmentation": record["segmentation"],
        "bbox": record["bbox"],
        "score": record["expected_iou"]["own"],
        "uncertainty": {
            "sam_score": record["predicted_iou"],
            **{name: record[name] for name in said},
        },
    }


def _prompt_set(prompt: CocoPrompt) -> PromptSet:
    box = None if prompt.box is None else list(prompt.box)
    return PromptSet(list(prompt.clicks) or None, [1] * len(prompt.clicks) or None, box)


def _prompt_result(image: PromptedImage, prompt: CocoPrompt, found: Uncertainty) -> dict[str, Any]:
    return {
        "image_id": image.image_id,
        "category_id": prompt.category_id,
        "annotation_id": prompt.annotation_id,
        **mask_result(found, found.selected),
    }


def mask_result(found: Uncertainty, proposal: int) -> dict[str, Any]:
    """A proposal, and what is said of it; its score is the expected IoU."""
    return {
        "segmentation": coco_masks.rle(found.masks[proposal]),
        "score": float(found.expected_iou.own[proposal]),
        "uncertainty": {**found.proposal_values(proposal), **found.prompt_values()},
    }
