"""Mask sets: as few proposals of an object as contain a good one with a chosen probability.

Proposals enter a set in the order of their predicted IoU, the highest first, as long as the
probability that all earlier proposals fall short is at least a threshold. The threshold is
calibrated on images (or videos), as in ``pipeline.risk_control``. The set of an object in a new
image from the same distribution then has a good proposal with the chosen probability, however bad
the predictions are: poor predictions make larger sets, not broken guarantees.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from math import ceil, inf, sqrt
from statistics import NormalDist
from typing import Final

import numpy as np
from jaxtyping import Bool, Float, Int

from pipeline.mask_choices import failure_ahead
from pipeline.proposals import Values
from pipeline.risk_control import FAILURE_IOUS, NOTHING, CalibrationSet, check_calibration
from pipeline.scoring.bootstrap import Measured, Resamples
from pipeline.scoring.scores import LEVEL, Keys, Statistic
from pipeline.vocabulary import USED

SETS: Final = (
    Statistic(
        "coverage",
        "coverage",
        "share of the sets that have a good proposal; sets are calibrated on half of the images "
        "and checked on the others, the mean over such halves; targets out of reach have no row",
        better="",
    ),
    Statistic("n_masks", "proposals", "mean number of proposals in a set", better="low", unit=""),
    Statistic(
        "n_masks_margin", "more", "`n_masks` minus that of sets by SamScore", better="low", unit=""
    ),
)

Predicted = Float[np.ndarray, "object proposal"]
"""Predicted IoU of each proposal."""

ALPHAS: Final = (0.1, 0.2, 0.3, 0.4, 0.5)
"""Allowed shares of sets without a good proposal, in tables."""

N_CALIBRATIONS: Final = 200
"""Number of random halves of the images by which ``coverage`` checks the guarantee."""

N_HALVES: Final = 100
"""Number of halves of the images that calibrate sets for tables; the other half checks each."""


def judged_sets(
    predicted_iou: Predicted,
    is_good: Bool[np.ndarray, "object proposal"],
    group: Int[np.ndarray, "object"],
) -> CalibrationSet:
    """Sort objects by the largest threshold at which their mask set still has a good proposal.

    The result holds these thresholds as ``uncertainty``, ascending. Objects without a good proposal
    have the threshold ``NOTHING`` and fall short. ``is_good`` says whether the true IoU of each
    proposal is high enough; ``group`` is the index of each object's image, or video.
    """
    largest = _largest_thresholds(failure_ahead(predicted_iou), is_good)
    return CalibrationSet.of(largest, largest == NOTHING, group)


def order_of(
    predicted_iou: Predicted, is_good: Bool[np.ndarray, "object proposal"]
) -> Int[np.ndarray, "object"]:
    """Indices of the objects in the order of ``judged_sets``, for the same arguments."""
    largest = _largest_thresholds(failure_ahead(predicted_iou), is_good)
    return np.argsort(largest, kind="stable")


def set_threshold(judged: CalibrationSet, alpha: float) -> float:
    """Largest threshold, hence the smallest sets, at which at most ``alpha`` of the sets miss.

    A set misses if it has no good proposal. The guarantee bounds the expected share of the sets of
    a new image that miss: the expectation is over calibrations and new images. ``judged`` is a
    result of ``judged_sets``.

    Returns
    -------
    A set has the proposals whose ``failure_ahead`` is at least this threshold. ``NOTHING`` where no
    threshold gives the guarantee.

    Notes
    -----
    Conformal risk control (Angelopoulos et al., arXiv 2208.02814, Theorem 1), as in
    ``threshold_of_all``. The loss of an image is the share of its objects whose set misses; it
    falls as the threshold falls. With one object per image, the threshold is the quantile of split
    conformal prediction.
    """
    check_calibration(judged, alpha)
    n_images = float(len(judged.images()))
    (threshold,) = _thresholds(judged.uncertainty, judged.share, n_images, (alpha,))
    return float(threshold)


def _thresholds(
    largest: Values, share: Values, n_images: float, alphas: Sequence[float]
) -> Float[np.ndarray, " alpha"]:
    """Threshold of ``set_threshold`` for each alpha.

    ``largest`` is the largest threshold of each object at which its set has a good proposal,
    ascending; ``share`` the weight of each object in its image; ``n_images`` the number of images
    that calibrate, which may be a half of an odd number.
    """
    most_missed = np.array(alphas) * (n_images + 1) - 1
    # With the largest threshold of an object, only objects whose largest threshold is lower miss.
    places = np.searchsorted(share.cumsum(), most_missed, side="right")
    thresholds: Float[np.ndarray, " alpha"] = np.where(most_missed < 0, NOTHING, largest[places])
    return thresholds


def out_of_reach(judged: CalibrationSet) -> float:
    """Share of the objects without a good proposal, which all sets miss; images weigh the same."""
    return float(judged.share @ judged.falls_short / judged.share.sum())


def least_images(alpha: float, out_of_reach: float) -> float:
    """Fewest images that can calibrate sets if only objects without a good proposal miss.

    Infinite if the share ``out_of_reach`` of objects without a good proposal is ``alpha`` or more.

    >>> least_images(0.1, 0.0), least_images(0.2, 0.15), least_images(0.1, 0.1)
    (9.0, 16.0, inf)
    """
    spare = alpha - out_of_reach
    return float(ceil(round((1 - alpha) / spare, 9))) if spare > 0 else inf


@dataclass(frozen=True)
class Coverage:
    """Share of mask sets with a good proposal, on images that did not calibrate the sets."""

    share: float
    """Mean over calibrations of the share of sets with a good proposal; images weigh the same."""
    least: float
    """Lower end of the 95 % interval of ``share`` if the guarantee holds with exactly 1 - alpha."""
    n_without: int
    """Number of calibrations without a threshold, whose sets are all proposals."""
    of_small: float
    """``share`` for the smallest third of the objects; NaN if sizes are unknown."""
    of_worst: float
    """``share`` for the tenth of the images with the lowest share in each calibration."""


def coverage(
    judged: CalibrationSet, alpha: float, is_small: Bool[np.ndarray, "object"] | None = None
) -> Coverage:
    """Coverage of sets calibrated on each of ``N_CALIBRATIONS`` random halves of the images.

    The images of the other half check each calibration. ``is_small`` says whether an object is in
    the smallest third, in the order of ``judged``; None if sizes are unknown. Raises a ValueError
    if ``alpha`` is not between 0 and 1, or there are fewer than two images.

    Notes
    -----
    Given the images, random halves are independent of each other. The images of a half are
    exchangeable with the other images; the guarantee needs no more.
    """
    rng, n_images = np.random.default_rng(0), len(judged.images())
    n_without, rows = 0, []
    for _ in range(N_CALIBRATIONS):
        is_of = rng.permutation(n_images) < n_images // 2
        threshold = set_threshold(judged.of_images(is_of), alpha)
        n_without += threshold == NOTHING
        covered = (judged.uncertainty >= threshold) & ~judged.falls_short
        weight = judged.share * ~is_of[judged.group]
        of_image = np.bincount(judged.group, weights=weight * covered)[~is_of]
        worst = np.sort(of_image)[: ceil(len(of_image) / 10)].mean()
        rows.append([of_image.mean(), _small_share(covered, weight, is_small), worst])
    share, of_small, of_worst = np.mean(rows, axis=0).tolist()
    spread = float(np.std([row[0] for row in rows], ddof=1)) / sqrt(N_CALIBRATIONS)
    least = 1 - alpha + NormalDist().inv_cdf((1 - LEVEL) / 2) * spread
    return Coverage(share, least, n_without, of_small, of_worst)


def _small_share(
    covered: Bool[np.ndarray, "object"],
    weight: Values,
    is_small: Bool[np.ndarray, "object"] | None,
) -> float:
    if is_small is None or not (weight @ is_small):
        return np.nan
    return float(weight @ (covered & is_small) / (weight @ is_small))


def set_scores(
    model: str,
    predicted: Mapping[tuple[str, str], Predicted],
    iou: Float[np.ndarray, "object proposal"],
    resamples: Resamples,
) -> Iterator[Measured]:
    """Yield coverage and size of mask sets for each prediction of IoUs.

    The statistics are ``SETS``, for each of ``FAILURE_IOUS`` and ``ALPHAS``; the margin is over the
    first prediction. Each of
    ``N_HALVES`` halves of the images calibrates sets for the other images. An alpha is left out if
    a half has no threshold. A single image cannot be halved: no scores. ``predicted`` has predicted
    IoUs by train split and name, ``iou`` the true IoUs.
    """
    if resamples.n_groups == 1:
        return
    for least in FAILURE_IOUS:
        checked = {key: _checked(ious, iou >= least, resamples) for key, ious in predicted.items()}
        first = next(iter(checked.values()))
        for (i, alpha), ((train_split, measure), sets) in product(
            enumerate(ALPHAS), checked.items()
        ):
            coverage, n_masks = sets
            margin = n_masks[i] - first[1][i]
            if np.isnan(margin[0]):
                continue
            keys = Keys(
                protocol=USED,
                train_split=train_split,
                model=model,
                measure=measure,
                iou_at=least,
                alpha=alpha,
            )
            yield (
                keys,
                {
                    "coverage": coverage[i : i + 1],
                    "n_masks": n_masks[i],
                    "n_masks_margin": margin,
                },
            )


def _checked(
    predicted_iou: Predicted, is_good: Bool[np.ndarray, "object proposal"], resamples: Resamples
) -> tuple[Float[np.ndarray, " alpha"], Float[np.ndarray, "alpha draw"]]:
    """Coverage and mean size of sets at each of ``ALPHAS``; NaN where a half has no threshold.

    Coverage is the share of sets with a good proposal. Coverage and the first size are means over
    halves of the images. The other sizes are of sets that are calibrated and counted on one
    resample. They are calibrated as on half of the images, so that all sizes can be compared; sets
    that are calibrated anew vary more than sets with a fixed threshold.
    """
    group, n_images = resamples.group, resamples.n_groups
    probability = failure_ahead(predicted_iou)
    largest = _largest_thresholds(probability, is_good)
    order = np.argsort(largest, kind="stable")
    share = 1 / np.bincount(group)[group]

    def counted(on: Values, n_calibrated: float, of: Values) -> Float[np.ndarray, "alpha 2"]:
        """Coverage and size, under the weights ``of``, of sets calibrated under weights ``on``.

        NaN for an alpha without a threshold.
        """
        limits = _thresholds(largest[order], on[order], n_calibrated, ALPHAS)
        counts = [[largest >= limit, (probability >= limit).sum(axis=1)] for limit in limits]
        means: Float[np.ndarray, "alpha 2"] = np.array(counts) @ of / of.sum()
        means[limits == NOTHING] = np.nan
        return means

    halves = [
        counted(share * is_of[group], float(is_of.sum()), share * ~is_of[group])
        for is_of in _halves(n_images)
    ]
    drawn = [share * n_drawn[group] for n_drawn in resamples.n_drawn[1:]]
    resampled = [counted(weight / 2, n_images / 2, weight)[:, 1] for weight in drawn]
    coverage, n_masks = np.mean(halves, axis=0).T
    return coverage, np.stack([n_masks, *resampled], axis=1)


def _largest_thresholds(
    probability: Predicted, is_good: Bool[np.ndarray, "object proposal"]
) -> Values:
    """For each object, the largest threshold at which its set has a good proposal.

    ``NOTHING`` for objects without a good proposal. ``probability`` is a result of
    ``failure_ahead``.
    """
    largest: Values = np.where(is_good, probability, NOTHING).max(axis=1)
    return largest


def _halves(n_images: int) -> Iterator[Bool[np.ndarray, " group"]]:
    """Yield ``N_HALVES`` random halves of the images: whether each image is in the half.

    Each half is followed by the half of the other images.
    """
    rng = np.random.default_rng(0)
    for _ in range(N_HALVES // 2):
        is_of = rng.permutation(n_images) < n_images // 2
        yield from (is_of, ~is_of)
