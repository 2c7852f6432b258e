"""Calibrates thresholds on the masks of an eval split, for ``usam gate``.

Its measures are 1 - an IoU that SamScore or heads predict for each proposal of any prompt set.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from math import ceil, isinf
from typing import Final

import numpy as np
from jaxtyping import Float, Int

from pipeline import mask_choices, mask_sets, risk_control
from pipeline.heads.kinds import HEAD_KINDS, HeadSet
from pipeline.heads.scope import OF_SETS, CalibratedGuarantee, Scope
from pipeline.mask_sets import Coverage, Predicted
from pipeline.prompt_kinds import PROMPT_KINDS
from pipeline.proposals import judged_proposals
from pipeline.risk_control import NOTHING, CalibrationSet, Guarantee
from pipeline.scoring.measures import BY_NAME
from pipeline.vocabulary import N_PROPOSALS, TRAIN_PROMPTS
from stages.page.labels import measure_label, model_label
from stages.settings.params import Params, cache_location
from stages.settings.signatures import eval_settings, train_settings
from stages.split_predictions import expected_ious
from stages.training.data import group_index, learned_from
from storage.errors import DataError
from storage.head_files.head_file import read_heads
from storage.split.split_cells import SplitCells, open_cells

SUREST: Final = 0.1
"""Share of the masks, the least uncertain first, whose failures an error message reports.

These failures show whether an alpha is within reach.
"""

OF_PROPOSALS: Final = ("sam_score", *(kind.named("usam") for kind in HEAD_KINDS))
"""Measures that ``usam gate`` calibrates."""

SMALL: Final = 1 / 3
"""Share of the objects, the smallest by area, that count as small."""


@dataclass(frozen=True)
class Gated:
    """The masks of an eval split that ``usam gate`` calibrates on, and the calibrated measure."""

    split: str
    protocol: str
    """Judged masks, ``selected`` or ``best``; for sets of proposals, the protocol of the heads."""
    model: str
    measure: str
    train_split: str
    """Train split of the heads; empty for the SamScore."""


@dataclass(frozen=True)
class PromptMasks:
    """All proposals of a model for an eval split from one kind of prompt, to calibrate on.

    If the kind has several prompt sets, an object has a row for each of them.
    """

    prompt: str
    predicted: Predicted
    """IoU that the measure predicts for each proposal."""
    iou: Float[np.ndarray, "object proposal"]
    sam_score: Float[np.ndarray, "object proposal"]
    group: Int[np.ndarray, "object"]
    """Number of the image, or of the video, of each object."""
    area_px: Int[np.ndarray, "object"]

    def calibration_set(self, protocol: str, least_iou: float) -> CalibrationSet:
        """Uncertainty and failure of the judged mask of each object, for a calibration.

        The judged mask has the highest true IoU (``best``) or the highest SamScore (``selected``).
        Its uncertainty is 1 - its ``predicted`` IoU; it fails if its true IoU is below
        ``least_iou``.
        """
        judged = judged_proposals(protocol, iou=self.iou, sam_score=self.sam_score)[:, np.newaxis]
        predicted = np.take_along_axis(self.predicted, judged, axis=1)[:, 0]
        iou = np.take_along_axis(self.iou, judged, axis=1)[:, 0]
        return CalibrationSet.of(1 - predicted.astype(np.float64), iou < least_iou, self.group)


def calibrate(
    params: Params, masks: Gated, guarantee: Guarantee
) -> tuple[dict[CalibratedGuarantee, Coverage | None], dict[str, str]]:
    """Calibrate a threshold for each prompt set of the eval cell.

    Returns
    -------
    The guarantees, each with the coverage of its sets if it is about sets; and for each prompt set
    without a threshold, the reason.
    """
    calibrated: dict[CalibratedGuarantee, Coverage | None] = {}
    faults: dict[str, str] = {}
    for prompt_masks in read_prompt_masks(params, masks):
        try:
            if guarantee.of == OF_SETS:
                made, coverage = calibrate_sets(masks, prompt_masks, guarantee)
                calibrated[made] = coverage
            else:
                judged = prompt_masks.calibration_set(masks.protocol, guarantee.iou)
                made = calibrate_masks(masks, guarantee, judged, prompt_masks.prompt)
                calibrated[made] = None
        except DataError as error:
            faults[prompt_masks.prompt] = str(error)
    return calibrated, faults


def read_prompt_masks(params: Params, masks: Gated) -> Iterator[PromptMasks]:
    """Yield the masks of the model in the view ``identity``, for each kind of prompt.

    The kinds are ``center``, ``refined`` and the extra prompts of the settings, in this order.
    """
    identity, models = [params.view("identity")], (masks.model,)
    settings = eval_settings(params.extract, masks.split, models, identity, params.extra_prompts)
    cells = open_cells(masks.split, settings, cache=cache_location())
    predict = _predictor(params, cells, masks)
    (cell,) = cells.identity.values()
    group = group_index(cells.table)
    for prompt in (*TRAIN_PROMPTS, *params.extra_prompts):
        members = [kind.name for kind in PROMPT_KINDS if prompt in {kind.name, kind.asked_as}]
        proposals = [cell.proposals(name) for name in members]
        yield PromptMasks(
            prompt,
            np.concatenate([predict(name) for name in members]),
            np.concatenate([scores.iou for scores in proposals]),
            np.concatenate([scores.sam_score for scores in proposals]),
            np.tile(group, len(members)),
            np.tile(cells.table.area_px, len(members)),
        )


def _predictor(params: Params, cells: SplitCells, masks: Gated) -> Callable[[str], Predicted]:
    """Make a function that maps a prompt set's name to the predicted IoU of each proposal.

    Without heads, the prediction is the SamScore.
    """
    (cell,) = cells.identity.values()
    if not masks.train_split:
        return lambda prompt: cell.proposals(prompt).sam_score
    settings = train_settings(
        params.extract,
        masks.train_split,
        params.models,
        params.train_prompts,
        params.train_views,
    )
    learned = learned_from(masks.train_split, settings, cache_location())
    head_set = HeadSet(masks.protocol, masks.protocol, BY_NAME[masks.measure].heads)
    heads = read_heads(masks.train_split, {**cells.head_origin, **learned}, head_set)
    return partial(expected_ious, cell, head_set, heads)


def calibrate_masks(
    masks: Gated, guarantee: Guarantee, judged: CalibrationSet, prompt: str
) -> CalibratedGuarantee:
    """Calibrate the uncertainty up to which masks of a prompt set are kept.

    ``judged`` has the uncertainty and failure of each mask. If no threshold holds the guarantee, a
    ``DataError`` says how far it is out of reach.
    """
    threshold = risk_control.threshold(judged, guarantee)
    if threshold == NOTHING:
        raise DataError(_no_threshold(judged, guarantee, masks))
    share_kept = float((judged.uncertainty <= threshold).mean())
    return _with_scope(masks, guarantee, judged, prompt, threshold=threshold, share_kept=share_kept)


def calibrate_sets(
    masks: Gated, prompt_masks: PromptMasks, guarantee: Guarantee
) -> tuple[CalibratedGuarantee, Coverage]:
    """Calibrate the threshold that decides which proposals of an object form its set of masks.

    Returned are the guarantee, and the coverage of sets whose threshold comes from half of the
    images, measured on the other half. If no proposal is good often enough, or images are too few,
    a ``DataError`` says so.

    Notes
    -----
    The guarantee presumes that sets can be calibrated on any draw of images. Where most halves of
    the images allow no sets, a threshold from all images is luck, and is refused.
    """
    is_good = prompt_masks.iou >= guarantee.iou
    judged = mask_sets.judged_sets(prompt_masks.predicted, is_good, prompt_masks.group)
    threshold = mask_sets.set_threshold(judged, guarantee.alpha)
    small_px = np.quantile(prompt_masks.area_px, SMALL)
    is_small = (prompt_masks.area_px <= small_px)[
        mask_sets.order_of(prompt_masks.predicted, is_good)
    ]
    coverage = mask_sets.coverage(judged, guarantee.alpha, is_small)
    if threshold == NOTHING or coverage.n_without > mask_sets.N_CALIBRATIONS / 2:
        raise DataError(_out_of_reach(judged, guarantee, masks))
    is_in_set = mask_choices.failure_ahead(prompt_masks.predicted) >= threshold
    calibrated = _with_scope(
        masks,
        guarantee,
        judged,
        prompt_masks.prompt,
        threshold=threshold,
        share_kept=float(is_in_set.mean()),
    )
    return calibrated, coverage


def _with_scope(
    masks: Gated,
    guarantee: Guarantee,
    judged: CalibrationSet,
    prompt: str,
    *,
    threshold: float,
    share_kept: float,
) -> CalibratedGuarantee:
    return CalibratedGuarantee(
        Scope(masks.protocol, (prompt,), len(judged.images()), images=""),
        split=masks.split,
        model=masks.model,
        measure=masks.measure,
        train_split=masks.train_split,
        of=guarantee.of,
        iou_at_least=guarantee.iou,
        alpha=guarantee.alpha,
        confidence=risk_control.CONFIDENCE if guarantee.of == "kept" else None,
        threshold=threshold,
        kept=share_kept,
        n_objects=len(judged.group),
    )


def _no_threshold(judged: CalibrationSet, guarantee: Guarantee, masks: Gated) -> str:
    surest = judged.falls_short[: ceil(SUREST * len(judged.falls_short))]
    alternative = ", or --promise all" if guarantee.of == "kept" else ""
    return (
        f"{measure_label(masks.measure)} must have a threshold that the {len(judged.images())} "
        f"images of {masks.split} show to hold this promise, got none: {surest.mean():.0%} of the "
        f"least uncertain tenth of the masks fall short, {judged.falls_short.mean():.0%} of all, "
        f"and even masks that never do take {risk_control.least_images(guarantee)} images; ask for "
        f"a larger alpha or a lower iou, or take more images{alternative}"
    )


def _out_of_reach(judged: CalibrationSet, guarantee: Guarantee, masks: Gated) -> str:
    without = mask_sets.out_of_reach(judged)
    least = mask_sets.least_images(guarantee.alpha, without)
    # Twice the images: each half of the images must allow sets, too.
    remedy = "" if isinf(least) else f", or take {2 * least:.0f} images"
    return (
        f"sets of the {N_PROPOSALS} proposals must hold one with an IoU of at least "
        f"{guarantee.iou:g} for {1 - guarantee.alpha:.0%} of the objects, got {without:.0%} of the "
        f"objects in {len(judged.images())} images of {masks.split} without any such proposal of "
        f"the {model_label(masks.model)} model: ask for a larger alpha or a lower iou, or take a "
        f"better model{remedy}"
    )
