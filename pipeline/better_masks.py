"""Scores of masks that may be better than the selected mask: other cuts, proposals and means."""

from collections.abc import Iterator, Mapping
from typing import Final

import numpy as np
from jaxtyping import Float

from pipeline.heads.scope import LEAST_GAIN, ChoiceGain
from pipeline.mask_choices import (
    HALF,
    IouAtCut,
    MaskChoices,
    choose_masks,
    offered_masks,
    selected_masks,
)
from pipeline.masks import CUTS
from pipeline.proposals import Values
from pipeline.scoring.bootstrap import Measured, Resamples, resampled_means
from pipeline.scoring.scores import Keys, Statistic

BETTER_MASKS: Final = (
    Statistic("mask_iou", "mean IoU", "mean IoU of the masks"),
    Statistic(
        "mask_gain",
        "gain",
        "mean IoU minus that of the selected masks, cut at 0.5, at the same size",
    ),
    Statistic("changed", "changed", "share of the objects whose IoU is another then", better=""),
    Statistic("gained", "gained", "share of the objects that gain more than 0.01 of IoU"),
    Statistic("lost", "lost", "share of the objects that lose more than 0.01 of IoU", better="low"),
)

MaskIous = Mapping[tuple[str, str], Values]
"""IoU of every object's mask, by train split and name of the mask; the split may be empty."""

SELECTED: Final = "selected"
"""The selected proposal, cut at 0.5, at the resolution of the image."""

SELECTED_CODES: Final = "selected_codes"
"""The selected mask at the size of the mask codes, with which other masks of this size are
compared."""

ARRAYS_OF_CODES: Final[Mapping[str, str]] = {
    SELECTED_CODES: "iou_std",
    "mean_views": "iou_t",
    "mean_clicks": "iou_xp",
    "mean_models": "iou_theta",
}
"""Names of masks at the size of the mask codes -> arrays of the entropy store with their IoUs."""


def best_fixed_cut(iou_at_cut: IouAtCut, sam_score: Float[np.ndarray, "object proposal"]) -> float:
    """The one of ``CUTS`` at which the selected masks have the highest mean true IoU.

    The lowest of equally good cuts.

    >>> best_fixed_cut(np.arange(27.0).reshape(1, 3, 9), np.ones((1, 3)))
    0.9
    """
    selected = selected_masks(sam_score)
    means = [_cut_at(selected, cut).of(iou_at_cut).mean(dtype=np.float64) for cut in CUTS]
    return CUTS[int(np.argmax(means))]


def ious_of_cuts(
    iou_at_cut: IouAtCut,
    sam_score: Float[np.ndarray, "object proposal"],
    *,
    fixed_cuts: Mapping[str, float],
    expected_iou: Mapping[str, IouAtCut],
    calibrations: Mapping[str, ChoiceGain],
) -> dict[tuple[str, str], Values]:
    """True IoUs of the selected mask, and of masks with another cut, another proposal, or both.

    Parameters
    ----------
    fixed_cuts
        Best fixed cut, by train split.
    expected_iou
        IoU of each proposal at each cut that heads expect, by train split.
    calibrations
        Calibrated gain of the choice, by the train splits whose heads offer it to a user. Learned
        cuts and proposals replace the selected mask where their calibrated gain is above 0.

    Returns
    -------
    IoU of each object, by train split and name of the mask. The names are ``selected``, whose split
    is empty; ``fixed_cut``; and ``learned_cut``, ``learned_proposal`` and, for both, ``choice``.
    """
    selected = selected_masks(sam_score)
    choices = {("", SELECTED): selected}
    for train_split, cut in fixed_cuts.items():
        choices[train_split, "fixed_cut"] = _cut_at(selected, cut)
    for train_split, expected in expected_iou.items():
        of_selected = np.take_along_axis(expected, selected.proposal[:, None, None], axis=1)[:, 0]
        learned_cut = MaskChoices(selected.proposal, of_selected.argmax(axis=1))
        learned_proposal = MaskChoices(expected[:, :, HALF].argmax(axis=1), selected.cut)
        learned = {
            "learned_cut": learned_cut,
            "learned_proposal": learned_proposal,
            "choice": choose_masks(expected),
        }
        calibration = calibrations.get(train_split)
        for name, best in learned.items():
            choices[train_split, name] = selected
            if calibration is not None:
                offered, _ = offered_masks(best, selected, expected, calibration)
                choices[train_split, name] = offered
    return {name: masks.of(iou_at_cut) for name, masks in choices.items()}


def _cut_at(masks: MaskChoices, cut: float) -> MaskChoices:
    return MaskChoices(masks.proposal, np.full_like(masks.cut, CUTS.index(cut)))


def better_mask_scores(ious: Mapping[str, MaskIous], resamples: Resamples) -> Iterator[Measured]:
    """Yield mean IoUs of masks, gains over the selected mask, and shares of objects that change.

    The statistics are ``BETTER_MASKS``. Masks at
    the size of the mask codes are compared with the selected mask at this size, other masks with
    the selected mask at the resolution of the image. ``ious``, by model, must contain both selected
    masks.
    """
    for model, of_model in ious.items():
        for (train_split, name), iou in of_model.items():
            compared_with = SELECTED_CODES if name in ARRAYS_OF_CODES else SELECTED
            gain = np.subtract(iou, of_model["", compared_with], dtype=np.float64)
            columns = {
                "mask_iou": iou,
                "mask_gain": gain,
                "changed": gain != 0,
                "gained": gain > LEAST_GAIN,
                "lost": gain < -LEAST_GAIN,
            }
            values = np.stack(list(columns.values()), axis=1, dtype=np.float64)
            means = dict(zip(columns, resampled_means(values, resamples).T, strict=True))
            keys = Keys(protocol=SELECTED, train_split=train_split, model=model, choice=name)
            yield keys, means
