"""The work of ``usam predict``: loads and applies a predictor, and draws its masks."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.predictor import (
    PromptSet,
    UncertainMaskGenerator,
    UncertainPredictor,
    Uncertainty,
)
from pipeline.predictor.pictures import draw_entropy, draw_mask, draw_masks
from stages.predictor.loading import load_by_heads
from stages.predictor.prompts import Question
from storage.folders import whole_file
from storage.images.files import png_bytes
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
