"""Risk control: the uncertainty up to which masks may be kept for a promise to hold.

A mask falls short if its IoU is below a threshold. Images (or videos) are the unit throughout: the
objects of one are not exchangeable with those of another, and each image has the same weight, which
its objects share. Both promises hold for a new image, and an object of it, drawn as those of the
calibration were, whatever the distribution and however good or bad the measure is.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Bool, Float, Int

from pipeline.scoring.kept.images import Judged, Splits

CONFIDENCE: Final = 0.9
"""Probability over calibrations with which the promise about kept masks holds."""

N_PROPOSED: Final = 20
"""Number of proposed thresholds, which are quantiles of the uncertainty."""

N_BETS: Final = 8
"""Number of bets against a threshold, one of which the same images choose."""

LARGEST_BET: Final = 0.95
"""Largest bet, as a share of the largest that is allowed, which would lose everything to one image
whose masks are all kept and fall short."""

NOTHING: Final = -np.inf
"""Threshold that keeps no mask, for when no other is known to keep the promise."""

N_FACTORS: Final = 16
"""Numbers that are multiplied before a logarithm is taken, which costs as much as twenty products.
They lie between ``1 - LARGEST_BET`` and ``1 / (1 - alpha)``: no product leaves the range of
floats."""

BLOCK_NUMBERS: Final = 2**18
"""Numbers of some splits whose logarithms are taken at once: they fit in a cache."""


def thresholds_of_all(judged: Judged, splits: Splits, alpha: float) -> Float[np.ndarray, "split"]:
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
    from pipeline.scoring.passes.thresholds import write_limits  # noqa: PLC0415

    _check(judged, alpha)
    is_calibrated = splits.is_calibrated
    thresholds = np.full(len(splits), NOTHING)
    write_limits(
        is_calibrated,
        judged.group,
        judged.is_last(),
        judged.uncertainty,
        judged.share * judged.falls_short,
        alpha * (is_calibrated.sum(axis=1) + 1),
        thresholds,
    )
    return thresholds


def thresholds_of_kept(judged: Judged, splits: Splits, alpha: float) -> Float[np.ndarray, "split"]:
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
        As ``thresholds_of_all``.

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
    n_design, n_test = splits.is_design[0].sum(), splits.is_test[0].sum()
    if not n_design or not n_test:
        return np.full(len(splits), NOTHING)
    size = max(1, BLOCK_NUMBERS // (N_PROPOSED * max(N_BETS * n_design, n_test)))
    starts = range(0, len(splits), size)
    return np.concatenate(
        [_shown(judged, splits.some(slice(start, start + size)), alpha) for start in starts]
    )


def _shown(judged: Judged, splits: Splits, alpha: float) -> Float[np.ndarray, "split"]:
    """Largest threshold of some splits that the test images show to hold."""
    proposed, n_proposed = _proposed(judged, splits.is_design)
    bets = LARGEST_BET * np.arange(1, N_BETS + 1) / N_BETS / (1 - alpha)
    design, test = (
        _excess(judged, is_of, (proposed, n_proposed), alpha)
        for is_of in (splits.is_design, splits.is_test)
    )
    of_bets = _evidence(bets[:, np.newaxis, np.newaxis], design[:, np.newaxis])
    bet = bets[of_bets.argmax(axis=1), np.newaxis]
    # What was not proposed comes last, and is shown by no image.
    is_proposed = np.arange(N_PROPOSED) < n_proposed[:, np.newaxis]
    order = np.argsort(-np.where(is_proposed, of_bets.max(axis=1), -np.inf), axis=1, kind="stable")
    ordered = np.take_along_axis(_evidence(bet, test), order, axis=1)
    is_shown = np.logical_and.accumulate(ordered >= -np.log1p(-CONFIDENCE), axis=1)
    shown = np.where(is_shown, np.take_along_axis(proposed, order, axis=1), NOTHING)
    largest: Float[np.ndarray, "split"] = shown.max(axis=1)
    return largest


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
    judged: Judged, splits: Splits, thresholds: Float[np.ndarray, "split"], alpha: float
) -> Check:
    """Check the threshold of each split on the images that did not calibrate it.

    Parameters
    ----------
    alpha
        For ``Check.excess``.
    """
    from pipeline.scoring.passes.thresholds import write_kept  # noqa: PLC0415

    n_kept = judged.n_kept(thresholds)
    of_checked = np.stack([judged.share, judged.share * judged.falls_short])
    of_rest = (judged.share * (judged.falls_short - alpha))[np.newaxis]
    kept, excess = np.empty((2, len(splits))), np.empty((1, len(splits)))
    for is_of, weight, found in (
        (~splits.is_calibrated, of_checked, kept),
        (~splits.is_design, of_rest, excess),
    ):
        write_kept(is_of, judged.group, n_kept, weight, judged.share, found)
    return Check(*kept, *excess)


def _proposed(
    judged: Judged, is_design: Bool[np.ndarray, "split group"]
) -> tuple[Float[np.ndarray, "split threshold"], Int[np.ndarray, "split"]]:
    """Thresholds that the design images propose, the lowest first, and how many of them differ."""
    from pipeline.scoring.passes.thresholds import write_proposed  # noqa: PLC0415

    proposed = np.full((len(is_design), N_PROPOSED), NOTHING)
    n_proposed = np.empty(len(is_design), np.int64)
    write_proposed(is_design, judged.group, judged.uncertainty, proposed, n_proposed)
    return proposed, n_proposed


def _excess(
    judged: Judged,
    is_of: Bool[np.ndarray, "split group"],
    proposed: tuple[Float[np.ndarray, "split threshold"], Int[np.ndarray, "split"]],
    alpha: float,
) -> Float[np.ndarray, "split threshold image"]:
    """Share of each image's masks that is kept and falls short, less alpha times what is kept."""
    from pipeline.scoring.passes.thresholds import write_excess  # noqa: PLC0415

    excess = np.zeros((len(is_of), N_PROPOSED, is_of[0].sum()))
    weight = judged.share * (judged.falls_short - alpha)
    write_excess(is_of, judged.group, judged.uncertainty, weight, *proposed, excess)
    return excess


def _evidence(
    bet: Float[np.ndarray, "#*any #image"], excess: Float[np.ndarray, "#*any image"]
) -> Float[np.ndarray, "*any"]:
    """Log of what a bet has won that a threshold's risk is at most alpha."""
    *rest, n_images = np.broadcast_shapes(bet.shape, excess.shape)
    n_logs = -(-n_images // N_FACTORS)
    # Ones at the end change no product.
    won = np.empty((*rest, N_FACTORS * n_logs))
    won[..., n_images:] = 1
    of_images = won[..., :n_images]
    np.multiply(bet, excess, out=of_images)
    np.subtract(1, of_images, out=of_images)
    factors = won.reshape(*rest, N_FACTORS, n_logs).prod(-2)
    evidence: Float[np.ndarray, "*any"] = np.log(factors, out=factors).sum(-1)
    return evidence


def _check(judged: Judged, alpha: float) -> None:
    if not 0 < alpha < 1:
        raise ValueError(f"alpha must lie between 0 and 1, got {alpha}")
    if not len(judged.group):
        raise ValueError("a calibration must have at least one object, got none")
