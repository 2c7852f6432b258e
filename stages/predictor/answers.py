"""The work of ``usam predict``: loads, applies and times a predictor, and draws its masks."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.predictor import (
    BayesianEntropies,
    UncertainMaskGenerator,
    UncertainPredictor,
    Uncertainty,
)
from pipeline.predictor.pictures import draw_entropy, draw_mask, draw_masks
from stages.predictor.loading import load_others, load_predictor
from stages.predictor.prompts import Clicks, Question
from storage.folders import whole_file
from storage.images.files import png_bytes
from storage.rle import decode_rle


@dataclass(frozen=True)
class PromptAnswer:
    """A predictor's answer to one prompt."""

    found: Uncertainty
    bayesian: BayesianEntropies | None
    """If they are wanted."""
    seconds: dict[str, float]
    """``one_pass`` to encode the image, decode the prompt and judge the masks; ``bayesian`` to
    encode and decode what those entropies need besides. Models were loaded before."""
    saved: list[Path]
    """Pictures."""


def answer_prompt(question: Question, clicks: Clicks, *, with_bayesian: bool) -> PromptAnswer:
    """Ask about one object.

    Raises
    ------
    ParamsError, WeightsError, DataError
        As ``load_predictor``.
    """
    predictor = _predictor(question)
    others = load_others(predictor, question.family, question.model) if with_bayesian else []
    started = time.perf_counter()
    predictor.set_image(question.rgb)
    prompt_set = clicks.prompt_set
    (found,) = predictor.predict_uncertainties([prompt_set], costs=question.costs)
    passed = time.perf_counter()
    bayesian = (
        predictor.predict_bayesian(**vars(prompt_set), others=others) if with_bayesian else None
    )
    seconds = {"one_pass": passed - started, "bayesian": time.perf_counter() - passed}
    saved = []
    if question.save:
        name = question.path.stem
        saved = save_pictures(
            question.save, name, question.rgb, found, on=clicks.on, beside=clicks.beside
        )
    return PromptAnswer(found, bayesian, seconds, saved)


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
    saved = []
    if question.save:
        saved = [save_everything(question.save, question.path.stem, question.rgb, records)]
    return records, saved


def _predictor(question: Question) -> UncertainPredictor:
    return load_predictor(
        question.family, question.model, heads=question.heads, protocol=question.protocol
    )


def save_pictures(
    folder: Path,
    name: str,
    rgb: np.ndarray,
    found: Uncertainty,
    *,
    on: Sequence[tuple[float, float]],
    beside: Sequence[tuple[float, float]],
) -> list[Path]:
    """Write the selected mask, the mask on the image, and the entropy of its pixels.

    Returns
    -------
    ``<name>-mask.png`` (255 inside), ``<name>-overlay.png`` and ``<name>-entropy.png``.
    """
    mask = found.masks[found.selected]
    pictures = {
        "mask": mask.astype(np.uint8) * 255,
        "overlay": draw_mask(rgb, mask, on=on, beside=beside),
        "entropy": draw_entropy(rgb, found.pixel_entropy[found.selected]),
    }
    return [_save(folder / f"{name}-{kind}.png", pixels) for kind, pixels in pictures.items()]


def save_everything(
    folder: Path, name: str, rgb: np.ndarray, records: Sequence[Mapping[str, Any]]
) -> Path:
    """Write ``<name>-everything.png``: all masks on the image, from red to green by expected IoU.

    Parameters
    ----------
    records
        As ``UncertainMaskGenerator`` returns them, with COCO's RLE.
    """
    height, width = rgb.shape[:2]
    # The larger ones first, so that what lies on them is seen.
    ordered = sorted(records, key=lambda record: -record["area"])
    masks = [decode_rle(one["segmentation"]["counts"], height, width) for one in ordered]
    iou = [one["expected_iou"]["own"] for one in ordered]
    return _save(folder / f"{name}-everything.png", draw_masks(rgb, masks, iou))


def _save(path: Path, pixels: np.ndarray) -> Path:
    with whole_file(path) as partial:
        partial.write_bytes(png_bytes(pixels))
    return path
