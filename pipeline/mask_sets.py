"""Mask sets: the fewest proposals of which, with a set probability, one is good enough.

Proposals are taken by their predicted IoU, the highest first, for as long as all those ahead seem
likely to fall short. How likely is calibrated, by images (or videos), as thresholds of
``pipeline.risk_control`` are: whatever the distribution and however good or bad the prediction, a
set for an object of a new image, drawn as those of the calibration were, has a good proposal with
the set probability. Poor predictions make larger sets, not broken promises.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from math import ceil, inf
from typing import Final

import numpy as np
from jaxtyping import Bool, Float, Int

from pipeline.proposals import Values
from pipeline.result_rows import MaskSetRow
from pipeline.risk_control import NOTHING, Judged, check_calibration
from pipeline.scoring.bootstrap import Resamples, interval
from pipeline.scoring.statistics import FAILURE_IOUS

Predicted = Float[np.ndarray, "object proposal"]
"""Predicted IoU of each proposal."""

ALPHAS: Final = (0.1, 0.2, 0.3, 0.4, 0.5)
"""Shares of sets that may miss, in tables."""

N_HALVES: Final = 100
"""Halves of the images that calibrate sets for tables, each checked on the other half."""

ISOTONIC: Final = "sam_score_isotonic"
"""Name of SamScores that isotonic regression has calibrated."""


def doubt(
    predicted_iou: Float[np.ndarray, "*batch proposal"],
) -> Float[np.ndarray, "*batch proposal"]:
    """How likely those ahead of each proposal all fall short, were predicted IoUs probabilities.

    Higher predicted IoUs are ahead, and of those that tie the first; nothing is ahead of the first.

    >>> doubt(np.array([0.2, 0.9, 0.5])).round(3).tolist()
    [0.05, 1.0, 0.1]
    """
    order = np.argsort(-predicted_iou, axis=-1, kind="stable")
    fall_short = 1 - np.take_along_axis(predicted_iou, order, axis=-1).clip(0, 1)
    ahead = np.ones(predicted_iou.shape)
    ahead[..., 1:] = fall_short[..., :-1].cumprod(axis=-1, dtype=np.float64)
    found = np.empty_like(ahead)
    np.put_along_axis(found, order, ahead, axis=-1)
    return found


def mask_set(predicted_iou: Float[np.ndarray, " proposal"], threshold: float) -> tuple[int, ...]:
    """Proposals of the set of one object, the one with the highest predicted IoU first."""
    order = np.argsort(-predicted_iou, kind="stable")
    return tuple(order[doubt(predicted_iou)[order] >= threshold].tolist())


def judged_sets(
    predicted_iou: Predicted,
    is_good: Bool[np.ndarray, "object proposal"],
    group: Int[np.ndarray, "object"],
) -> Judged:
    """Objects by the largest threshold at which their set has a good proposal.

    That is ``NOTHING`` for objects without a good proposal, which fall short.
    """
    needed = _needed(doubt(predicted_iou), is_good)
    return Judged.masks(needed, needed == NOTHING, group)


def set_threshold(judged: Judged, alpha: float) -> float:
    """Largest threshold at which at most ``alpha`` of the sets miss: no sets are smaller.

    The promise is about an expectation over calibrations and a new image: that of the share of its
    objects whose set has no good proposal.

    Parameters
    ----------
    judged
        As ``judged_sets`` gives them.

    Returns
    -------
    The doubt from which proposals are in a set; ``NOTHING`` where no sets hold the promise.

    Raises
    ------
    ValueError
        If ``alpha`` is not between 0 and 1, or there are no objects.

    Notes
    -----
    Conformal risk control (Angelopoulos et al., arXiv 2208.02814, Theorem 1), as in
    ``threshold_of_all``; the loss of an image is the share of its objects whose set misses, which
    falls as the threshold does. With one object per image, it is the quantile of split conformal
    prediction.
    """
    check_calibration(judged, alpha)
    n_images = len(judged.images())
    (threshold,) = _thresholds(judged.uncertainty, judged.share, n_images, (alpha,))
    return float(threshold)


def _thresholds(
    needed: Values, share: Values, n_images: float, alphas: Sequence[float]
) -> Float[np.ndarray, " alpha"]:
    """Largest thresholds, given those that objects need in ascending order, and their weights."""
    most_missed = np.array(alphas) * (n_images + 1) - 1
    # Sets of the threshold that an object needs miss only those objects that need a lower one.
    places = np.searchsorted(share.cumsum(), most_missed, side="right")
    found: Float[np.ndarray, " alpha"] = np.where(most_missed < 0, NOTHING, needed[places])
    return found


def out_of_reach(judged: Judged) -> float:
    """Share of the objects without a good proposal, each image with the same weight."""
    return float(judged.share @ judged.falls_short / judged.share.sum())


def least_images(alpha: float, out_of_reach: float) -> float:
    """Fewest images for which sets exist if they miss only what is out of reach; inf where none do.

    >>> least_images(0.1, 0.0), least_images(0.2, 0.15), least_images(0.1, 0.1)
    (9, 16, inf)
    """
    spare = alpha - out_of_reach
    return ceil(round((1 - alpha) / spare, 9)) if spare > 0 else inf


def set_rows(
    model: str,
    predicted: Mapping[tuple[str, str], Predicted],
    iou: Float[np.ndarray, "object proposal"],
    resamples: Resamples,
) -> Iterator[MaskSetRow]:
    """How often sets by each prediction have a good proposal, and how large they are.

    Each of ``N_HALVES`` halves of the images calibrates sets for the others. A target that a half
    has no sets for is out of reach and left out, and so is all of a single image.

    Parameters
    ----------
    predicted
        By train split and name; sets are compared with those by the first.
    """
    if resamples.n_drawn.shape[1] == 1:
        return
    for least in FAILURE_IOUS:
        found = {name: _checked(own, iou >= least, resamples) for name, own in predicted.items()}
        first = next(iter(found.values()))
        for (i, alpha), ((train_split, measure), own) in product(enumerate(ALPHAS), found.items()):
            margin = own.n_masks[i] - first.n_masks[i]
            if not np.isnan(margin):
                yield MaskSetRow(
                    train_split,
                    model,
                    measure,
                    least,
                    alpha,
                    float(own.coverage[i]),
                    float(own.n_masks[i]),
                    interval(own.resampled[i]),
                    float(margin),
                    interval(own.resampled[i] - first.resampled[i]),
                )


@dataclass(frozen=True)
class _Checked:
    """Sets at each of ``ALPHAS``; NaN where there are none."""

    coverage: Float[np.ndarray, " alpha"]
    """Mean over the halves, each checked on the other images."""
    n_masks: Float[np.ndarray, " alpha"]
    """Likewise."""
    resampled: Float[np.ndarray, "alpha resample"]
    """Mean size of sets that are calibrated and counted on the same drawn images.

    They are calibrated as if these were half as many, so that they are comparable with ``n_masks``;
    sets that are calibrated anew vary more than those of fixed thresholds.
    """


def _checked(
    predicted_iou: Predicted, is_good: Bool[np.ndarray, "object proposal"], resamples: Resamples
) -> _Checked:
    group, n_images = resamples.group, resamples.n_drawn.shape[1]
    doubts = doubt(predicted_iou)
    needed = _needed(doubts, is_good)
    share = 1 / np.bincount(group)[group]
    order = np.argsort(needed, kind="stable")

    def calibrated(weight: Values, n_calibrated: float) -> Float[np.ndarray, " alpha"]:
        found = _thresholds(needed[order], weight[order], n_calibrated, ALPHAS)
        return np.where(found == NOTHING, np.nan, found)

    def means(values: Float[np.ndarray, "alpha object"], weight: Values, limits: Values) -> Values:
        return np.where(np.isnan(limits), np.nan, values @ weight / weight.sum())

    halves, sizes = [], []
    for is_of in _halves(n_images):
        limits = calibrated(share * is_of[group], is_of.sum())
        others = share * ~is_of[group]
        halves.append(
            (
                means(needed >= limits[:, np.newaxis], others, limits),
                means(_sizes(doubts, limits), others, limits),
            )
        )
    for drawn in resamples.n_drawn:
        weight = share * drawn[group]
        limits = calibrated(weight / 2, n_images / 2)
        sizes.append(means(_sizes(doubts, limits), weight, limits))
    coverage, n_masks = np.mean(halves, axis=0)
    return _Checked(coverage, n_masks, np.array(sizes).reshape(-1, len(ALPHAS)).T)


def _sizes(
    doubts: Predicted, limits: Float[np.ndarray, " alpha"]
) -> Int[np.ndarray, "alpha object"]:
    sizes: Int[np.ndarray, "alpha object"] = np.stack(
        [(doubts >= limit).sum(axis=1) for limit in limits]
    )
    return sizes


def _needed(doubts: Predicted, is_good: Bool[np.ndarray, "object proposal"]) -> Values:
    needed: Values = np.where(is_good, doubts, NOTHING).max(axis=1)
    return needed


def _halves(n_images: int) -> Iterator[Bool[np.ndarray, " group"]]:
    """Random halves of the images, each followed by the other half."""
    rng = np.random.default_rng(0)
    for _ in range(N_HALVES // 2):
        is_of = rng.permutation(n_images) < n_images // 2
        yield from (is_of, ~is_of)
