"""Answers to the questions of a user: a predictor is loaded, asked and timed."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.predictor import (
    BayesianEntropies,
    UncertainMaskGenerator,
    UncertainPredictor,
    Uncertainty,
)
from stages.predictor.loading import load_others, load_predictor
from stages.predictor.pictures import save_everything, save_pictures
from stages.predictor.questions import Clicks, Question


@dataclass(frozen=True)
class Seconds:
    """What an answer took, without the loading of models."""

    one_pass: float
    """To encode the image, decode the prompt and judge the masks."""
    bayesian: float
    """To encode and decode what the Bayesian entropies need besides."""


@dataclass(frozen=True)
class PromptAnswer:
    """What is said of one prompt."""

    found: Uncertainty
    bayesian: BayesianEntropies | None
    """If it was asked for."""
    seconds: Seconds
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
    asked = clicks.prompt_set
    (found,) = predictor.predict_uncertainties([asked], good_iou=question.good_iou)
    passed = time.perf_counter()
    bayesian = predictor.predict_bayesian(**vars(asked), others=others) if with_bayesian else None
    seconds = Seconds(passed - started, time.perf_counter() - passed)
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
        predictor, good_iou=question.good_iou, output_mode="coco_rle", **options
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
