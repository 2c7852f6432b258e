"""Calibrates the gain in IoU of the heads' choice of masks, on held-out images."""

from collections.abc import Mapping
from typing import Final

import numpy as np
from jaxtyping import Bool, Float, Int

from pipeline.heads.scope import ChoiceGain
from pipeline.mask_choices import (
    LEAST_IMAGES,
    IouAtCut,
    choose_masks,
    offered_masks,
    selected_masks,
)
from pipeline.proposals import Values
from pipeline.scoring.bootstrap import LEAST_GROUPS, interval, resample_groups, resampled_means
from pipeline.scoring.calibration import isotonic_iou

JudgedCuts = tuple[IouAtCut, IouAtCut, Float[np.ndarray, "object proposal"]]
"""Expected and true IoUs of a model's masks, and the SamScores of its proposals."""

N_RESAMPLES: Final = 1000
"""Number of resamples of the images for the interval of a gain."""

N_FOLDS: Final = 5
"""Number of parts of the images; the gain of each is measured by a calibration on the others."""

N_BINS: Final = 10
"""Number of bins of chosen masks, by claimed gain, whose mean gains the calibration is fitted to.
"""


def choice_gains(
    prompt: str, of_models: Mapping[str, JudgedCuts], group: Int[np.ndarray, " object"]
) -> list[ChoiceGain]:
    """Calibrate the gain in IoU of the heads' choice over selected masks, and measure it.

    Parameters
    ----------
    prompt
        Name of the prompt set that all masks are from.
    of_models
        Expected IoUs, true IoUs and SamScores of each model's masks.
    group
        Index of each object's image, or video. With fewer than ``LEAST_IMAGES`` groups there is no
        calibration, and the interval of the gain is from -1 to 1.

    Returns
    -------
    A calibration for each model. Their gain is one: that of the masks of all models together, each
    offered by a calibration on other groups.

    Notes
    -----
    The expected IoU of a chosen mask is the highest of 27, and so too high: a claimed gain of 0.02
    may be a loss. A constant correction is too small for large claims, and too large for others.
    """
    n_images = len(np.unique(group))
    if n_images < LEAST_IMAGES:
        return [ChoiceGain(prompt, model, (), (), 0.0, -1.0, 1.0, n_images) for model in of_models]
    everywhere = np.ones_like(group, dtype=bool)
    mean, low, high = mean_gain(
        np.concatenate([_gain_on_others(*masks, group) for masks in of_models.values()]),
        np.tile(group, len(of_models)),
    )
    return [
        ChoiceGain(prompt, model, *_knots(*masks, everywhere), mean, low, high, n_images)
        for model, masks in of_models.items()
    ]


def _gain_on_others(
    expected_iou: IouAtCut,
    iou_at_cut: IouAtCut,
    sam_score: Float[np.ndarray, "object proposal"],
    group: Int[np.ndarray, " object"],
) -> Values:
    """True gain of each object's offered mask, by one of ``N_FOLDS`` calibrations on the rest."""
    best, selected = choose_masks(expected_iou), selected_masks(sam_score)
    _, number = np.unique(group, return_inverse=True)
    gain = np.zeros(len(group))
    for fold in range(N_FOLDS):
        is_of_fold = number % N_FOLDS == fold
        knots = _knots(expected_iou, iou_at_cut, sam_score, ~is_of_fold)
        calibration = ChoiceGain("", "", *knots, gain=0.0, low=0.0, high=0.0, n_images=0)
        masks, _ = offered_masks(best, selected, expected_iou, calibration)
        gain += is_of_fold * (masks.of(iou_at_cut) - selected.of(iou_at_cut))
    return gain


def _knots(
    expected_iou: IouAtCut,
    iou_at_cut: IouAtCut,
    sam_score: Float[np.ndarray, "object proposal"],
    is_known: Bool[np.ndarray, " object"],
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Fit the true gain, never falling, to the claimed gain of ``N_BINS`` bins of chosen masks.

    Bins have equally many of the masks that are known and not the selected ones.

    Returns
    -------
    Claimed and true gains of the knots; both empty without such masks.
    """
    best, selected = choose_masks(expected_iou), selected_masks(sam_score)
    rows = np.flatnonzero(is_known & best.differs_from(selected))
    if not len(rows):
        return (), ()
    claimed, gain = (
        np.subtract(best.of(ious), selected.of(ious), dtype=np.float64)
        for ious in (expected_iou, iou_at_cut)
    )
    in_order = rows[np.argsort(claimed[rows], kind="stable")]
    bins = np.array_split(in_order, min(N_BINS, len(in_order)))
    means = (np.array([values[of_bin].mean() for of_bin in bins]) for values in (claimed, gain))
    fitted = isotonic_iou(*means)
    return tuple(fitted.sam_score.round(5).tolist()), tuple(fitted.iou.round(5).tolist())


def mean_gain(gain: Values, group: Int[np.ndarray, " object"]) -> tuple[float, float, float]:
    """Mean of a gain, and its 95 % interval over the groups: from -1 to 1 with too few."""
    resamples = resample_groups(group, N_RESAMPLES, seed=0)
    if resamples.n_groups < LEAST_GROUPS:
        return float(gain.mean()), -1.0, 1.0
    means = resampled_means(gain[:, np.newaxis].astype(np.float64), resamples)[:, 0]
    of_images = interval(means, resamples.n_groups)
    return float(gain.mean()), of_images.low, of_images.high
