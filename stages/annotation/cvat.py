"""Functions of CVAT's auto-annotation: masks of prompts, or of everything, with confidence.

``cvat-cli`` takes this file as ``--function-module stages.annotation.cvat``. The confidence of a
mask is its expected IoU.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from cvat_sdk import auto_annotation, models
from cvat_sdk.auto_annotation import InteractionResultAttributes
from cvat_sdk.masks import encode_mask
from PIL.Image import Image

from pipeline.predictor import PromptSet, UncertainMaskGenerator, UncertainPredictor, coco_masks
from stages.predictor.command_options import check_no_grid, grid_options
from stages.predictor.loading import load_by_heads


def create(
    family: str = "mini",
    model: str | None = None,
    heads: str | None = None,
    *,
    everything: str = "",
    points_per_side: int | None = None,
    min_score: float | None = None,
    min_stability: float | None = None,
) -> "Interaction | Detection":
    """What CVAT's programs call, with the values of ``-p``.

    Parameters
    ----------
    family, model, heads
        As of ``load_by_heads``.
    everything
        The label of a task that all masks of an image get; without one, clicks and boxes are
        answered.
    points_per_side, min_score, min_stability
        As of ``usam predict --everything``.

    Raises
    ------
    ParamsError, WeightsError, DataError
        As ``load_by_heads``; or if an option of everything is out of its range, or without it.
    """
    grid = points_per_side, min_score, min_stability
    if everything:
        options = grid_options(grid)
        return Detection(load_by_heads(family, model, heads), everything, options)
    check_no_grid(grid, "everything")
    return Interaction(load_by_heads(family, model, heads))


@dataclass(frozen=True)
class Interaction:
    """CVAT's ``InteractionFunction``: the selected mask of clicks, a box or both."""

    predictor: UncertainPredictor
    spec = auto_annotation.InteractionFunctionSpec(
        min_pos_points=0, min_neg_points=0, min_bounding_boxes=0
    )

    def preprocess_image(
        self,
        context: auto_annotation.InteractionFunctionContext,  # noqa: ARG002 - CVAT's
        image: Image,
    ) -> UncertainPredictor:
        """The image, encoded: CVAT keeps it for the prompts that follow."""
        own = UncertainPredictor(self.predictor.sam, self.predictor.heads)
        own.set_image(image.convert("RGB"))
        return own

    def detect(
        self,
        context: auto_annotation.InteractionFunctionContext,  # noqa: ARG002 - CVAT's
        pp_image: UncertainPredictor,
        prompts: auto_annotation.InteractionPrompts,
    ) -> list[auto_annotation.InteractionResultShape]:
        """One mask, or none where nothing is found.

        Raises
        ------
        PromptError
            If there is neither a click on the object nor a box, or it lies outside the image.
        """
        (found,) = pp_image.predict_uncertainties([_prompt_set(prompts)])
        mask = found.masks[found.selected]
        if not mask.any():
            return []
        confidence = models.AttributeValRequest(
            spec_id=int(InteractionResultAttributes.CONFIDENCE),
            value=f"{_confidence(found.expected_iou.own[found.selected]):.4f}",
        )
        return [
            auto_annotation.InteractionResultShape(
                type="mask", points=encode_mask(mask), attributes=[confidence]
            )
        ]


class Detection:
    """CVAT's ``DetectionFunction``: all masks of an image, under one label."""

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
        """Masks of at least the threshold, or their outlines, as CVAT asks."""
        least = context.conf_threshold or 0
        records = self._generator.generate(image.convert("RGB"))
        return [
            shape
            for record in records
            if _confidence(record["expected_iou"]["own"]) >= least
            for shape in _shapes(record, as_polygons=context.conv_mask_to_poly)
        ]


def _shapes(record: dict[str, Any], *, as_polygons: bool) -> Iterator[models.LabeledShapeRequest]:
    mask, score = record["segmentation"], _confidence(record["expected_iou"]["own"])
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


def _confidence(expected_iou: float) -> float:
    """Within 0 and 1, as CVAT has it; heads are not bound to that."""
    return float(np.clip(expected_iou, 0, 1))
