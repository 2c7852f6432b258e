"""Numbers of masks that the stage ``entropy`` computes and its store holds: a row for each."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Float64, Int64

from pipeline.masks import DECODE_TABLE, FIRST_FOREGROUND_CODE, N_CODES
from pipeline.vocabulary import NEAR_CLICKS, SINGLE_CLICKS

Shares = Float64[np.ndarray, "object click proposal"]
"""Shares of the masks of one cell; over all cells that enter a mixture, they sum to 1."""

_IS_CENTER: Final = np.array(SINGLE_CLICKS)[:, np.newaxis] == "center"


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

UNSURE_BITS: Final = 0.5
"""Entropy above which a pixel is unsure: its probability lies between 0.11 and 0.89."""

_BY_REGION: Final = ("object", "judged", "model", "region")

_BIN_OF_CODE: Final = np.minimum((_PROBABILITY * N_BINS).astype(np.int64), N_BINS - 1)


@dataclass(frozen=True)
class CellMasks:
    """The masks of one cell (one model in one view), as a mixture weighs them."""

    task_probability: Shares
    """Probability of each proposal of a click, from the SamScores (Eq. 10)."""
    is_judged: Shares
    """1 for the judged proposal of a click, 0 for the others."""
    is_identity: bool
    """Whether the view is ``identity``."""
    n_models: int
    n_views: int
    is_end: bool
    """Whether the model is the smallest or the largest of them."""

    def at_center(self, shares: Shares) -> Shares:
        """The same shares for the click ``center``, none for the others."""
        at_center: Shares = shares * _IS_CENTER
        return at_center

    def in_identity(self, shares: Shares) -> Shares:
        """The same shares in the identity view, none in the others."""
        return shares if self.is_identity else np.zeros_like(shares)


@dataclass(frozen=True)
class MaskStatistic:
    """A number over some masks of an object."""

    name: str
    """Name of its array in the entropy store."""
    meaning: str
    shares: Callable[[CellMasks], Shares]
    """Shares of a cell's masks in the mean; masks that are compared are those with one above 0, as
    many for every object."""
    is_shared: bool = False
    """Whether the masks are of all models; otherwise each model has its own."""
    follows_judged: bool = True
    """Whether it takes judged proposals, so that there is one for each of ``JUDGED``."""
    clicks: tuple[str, ...] = SINGLE_CLICKS
    """Prompt sets whose masks have shares; of an agreement, maybe some that settings ask for."""

    @property
    def is_optional(self) -> bool:
        """Whether it is there only where settings ask for its prompt sets."""
        return self.clicks != SINGLE_CLICKS

    @property
    def dims(self) -> tuple[str, ...]:
        """Dimensions of its array in the entropy store."""
        judged = ("judged",) if self.follows_judged else ()
        return ("object", *judged, *(() if self.is_shared else ("model",)))


ENTROPIES: Final = (
    MaskStatistic(
        "h_y",
        "H_Y, Eq. 4: predictive entropy",
        lambda cell: cell.task_probability / (cell.n_models * cell.n_views * len(SINGLE_CLICKS)),
        is_shared=True,
        follows_judged=False,
    ),
    MaskStatistic(
        "h_theta",
        "H_Θ, Eq. 5: over the models",
        lambda cell: cell.in_identity(cell.at_center(cell.is_judged)) / cell.n_models,
        is_shared=True,
    ),
    MaskStatistic(
        "h_xp",
        "H_Xp, Eq. 6: over the clicks",
        lambda cell: cell.in_identity(cell.is_judged) / len(SINGLE_CLICKS),
    ),
    MaskStatistic(
        "h_a",
        "H_A, Eq. 7: over the proposals",
        lambda cell: cell.in_identity(cell.at_center(cell.task_probability)),
        follows_judged=False,
    ),
    MaskStatistic(
        "h_std",
        "H_Std: of the judged proposal alone",
        lambda cell: cell.in_identity(cell.at_center(cell.is_judged)),
    ),
    MaskStatistic(
        "h_t",
        "H_T: over the views",
        lambda cell: cell.at_center(cell.is_judged) / cell.n_views,
    ),
)
"""Entropies (Eq. 3) of a mean of masks, in bits, as the entropy store orders them."""

AGREEMENTS: Final = (
    MaskStatistic(
        "dice_theta",
        "mean Dice of the pairs of models",
        lambda cell: cell.in_identity(cell.at_center(cell.is_judged)),
        is_shared=True,
    ),
    MaskStatistic(
        "dice_ends",
        "Dice of the smallest and the largest model",
        lambda cell: cell.in_identity(cell.at_center(cell.is_judged)) * cell.is_end,
        is_shared=True,
    ),
    MaskStatistic(
        "dice_xp",
        "mean Dice of the pairs of clicks",
        lambda cell: cell.in_identity(cell.is_judged),
    ),
    MaskStatistic(
        "dice_a",
        "mean Dice of the pairs of proposals",
        lambda cell: cell.in_identity(cell.at_center(np.ones_like(cell.is_judged))),
        follows_judged=False,
    ),
    MaskStatistic(
        "dice_t",
        "mean Dice of the pairs of views",
        lambda cell: cell.at_center(cell.is_judged),
    ),
    MaskStatistic(
        "dice_near",
        "mean Dice of the pairs of clicks, `center` and seven moved from it; only where settings "
        "ask for `near`",
        lambda cell: cell.in_identity(cell.is_judged),
        clicks=(SINGLE_CLICKS[0], *NEAR_CLICKS),
    ),
)
"""Mean Dice of all pairs of hard masks, cut where they are foreground, in the store's order.

As for failure detection in Zenk et al. (Medical Image Analysis 101, 2025; arXiv 2406.03323), where
it is the strongest simple baseline, over the members of an ensemble; first in Roy et al.
(NeuroImage 195, 2019)."""


@dataclass(frozen=True)
class MaskScore:
    """A number, or one for each bin, of a judged mask from one click in the view ``identity``."""

    name: str
    """Name of its array in the entropy store."""
    meaning: str
    compute: Callable[[CodeCounts], Float64[np.ndarray, "*values"]]
    """Of the pixels by code or, where regions are compared with the truth, by truth and code; NaN
    in a region without pixels."""
    unit: str = "1"
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


def accuracy_versus_uncertainty(counts: TruthCounts) -> Float64[np.ndarray, "*batch"]:
    """Share of the pixels that are right and sure, or wrong and unsure.

    Notes
    -----
    PAvPU (Mukhoti and Gal, arXiv 1811.12709) with patches of one pixel. A pixel is unsure where its
    entropy is above ``UNSURE_BITS``.
    """
    p = _PROBABILITY
    is_right = np.stack([np.arange(N_CODES) < FIRST_FOREGROUND_CODE] * 2)
    is_right[1] = ~is_right[1]
    some = p.clip(LEAST_PROBABILITY, 1 - LEAST_PROBABILITY)
    is_unsure = -(some * np.log2(some) + (1 - some) * np.log2(1 - some)) > UNSURE_BITS
    return _mean(counts, (is_right != is_unsure).astype(np.float64))


def bin_probabilities(counts: TruthCounts) -> Float64[np.ndarray, "*batch bin"]:
    """Summed probability of the pixels in each bin, over the number of pixels of the region."""
    return _binned(counts.sum(axis=-2) * _PROBABILITY, counts)


def bin_truths(counts: TruthCounts) -> Float64[np.ndarray, "*batch bin"]:
    """Foreground pixels in each bin, over the number of pixels of the region."""
    return _binned(counts[..., 1, :], counts)


PIXEL_SCORES: Final = (
    MaskScore("brier", "Brier score of the pixels", brier, dims=_BY_REGION),
    MaskScore(
        "nll",
        "negative log-likelihood of the pixels",
        negative_log_likelihood,
        unit="nat",
        dims=_BY_REGION,
    ),
    MaskScore(
        "pavpu",
        "share of the pixels that are right and sure, or wrong and unsure",
        accuracy_versus_uncertainty,
        dims=_BY_REGION,
    ),
    MaskScore(
        "bin_probability",
        "foreground probability of the bin's pixels, summed, over the region's pixels",
        bin_probabilities,
        dims=(*_BY_REGION, "bin"),
    ),
    MaskScore(
        "bin_truth",
        "foreground pixels of the bin, over the region's pixels",
        bin_truths,
        dims=(*_BY_REGION, "bin"),
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
