"""Errors of expected IoUs on held-out images, and the bound of a mean IoU that they give."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Float, Int

N_BINS: Final = 12
"""Most bins of the expected IoU, each with as many masks."""

PER_BIN: Final = 20
"""Fewest masks for a further bin."""

CONFIDENCE: Final = 0.95
"""Share of the reviews in which a bound holds."""


@dataclass(frozen=True)
class IouErrors:
    """Errors of the IoU that heads expect of a model's selected masks, for one prompt set.

    They were measured on images of the train split that were held out from the heads. The masks are
    in bins by their expected IoU: the most confident masks, which a review leaves for the end, may
    be overrated by more or less than the others.
    """

    model: str
    prompt: str
    """Name of the prompt set."""
    lowest: tuple[float, ...]
    """Lowest expected IoU of each bin, ascending. The first bin has all lower ones, too."""
    n_masks: tuple[int, ...]
    """Number of masks of each bin."""
    excess: tuple[float, ...]
    """Mean of the expected less the true IoU, by bin."""
    variance: tuple[float, ...]
    """Variance of the expected less the true IoU, by bin."""
    clustering: float
    """Variance of the mean error over that of as many masks of different images; at least 1."""
    n_images: int
    """Number of images, or of videos."""


def measure_errors(
    model: str,
    prompt: str,
    expected_iou: Float[np.ndarray, " mask"],
    iou: Float[np.ndarray, " mask"],
    group: Int[np.ndarray, " mask"],
) -> IouErrors:
    """Measure the errors of expected IoUs; ``group`` has the index of each mask's image, or video.

    >>> expected = np.repeat([0.5, 0.9], 20)
    >>> errors = measure_errors("tiny", "box", expected, expected - 0.1, np.arange(40))
    >>> errors.lowest, errors.n_masks, np.round(errors.excess, 2).tolist()
    ((0.5, 0.9), (20, 20), [0.1, 0.1])
    """
    expected_iou = expected_iou.clip(0, 1).astype(np.float64)
    error = expected_iou - iou
    n_bins = min(N_BINS, max(1, len(error) // PER_BIN))
    parts = np.array_split(np.sort(expected_iou), n_bins)
    lowest = np.unique([part[0] for part in parts])
    in_bin = bins_of(expected_iou, lowest)
    n_masks = np.bincount(in_bin)
    excess = np.bincount(in_bin, error) / n_masks
    rest = error - excess[in_bin]
    variance = np.bincount(in_bin, rest**2) / np.maximum(n_masks - 1, 1)
    groups, index = np.unique(group, return_inverse=True)
    of_groups = np.bincount(index, rest)
    clustering = float((of_groups**2).sum() / max(float((rest**2).sum()), np.finfo(float).tiny))
    return IouErrors(
        model,
        prompt,
        lowest=tuple(lowest.tolist()),
        n_masks=tuple(n_masks.tolist()),
        excess=tuple(excess.tolist()),
        variance=tuple(variance.tolist()),
        clustering=max(1.0, clustering),
        n_images=len(groups),
    )


def bins_of(
    expected_iou: Float[np.ndarray, " mask"], lowest: Float[np.ndarray, " bin"] | tuple[float, ...]
) -> Int[np.ndarray, " mask"]:
    """Number of the bin of each expected IoU; ``lowest`` are those of ``IouErrors``."""
    bins: Int[np.ndarray, " mask"] = np.searchsorted(lowest, expected_iou, side="right") - 1
    return bins.clip(0)


def lowest_mean_iou(
    mean_expected: Float[np.ndarray, "*set"],
    n_in_bin: Int[np.ndarray, "*set bin"],
    errors: IouErrors,
) -> Float[np.ndarray, "*set"]:
    """Lower bound of the mean true IoU of the masks of each set.

    Parameters
    ----------
    mean_expected
        Mean expected IoU of the masks of each set.
    n_in_bin
        Number of masks of each set in each bin of ``errors``; a set has one mask or more.

    Notes
    -----
    From the mean expected IoU, three terms are subtracted: the measured excess of masks in the same
    bins; a quantile of the standard error of that excess, by Student's t of the images; and a
    quantile of the deviation of the set's own mean. The last two are added, not their squares: the
    same heads serve many reviews, whose measured excess is off in the same direction.
    """
    # Imported here: it takes a third of a second, and most commands need no bound.
    from scipy.special import ndtri, stdtrit  # noqa: PLC0415

    n_masks = n_in_bin.sum(axis=-1)
    share = n_in_bin / n_masks[..., np.newaxis]
    variance = errors.clustering * np.array(errors.variance)
    of_excess = share**2 @ (variance / errors.n_masks)
    of_mean = share @ variance / n_masks
    bound: Float[np.ndarray, "*set"] = (
        mean_expected
        - share @ np.array(errors.excess)
        - stdtrit(max(1, errors.n_images - 1), CONFIDENCE) * np.sqrt(of_excess)
        - ndtri(CONFIDENCE) * np.sqrt(of_mean)
    )
    return bound.clip(0)
