"""Conformal risk control: the uncertainty up to which masks may be kept under a guarantee.

A mask falls short if its IoU is below a threshold. Images (or videos) are the unit throughout: the
objects of one image are not exchangeable with the objects of another. Each image has the same
weight, which its objects share. Both guarantees hold for a new image from the same distribution as
the images of the calibration, however bad the measure of uncertainty is.
"""

from dataclasses import dataclass
from itertools import count
from math import ceil, log1p
from typing import Final

import numpy as np
from jaxtyping import Bool, Float, Int

CONFIDENCE: Final = 0.9
"""Probability over calibrations with which the guarantee about kept masks holds."""

DESIGN_SHARE: Final = 0.25
"""Share of the images that propose thresholds and bets; the other images test them."""

N_PROPOSED: Final = 20
"""Number of thresholds that the design images propose: quantiles of their uncertainty."""

N_BETS: Final = 8
"""Number of sizes of a bet; for each threshold, the design images choose one size."""

LARGEST_BET: Final = 0.95
"""Largest bet, as a share of the largest allowed bet, which would lose everything to an image whose
masks are all kept and all fall short."""

NOTHING: Final = -np.inf
"""Threshold that keeps no mask: the answer where no other threshold is shown to be safe."""


@dataclass(frozen=True)
class CalibrationSet:
    """Masks that calibrate a threshold, in ascending order of uncertainty, with their images."""

    uncertainty: Float[np.ndarray, "object"]
    """Uncertainty of each mask, in ascending order."""
    falls_short: Bool[np.ndarray, "object"]
    """Whether the IoU of each mask is too low."""
    group: Int[np.ndarray, "object"]
    """Index of each mask's image, or video, from 0; in a selection, some indices are absent."""
    share: Float[np.ndarray, "object"]
    """Weight of each mask: 1 per image, shared equally by its masks."""

    @classmethod
    def of(
        cls,
        uncertainty: Float[np.ndarray, "object"],
        falls_short: Bool[np.ndarray, "object"],
        group: Int[np.ndarray, "object"],
    ) -> "CalibrationSet":
        """Sort masks by uncertainty, and weight them so that every image counts the same.

        ``group`` has the index of each mask's image, or video; images are numbered anew from 0.
        """
        _, group, size = np.unique(group, return_inverse=True, return_counts=True)
        order = np.argsort(uncertainty, kind="stable")
        group = group[order]
        ordered = uncertainty[order].astype(np.float64)
        return cls(ordered, falls_short[order], group, 1 / size[group])

    def of_images(self, is_of: Bool[np.ndarray, "group"]) -> "CalibrationSet":
        """Select the masks of some images; the images keep their indices.

        ``is_of[index]`` says whether to select an image: one entry for each index up to the
        highest, also for indices without masks.
        """
        is_in = is_of[self.group]
        return CalibrationSet(
            self.uncertainty[is_in], self.falls_short[is_in], self.group[is_in], self.share[is_in]
        )

    def images(self) -> Int[np.ndarray, "image"]:
        """Indices of the images that have masks in the calibration set, ascending."""
        return np.flatnonzero(np.bincount(self.group))


def threshold_of_all(calibration: CalibrationSet, alpha: float) -> float:
    """Largest threshold at which at most a share ``alpha`` of all masks is kept and falls short.

    The guarantee bounds the expected share of a new image's masks that are kept although they fall
    short: the expectation is over calibrations and new images.

    Returns
    -------
    The uncertainty of a mask of the calibration; masks up to and with this uncertainty are kept.
    ``NOTHING`` where no threshold holds.

    Notes
    -----
    Conformal risk control (Angelopoulos et al., arXiv 2208.02814, Theorem 1). The loss of an image
    is the share of its masks that are kept and fall short: at most 1, and monotone in the
    threshold. A new image can lose at most 1. The threshold is the largest at which the summed
    losses of n images, plus 1, are at most ``alpha (n + 1)``.
    """
    check_calibration(calibration, alpha)
    thresholds, tie = np.unique(calibration.uncertainty, return_inverse=True)
    lost = np.bincount(tie, weights=calibration.share * calibration.falls_short).cumsum()
    holds = lost + 1 <= alpha * (len(calibration.images()) + 1)
    return float(thresholds[holds].max(initial=NOTHING))


def design_images(
    calibration: CalibrationSet, generator: np.random.Generator
) -> Bool[np.ndarray, "group"]:
    """Draw ``DESIGN_SHARE`` of the images, which propose thresholds.

    The result has an entry for each index of an image up to the highest: True if it was drawn.
    """
    images = calibration.images()
    is_design = np.zeros(calibration.group.max(initial=-1) + 1, bool)
    is_design[generator.permutation(images)[: round(DESIGN_SHARE * len(images))]] = True
    return is_design


def threshold_of_kept(
    calibration: CalibrationSet, is_design: Bool[np.ndarray, "group"], alpha: float
) -> float:
    """Largest threshold that is shown to keep at most a share ``alpha`` of masks that fall short.

    The guarantee holds with probability ``CONFIDENCE`` over calibrations: where it holds, a kept
    mask of a new image falls short with a probability of at most ``alpha``. The images
    ``is_design``, a result of ``design_images``, propose thresholds; the others test them.

    Returns
    -------
    The uncertainty of a design image's mask; ``NOTHING`` where no threshold is shown to hold. An
    image without a kept mask that falls short multiplies the evidence by at most
    ``1 / (1 - alpha)``. So at least ``log(0.1) / log(1 - alpha)`` test images are needed: 22 at
    ``alpha`` 0.1.

    Notes
    -----
    The risk of kept masks is not monotone in the threshold, so conformal risk control does not
    apply. This is Learn then Test (Angelopoulos et al., arXiv 2110.01052) with split fixed-sequence
    testing: the design images propose thresholds and their order; on the other images, thresholds
    are tested in that order until a test fails.

    Let k be the share of an image's masks that is kept, and b the share that is kept and falls
    short. A threshold breaks the guarantee if ``b - alpha k`` has a mean above 0. This difference
    lies in [-alpha, 1 - alpha]. Let a bet in [0, 1 / (1 - alpha)] be chosen beforehand. For a
    threshold that breaks the guarantee, the product of ``1 - bet (b - alpha k)`` over images has an
    expectation of at most 1. By Markov's inequality it reaches ``1 / (1 - CONFIDENCE)`` with a
    probability of at most ``1 - CONFIDENCE`` (testing by betting, Waudby-Smith and Ramdas, arXiv
    2010.09686).
    """
    check_calibration(calibration, alpha)
    is_test = (np.bincount(calibration.group, minlength=len(is_design)) > 0) & ~is_design
    if not is_design.any() or not is_test.any():
        return NOTHING
    proposed = _proposed(calibration.uncertainty[is_design[calibration.group]])
    bets = LARGEST_BET * np.arange(1, N_BETS + 1) / N_BETS / (1 - alpha)
    design, test = (_excess(calibration, is_of, proposed, alpha) for is_of in (is_design, is_test))
    of_bets = np.log1p(-bets[:, np.newaxis, np.newaxis] * design).sum(axis=-1)
    bet = bets[of_bets.argmax(axis=0)]
    evidence = np.log1p(-bet[:, np.newaxis] * test).sum(axis=-1)
    order = np.argsort(-of_bets.max(axis=0), kind="stable")
    is_shown = np.logical_and.accumulate(evidence[order] >= -np.log1p(-CONFIDENCE))
    return float(proposed[order][is_shown].max(initial=NOTHING))


def _proposed(uncertainty: Float[np.ndarray, "object"]) -> Float[np.ndarray, "threshold"]:
    """Proposed thresholds: ``N_PROPOSED`` quantiles of sorted uncertainties, equal values once."""
    step = (len(uncertainty) - 1) / N_PROPOSED
    places = np.rint(np.arange(1, N_PROPOSED + 1) * step).astype(np.int64)
    return np.unique(uncertainty[places])


def _excess(
    calibration: CalibrationSet,
    is_of: Bool[np.ndarray, "group"],
    thresholds: Float[np.ndarray, "threshold"],
    alpha: float,
) -> Float[np.ndarray, "threshold image"]:
    """``b - alpha k`` of each image in ``is_of`` at each threshold, see ``threshold_of_kept``.

    k is the share of the image's masks that is kept, b the share that is kept and falls short.
    """
    # For each object, the index of the lowest threshold that keeps its mask.
    lowest = np.searchsorted(thresholds, calibration.uncertainty)
    is_kept = is_of[calibration.group] & (lowest < len(thresholds))
    weight = calibration.share * (calibration.falls_short - alpha)
    excess = np.zeros((len(thresholds), len(is_of)))
    np.add.at(excess, (lowest[is_kept], calibration.group[is_kept]), weight[is_kept])
    return excess.cumsum(axis=0)[:, is_of]


def check_calibration(calibration: CalibrationSet, alpha: float) -> None:
    """Raise a ValueError for a calibration without objects, or if not 0 < ``alpha`` < 1."""
    if not 0 < alpha < 1:
        raise ValueError(f"alpha must lie between 0 and 1, got {alpha}")
    if not len(calibration.group):
        raise ValueError("a calibration must have at least one object, got none")


GUARANTEES: Final = ("all", "kept")
"""Kinds of guarantee. ``all``: at most a share alpha of all masks is kept and falls short.
``kept``: at most a share alpha of the kept masks falls short."""

FAILURE_IOUS: Final = (0.5, 0.75, 0.9)
"""IoUs in tables below which a mask falls short."""

SEED: Final = 0
"""Seed that draws the design images."""


@dataclass(frozen=True)
class Guarantee:
    """A bound ``alpha`` on the share of masks (all or kept ones) that is kept and falls short."""

    of: str
    """One of ``GUARANTEES``: the masks of which ``alpha`` is a share."""
    iou: float
    """A mask falls short if its IoU is below this."""
    alpha: float


def threshold(calibration: CalibrationSet, guarantee: Guarantee) -> float:
    """Uncertainty up to which masks may be kept under a guarantee; ``NOTHING`` to keep none.

    The calibration's ``falls_short`` must say whether an IoU is below ``guarantee.iou``, which is
    not checked. ``SEED`` draws the design images.
    """
    if guarantee.of == "all":
        return threshold_of_all(calibration, guarantee.alpha)
    is_design = design_images(calibration, np.random.default_rng(SEED))
    return threshold_of_kept(calibration, is_design, guarantee.alpha)


def least_images(guarantee: Guarantee) -> int:
    """Fewest images that can show a guarantee to hold if no mask falls short.

    >>> least_images(Guarantee("all", 0.8, 0.1)), least_images(Guarantee("kept", 0.8, 0.1))
    (9, 31)
    """
    if guarantee.of == "all":
        return ceil(1 / guarantee.alpha - 1)
    evidence = log1p(LARGEST_BET * guarantee.alpha / (1 - guarantee.alpha))
    n_tests = ceil(-log1p(-CONFIDENCE) / evidence)
    # Counted up, because the number of design images is rounded.
    return next(n for n in count(n_tests) if n - round(DESIGN_SHARE * n) >= n_tests)
