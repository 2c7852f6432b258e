"""Numbers of a single mask, from its pixels by code: alone, and beside the ground truth."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Float64, Int64

from pipeline.masks import DECODE_TABLE, FIRST_FOREGROUND_CODE, N_CODES

REGIONS: Final = ("whole", "band")
"""Pixels that count: all of the mask's frame, or those near the outline of the ground truth."""

N_BINS: Final = 10
"""Bins of equal width, by foreground probability."""

CodeCounts = Int64[np.ndarray, "*batch code"]
"""Pixels of a mask by their code."""

TruthCounts = Int64[np.ndarray, "*batch truth code"]
"""Pixels of a region, by the ground truth (background, then foreground) and by code."""

_PROBABILITY: Final = DECODE_TABLE.astype(np.float64)

LEAST_PROBABILITY: Final = float(np.sin(np.pi / 4 / (N_CODES - 1)) ** 2)
"""Smallest probability that is not coded as 0, some 1e-5: what a code of 0 is read as here."""

_BIN_OF_CODE: Final = np.minimum((_PROBABILITY * N_BINS).astype(np.int64), N_BINS - 1)


@dataclass(frozen=True)
class MaskScore:
    """A number of each judged mask, from one click in the view ``identity``."""

    name: str
    """Name of its array in the entropy store."""
    meaning: str
    compute: Callable[[CodeCounts], Float64[np.ndarray, "*batch"]]
    dims: tuple[str, ...] = ("object", "judged", "model")
    """Dimensions of its array in the entropy store."""


def soft_dice(counts: CodeCounts) -> Float64[np.ndarray, "*batch"]:
    """Soft Dice of a mask's probabilities with the mask itself, cut where it is foreground.

    >>> counts = np.bincount([0, 255, 255], minlength=256)
    >>> float(soft_dice(counts))
    1.0

    Returns
    -------
    In [0, 1]; 1 for an all-background map, which is sure of itself.

    Notes
    -----
    Soft Dice Confidence (Borges et al., arXiv 2402.10665): ``2 Σ p ŷ / (Σ p + Σ ŷ)`` over the
    pixels, where ŷ is 1 in the foreground. It is near the mean Dice of the mask with a truth whose
    pixels are foreground with probability p, independently.
    """
    foreground = counts[..., FIRST_FOREGROUND_CODE:]
    overlap = foreground @ _PROBABILITY[FIRST_FOREGROUND_CODE:]
    total = counts @ _PROBABILITY + foreground.sum(axis=-1)
    score: Float64[np.ndarray, "*batch"] = np.ones_like(total)
    np.divide(2 * overlap, total, out=score, where=total > 0)
    return score


MASK_SCORES: Final = (
    MaskScore(
        "soft_dice",
        "soft Dice of the judged mask with itself, cut where it is foreground",
        soft_dice,
    ),
)
"""Every number of a judged mask that the stage ``entropy`` computes, as its store orders them."""


@dataclass(frozen=True)
class PixelScore:
    """Numbers of each judged mask, from one click in the view ``identity``, and each region."""

    name: str
    """Name of its array in the entropy store."""
    meaning: str
    compute: Callable[[TruthCounts], Float64[np.ndarray, "*values"]]
    """NaN in a region without pixels."""
    unit: str = "1"
    has_bins: bool = False
    """Whether there is one number for each bin."""

    @property
    def dims(self) -> tuple[str, ...]:
        """Dimensions of its array in the entropy store."""
        return ("object", "judged", "model", "region", *(("bin",) if self.has_bins else ()))


def brier(counts: TruthCounts) -> Float64[np.ndarray, "*batch"]:
    """Mean squared distance between probability and truth."""
    return _mean(counts, np.stack([_PROBABILITY**2, (1 - _PROBABILITY) ** 2]))


def negative_log_likelihood(counts: TruthCounts) -> Float64[np.ndarray, "*batch"]:
    """Mean of - log of the probability of the truth, in nats.

    Notes
    -----
    Probabilities are clipped to ``[LEAST_PROBABILITY, 1 - LEAST_PROBABILITY]``, since the codes at
    both ends stand for all that lies beyond: without that, a single pixel that is surely wrong
    would make the mean infinite. A pixel costs at most 11.6 nats.
    """
    p = _PROBABILITY.clip(LEAST_PROBABILITY, 1 - LEAST_PROBABILITY)
    return _mean(counts, -np.log(np.stack([1 - p, p])))


def bin_probabilities(counts: TruthCounts) -> Float64[np.ndarray, "*batch bin"]:
    """Summed probability of the pixels in each bin, over the number of pixels of the region."""
    return _binned(counts.sum(axis=-2) * _PROBABILITY, counts)


def bin_truths(counts: TruthCounts) -> Float64[np.ndarray, "*batch bin"]:
    """Foreground pixels in each bin, over the number of pixels of the region."""
    return _binned(counts[..., 1, :], counts)


PIXEL_SCORES: Final = (
    PixelScore("brier", "Brier score of the pixels", brier),
    PixelScore("nll", "negative log-likelihood of the pixels", negative_log_likelihood, unit="nat"),
    PixelScore(
        "bin_probability",
        "foreground probability of the bin's pixels, summed, over the region's pixels",
        bin_probabilities,
        has_bins=True,
    ),
    PixelScore(
        "bin_truth",
        "foreground pixels of the bin, over the region's pixels",
        bin_truths,
        has_bins=True,
    ),
)
"""Every comparison with the truth that the stage ``entropy`` computes, as its store orders them."""


def _mean(
    counts: TruthCounts, cost: Float64[np.ndarray, "truth code"]
) -> Float64[np.ndarray, "*batch"]:
    return _over_pixels((counts * cost).sum(axis=(-2, -1)), counts)


def _binned(values: np.ndarray, counts: TruthCounts) -> Float64[np.ndarray, "*batch bin"]:
    # Codes rise with the probability, so that each bin is a run of codes.
    first = np.searchsorted(_BIN_OF_CODE, np.arange(N_BINS))
    return _over_pixels(np.add.reduceat(values, first, axis=-1), counts)


def _over_pixels(summed: np.ndarray, counts: TruthCounts) -> np.ndarray:
    n_px = counts.sum(axis=(-2, -1))
    n_px = n_px.reshape(n_px.shape + (1,) * (summed.ndim - n_px.ndim))
    mean = np.full(summed.shape, np.nan)
    np.divide(summed, n_px, out=mean, where=n_px > 0)
    return mean
