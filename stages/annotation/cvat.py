"""Functions for CVAT's auto-annotation: masks of prompts, or of all objects, with confidence.

``cvat-cli`` takes this file as ``--function-module stages.annotation.cvat``. The confidence of a
mask is its expected IoU.
"""

from collections.abc import Iterator, Mapping
from copy import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from cvat_sdk import auto_annotation, models
from cvat_sdk.auto_annotation import InteractionResultAttributes
from cvat_sdk.masks import encode_mask
from PIL.Image import Image

from pipeline.predictor import PromptSet, UncertainMaskGenerator, UncertainPredictor, coco_masks
from stages.predictor.answers import picked_mask, record_score
from stages.predictor.command_options import SELECTED, GridOptions, ModelOptions, check_masks
from stages.predictor.loading import load_chosen


def create(  # noqa: PLR0913 - one for each option
    family: str | None = None,
    model: str | None = None,
    heads: str | None = None,
    *,
    weights: str | None = None,
    device: str = "auto",
    precision: str | None = None,
    embeddings: str = "",
    everything: str = "",
    points_per_side: int | None = None,
    min_score: float | None = None,
    min_stability: float | None = None,
    masks: str = SELECTED,
) -> "Interaction | Detection":
    """Make the function that CVAT's programs call; their option ``-p`` gives the arguments.

    Parameters
    ----------
    family, model, heads, weights, device, precision, embeddings
        As in ``usam predict``, with one store of embeddings at most.
    everything
        Label that all masks of an image get. If it is empty, clicks and boxes are answered.
    points_per_side, min_score, min_stability
        As in ``usam predict --everything``.
    masks
        Masks that answer clicks and boxes: ``selected`` by SAM2, or ``best``, chosen by the heads.

    Returns
    -------
    A ``Detection`` if ``everything`` is a label, else an ``Interaction``.

    Raises
    ------
    ParamsError
        If an option is unknown or out of its range, or ``best`` is asked of heads that do not
        choose.
    WeightsError, DataError, StoreError
        If weights, heads or embeddings are missing or damaged, or do not fit each other.
    """
    paths = (Path(heads) if heads else None, Path(weights) if weights else None)
    stores = [embeddings] if embeddings else []
    choice = ModelOptions(family, model, *paths, device, precision, stores).choose()
    grid = GridOptions(points_per_side, min_score, min_stability)
    options = grid.of_generator(choice.family, "" if everything else "everything")
    check_masks(masks, choice.file.choices)
    predictor = load_chosen(choice)
    return (
        Detection(predictor, everything, options) if everything else Interaction(predictor, masks)
    )


@dataclass(frozen=True)
class Interaction:
    """CVAT's ``InteractionFunction``: answers clicks, a box or both with a mask."""

    predictor: UncertainPredictor
    masks: str = SELECTED
    """The mask of an answer: ``selected`` by SAM2, or ``best``, chosen by the heads."""
    spec = auto_annotation.InteractionFunctionSpec(
        min_pos_points=0, min_neg_points=0, min_bounding_boxes=0
    )

    def preprocess_image(
        self,
        context: auto_annotation.InteractionFunctionContext,  # noqa: ARG002 - CVAT's
        image: Image,
    ) -> UncertainPredictor:
        """Encode an image in a copy of the predictor, which is the ``pp_image`` of ``detect``."""
        predictor = copy(self.predictor)
        predictor.set_image(image.convert("RGB"))
        return predictor

    def detect(
        self,
        context: auto_annotation.InteractionFunctionContext,  # noqa: ARG002 - CVAT's
        pp_image: UncertainPredictor,
        prompts: auto_annotation.InteractionPrompts,
    ) -> list[auto_annotation.InteractionResultShape]:
        """Answer prompts about one object: a list of one mask with its confidence, or empty.

        Raises
        ------
        PromptError
            If there is neither a click on the object nor a box, or a prompt lies outside the image.
        """
        (uncertainty,) = pp_image.predict_uncertainties([_prompt_set(prompts)])
        picked = picked_mask(uncertainty, self.masks)
        if not picked.mask.any():
            return []
        confidence = models.AttributeValRequest(
            spec_id=int(InteractionResultAttributes.CONFIDENCE),
            value=f"{_confidence(uncertainty.score_of(picked)):.4f}",
        )
        return [
            auto_annotation.InteractionResultShape(
                type="mask", points=encode_mask(picked.mask), attributes=[confidence]
            )
        ]


class Detection:
    """CVAT's ``DetectionFunction``: finds all masks of an image and gives them one label.

    ``options`` are keyword arguments of ``UncertainMaskGenerator``.
    """

    def __init__(
        self, predictor: UncertainPredictor, label: str, options: Mapping[str, Any]
    ) -> None:
        self._generator = UncertainMaskGenerator(predictor, **options)
        self.spec = auto_annotation.DetectionFunctionSpec(
            labels=[auto_annotation.label_spec(label, 0, type="mask")]
        )

    def detect(
        self, context: auto_annotation.DetectionFunctionContext, image: Image
    ) -> list[models.LabeledShapeRequest]:
        """Find the masks of an image whose confidence reaches CVAT's threshold.

        A mask is one shape of type mask or, if CVAT asks for polygons, a polygon per component.
        """
        least = context.conf_threshold or 0
        records = self._generator.generate(image.convert("RGB"))
        return [
            shape
            for record in records
            if _confidence(record_score(record)) >= least
            for shape in _shapes(record, as_polygons=context.conv_mask_to_poly)
        ]


def _shapes(record: dict[str, Any], *, as_polygons: bool) -> Iterator[models.LabeledShapeRequest]:
    mask, score = record["segmentation"], _confidence(record_score(record))
    if as_polygons:
        for outline in coco_masks.polygons(mask):
            yield auto_annotation.polygon(0, [float(side) for side in outline], score=score)
    else:
        yield auto_annotation.mask(0, encode_mask(mask), score=score)


def _prompt_set(prompts: auto_annotation.InteractionPrompts) -> PromptSet:
    clicks = [*prompts.pos_points, *prompts.neg_points]
    labels = [1] * len(prompts.pos_points) + [0] * len(prompts.neg_points)
    corners = prompts.bounding_box
    box = None if corners is None else [*corners[0], *corners[1]]
    return PromptSet(clicks or None, labels or None, box)


def _confidence(score: float) -> float:
    """Score of a mask, clipped to 0..1 as CVAT requires: heads may predict more than 1."""
    return float(np.clip(score, 0, 1))
