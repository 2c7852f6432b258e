"""Risk control: the uncertainty up to which masks may be kept for a promise to hold.

A mask falls short if its IoU is below a threshold. Images (or videos) are the unit throughout: the
objects of one are not exchangeable with those of another, and each image has the same weight, which
its objects share. Both promises hold for a new image, and an object of it, drawn as those of the
calibration were, whatever the distribution and however good or bad the measure is.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from jaxtyping import Bool, Float, Int

from pipeline.scoring.ranking import Ranking

CONFIDENCE: Final = 0.9
"""Probability over calibrations with which the promise about kept masks holds."""

DESIGN_SHARE: Final = 0.25
"""Share of the images that is used only to propose thresholds and bets."""

N_PROPOSED: Final = 20
"""Number of proposed thresholds, which are quantiles of the uncertainty."""

N_BETS: Final = 8
"""Number of bets against a threshold, one of which the same images choose."""

LARGEST_BET: Final = 0.95
"""Largest bet, as a share of the largest that is allowed, which would lose everything to one image
whose masks are all kept and fall short."""

NOTHING: Final = -np.inf
"""Threshold that keeps no mask, for when no other is known to keep the promise."""


@dataclass(frozen=True)
class Judged:
    """Masks of images to calibrate on, or to check a calibration with, the least uncertain first.

    In that order, what a threshold keeps are the first objects, and nothing is sorted again.
    """

    uncertainty: Float[np.ndarray, "object"]
    falls_short: Bool[np.ndarray, "object"]
    group: Int[np.ndarray, "object"]
    """Number of each object's image, or video, from 0."""
    share: Float[np.ndarray, "object"]
    """Weight of each object: 1 per image, shared by its objects."""

    @classmethod
    def masks(
        cls,
        uncertainty: Float[np.ndarray, "object"],
        falls_short: Bool[np.ndarray, "object"],
        group: Int[np.ndarray, "object"],
    ) -> "Judged":
        """Take all masks of some images."""
        _, group, size = np.unique(group, return_inverse=True, return_counts=True)
        order = np.argsort(uncertainty, kind="stable")
        group = group[order]
        return cls(uncertainty[order], falls_short[order], group, 1 / size[group])

    def of(self, is_of: Bool[np.ndarray, "group"]) -> "Judged":
        """Take the masks of some of the images, which keep their numbers."""
        objects = np.flatnonzero(is_of[self.group])  # places are taken faster than a mask
        return Judged(
            self.uncertainty[objects],
            self.falls_short[objects],
            self.group[objects],
            self.share[objects],
        )

    def images(self) -> Int[np.ndarray, "image"]:
        """Numbers of the images."""
        return np.flatnonzero(np.bincount(self.group))

    def n_kept(self, thresholds: Float[np.ndarray, "threshold"]) -> Int[np.ndarray, "threshold"]:
        """Number of objects that each threshold keeps, which are the first."""
        return np.searchsorted(self.uncertainty, thresholds, side="right")


@dataclass(frozen=True)
class Calibrated:
    """A threshold, and the images that had a say in which thresholds were tested."""

    threshold: float
    design: Int[np.ndarray, "image"] = field(default_factory=lambda: np.empty(0, np.int64))
    """Numbers of the images that proposed thresholds; none where all are tried."""


def threshold_of_all(judged: Judged, alpha: float) -> float:
    """Largest threshold at which, of all masks, at most ``alpha`` are kept and fall short.

    The promise is about an expectation over calibrations and a new image: that of the share of its
    masks that are kept although they fall short.

    Returns
    -------
    The uncertainty of a calibrated object, itself kept; ``NOTHING`` where no threshold holds.

    Raises
    ------
    ValueError
        If ``alpha`` is not between 0 and 1, or there are no objects.

    Notes
    -----
    Conformal risk control (Angelopoulos et al., arXiv 2208.02814, Theorem 1). The loss of an image
    is the share of its masks that are kept and fall short: at most 1, and monotone in the
    threshold. The threshold is the largest at which the summed losses of n images, plus 1, the
    most that a new image can lose, are at most ``alpha (n + 1)``.
    """
    _check(judged, alpha)
    ranking = Ranking.of(judged.uncertainty)
    lost = (judged.share * judged.falls_short)[ranking.order]
    summed = np.cumsum(ranking.by_tie(lost))
    n_groups = len(judged.images())
    holds = np.flatnonzero(summed + 1 <= alpha * (n_groups + 1))
    if not len(holds):
        return NOTHING
    return float(judged.uncertainty[ranking.order[ranking.first[holds[-1]]]])


def threshold_of_kept(judged: Judged, alpha: float, generator: np.random.Generator) -> float:
    """Threshold of ``calibrated_of_kept`` alone."""
    return calibrated_of_kept(judged, alpha, generator).threshold


def calibrated_of_kept(judged: Judged, alpha: float, generator: np.random.Generator) -> Calibrated:
    """Largest threshold at which, of the kept masks, at most ``alpha`` are shown to fall short.

    The promise holds with probability ``CONFIDENCE`` over calibrations: where it does, an object of
    a new image that is kept falls short with a probability of at most ``alpha``.

    Returns
    -------
    The uncertainty of a calibrated object; ``NOTHING`` where no threshold is shown to hold. An
    image whose kept masks are all sound multiplies the evidence by at most ``1 / (1 - alpha)``, so
    fewer than ``log(0.1) / log(1 - alpha)`` test images cannot show anything: 22 at ``alpha`` 0.1.

    Raises
    ------
    ValueError
        As ``threshold_of_all``.

    Notes
    -----
    The risk of kept masks is not monotone in the threshold, so conformal risk control does not
    apply; this is Learn then Test (Angelopoulos et al., arXiv 2110.01052) with split fixed-sequence
    testing: some images propose thresholds and their order; on the others, each is tested in that
    order until one fails. Let k be the share of an image's masks that is kept, and b the share that
    is kept and falls short. A threshold breaks the promise if ``b - alpha k`` has a mean above 0.
    It lies in [-alpha, 1 - alpha]; hence for a bet in [0, 1 / (1 - alpha)], chosen beforehand, the
    product of ``1 - bet (b - alpha k)`` over images has an expectation of at most 1, and by
    Markov's inequality reaches ``1 / (1 - CONFIDENCE)`` with a probability of at most
    ``1 - CONFIDENCE`` (testing by betting, Waudby-Smith and Ramdas, arXiv 2010.09686).
    """
    _check(judged, alpha)
    is_design = _draw(judged, DESIGN_SHARE, generator)
    design, test = judged.of(is_design), judged.of(~is_design)
    if not len(design.group) or not len(test.group):
        return Calibrated(NOTHING, design.images())
    ranks = np.linspace(0, len(design.group) - 1, N_PROPOSED + 1)[1:].round().astype(np.int64)
    proposed = np.unique(design.uncertainty[ranks])
    bets = LARGEST_BET * np.arange(1, N_BETS + 1) / N_BETS / (1 - alpha)
    design_evidence = _evidence(_excess(design, proposed, alpha), bets[:, np.newaxis])
    bet = bets[design_evidence.argmax(axis=0)]
    order = np.argsort(-design_evidence.max(axis=0), kind="stable")
    evidence = _evidence(_excess(test, proposed, alpha), bet)
    is_shown = evidence[order] >= -np.log1p(-CONFIDENCE)
    shown = proposed[order][np.logical_and.accumulate(is_shown)]
    return Calibrated(float(shown.max(initial=NOTHING)), design.images())


@dataclass(frozen=True)
class Check:
    """What thresholds kept of images that they were not calibrated on, by split of the images."""

    kept: Float[np.ndarray, "split"]
    """Share of the masks that is kept."""
    fell_short: Float[np.ndarray, "split"]
    """Share of all masks that is kept and falls short."""
    excess: Float[np.ndarray, "split"]
    """Over all images but those that proposed thresholds: the share of masks that is kept and falls
    short, minus alpha times the share that is kept. Above 0, too many of those kept fall short."""

    @property
    def held_of_all(self) -> float:
        """Share of the masks that are not kept wrongly, over all splits."""
        return float(1 - self.fell_short.mean())

    @property
    def held_of_kept(self) -> float:
        """Share of the kept masks that do not fall short, over all splits; NaN if none is kept."""
        n_kept = self.kept.sum()
        return float(1 - self.fell_short.sum() / n_kept) if n_kept > 0 else float("nan")


def check(
    judged: Judged,
    calibrate: Callable[[Judged], Calibrated],
    n_splits: int,
    generator: np.random.Generator,
    *,
    alpha: float,
) -> Check:
    """Calibrate on a random half of the images and check on the other half, ``n_splits`` times.

    Parameters
    ----------
    alpha
        For ``Check.excess``.

    Raises
    ------
    ValueError
        If there are fewer than 2 images.
    """
    n_images = len(judged.images())
    if n_images < 2:  # noqa: PLR2004 - one a side
        raise ValueError(f"a check must have at least 2 images, got {n_images}")
    kept, fell_short, excess = np.empty((3, n_splits))
    for split in range(n_splits):
        is_calibrated = _draw(judged, 0.5, generator)
        found = calibrate(judged.of(is_calibrated))
        (n_kept,) = judged.n_kept(np.array([found.threshold]))
        # The shares of an image sum to 1, those of all objects to the number of images.
        seen = judged.share * ~is_calibrated[judged.group]
        kept[split] = seen[:n_kept].sum() / seen.sum()
        fell_short[split] = seen[:n_kept][judged.falls_short[:n_kept]].sum() / seen.sum()
        is_rest = ~np.isin(np.arange(len(is_calibrated)), found.design)
        rest = judged.share * is_rest[judged.group]
        # By image, as the tests add it up.
        excess[split] = rest[:n_kept] @ (judged.falls_short[:n_kept] - alpha) / rest.sum()
    return Check(kept, fell_short, excess)


def _excess(
    judged: Judged, thresholds: Float[np.ndarray, "threshold"], alpha: float
) -> Float[np.ndarray, "threshold image"]:
    """Share of each image's masks that is kept and falls short, less alpha times what is kept."""
    n_kept = judged.n_kept(thresholds)
    kept = slice(n_kept[-1])
    images = judged.images()
    column = np.zeros(images[-1] + 1, np.int64)
    column[images] = np.arange(len(images))
    # The first threshold that keeps an object; the higher ones keep it, too.
    first = np.repeat(np.arange(len(thresholds)), np.diff(n_kept, prepend=0))
    excess = np.bincount(
        first * len(images) + column[judged.group[kept]],
        judged.share[kept] * (judged.falls_short[kept] - alpha),
        len(thresholds) * len(images),
    ).reshape(len(thresholds), len(images))
    # Row by row: NumPy's cumsum along the first axis takes thirty times as long.
    for k in range(1, len(thresholds)):
        excess[k] += excess[k - 1]
    return excess


def _evidence(
    excess: Float[np.ndarray, "threshold image"], bet: Float[np.ndarray, "*bet _"]
) -> Float[np.ndarray, "*bet threshold"]:
    """Log of what a bet has won that a threshold's risk is at most alpha."""
    evidence: Float[np.ndarray, "*bet threshold"] = np.log1p(-bet[..., np.newaxis] * excess).sum(-1)
    return evidence


def _draw(
    judged: Judged, share: float, generator: np.random.Generator
) -> Bool[np.ndarray, "group"]:
    """Draw a share of the images at random: whether each is among them."""
    images = judged.images()
    is_drawn = np.zeros(judged.group.max() + 1, bool)
    is_drawn[generator.permutation(images)[: round(share * len(images))]] = True
    return is_drawn


def _check(judged: Judged, alpha: float) -> None:
    if not 0 < alpha < 1:
        raise ValueError(f"alpha must lie between 0 and 1, got {alpha}")
    if not len(judged.group):
        raise ValueError("a calibration must have at least one object, got none")
