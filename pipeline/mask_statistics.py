"""Tables of the mask statistics that the stage ``entropy`` computes: one row per stored array."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Float64, Int64

from pipeline.masks import DECODE_TABLE, FIRST_FOREGROUND_CODE, N_CODES
from pipeline.vocabulary import NEAR_CLICKS, SINGLE_CLICKS

Shares = Float64[np.ndarray, "object click proposal"]
"""Weight of each mask of a cell in a mixture; the weights of all cells of a mixture sum to 1."""

_IS_CENTER: Final = np.array(SINGLE_CLICKS)[:, np.newaxis] == "center"


REGIONS: Final = ("whole", "band")
"""Regions of pixels: the whole frame of the mask, or the band along the ground truth's outline."""

N_BINS: Final = 10
"""Number of bins of foreground probability, of equal width."""

CodeCounts = Int64[np.ndarray, "*batch code"]
"""Number of pixels of a mask, by code."""

TruthCounts = Int64[np.ndarray, "*batch truth code"]
"""Number of pixels of a region, by ground truth (background, then foreground) and by code."""

_PROBABILITY: Final = DECODE_TABLE.astype(np.float64)

LEAST_PROBABILITY: Final = float(np.sin(np.pi / 1020) ** 2)
"""Replaces 0 in logarithms, about 1e-5. Code 0 stands for probabilities up to sin²(π/300)."""

UNSURE_BITS: Final = 0.5
"""Entropy above which a pixel counts as unsure: its probability is between 0.11 and 0.89."""

_BY_REGION: Final = ("object", "judged", "model", "region")

_BIN_OF_CODE: Final = np.minimum((_PROBABILITY * N_BINS).astype(np.int64), N_BINS - 1)


@dataclass(frozen=True)
class CellMasks:
    """SamScore shares and judged proposals of a cell (a model in a view), which weigh its masks."""

    task_probability: Shares
    """Probability of each proposal of a click, by Eq. 10."""
    is_judged: Shares
    """1 for the judged proposal of a click, 0 for the others."""
    is_identity: bool
    n_models: int
    n_views: int
    is_end: bool
    """Whether the model is the smallest or the largest of the family."""

    def at_center(self, shares: Shares) -> Shares:
        """The shares (weights of masks), set to 0 for all of ``SINGLE_CLICKS`` but ``center``."""
        at_center: Shares = shares * _IS_CENTER
        return at_center

    def in_identity(self, shares: Shares) -> Shares:
        """The shares (weights of masks) in the view ``identity``; 0 in any other view."""
        return shares if self.is_identity else np.zeros_like(shares)


@dataclass(frozen=True)
class MaskStatistic:
    """A statistic over several masks of an object, such as the entropy of their mean.

    ``ENTROPIES`` and ``AGREEMENTS`` list them.
    """

    name: str
    """Name of its array in the entropy store."""
    meaning: str
    shares: Callable[[CellMasks], Shares]
    """Computes the shares of a cell's masks in the mean mask. An agreement compares the masks whose
    share is above 0; every object has the same number of them."""
    is_shared: bool = False
    """Whether the masks of all models enter one statistic; otherwise each model has its own."""
    follows_judged: bool = True
    """Whether the statistic depends on the judged proposal: it then has a value for each of
    ``JUDGED``."""
    clicks: tuple[str, ...] = SINGLE_CLICKS
    """Prompt sets whose masks have shares. An agreement may name extra prompt sets."""

    @property
    def iou_name(self) -> str:
        """Array of the entropy store with the IoU of an entropy's mean mask.

        >>> ENTROPIES[0].iou_name
        'iou_y'
        """
        return "iou_" + self.name.removeprefix("h_")

    @property
    def is_optional(self) -> bool:
        """Whether the statistic needs prompt sets that settings must ask for."""
        return self.clicks != SINGLE_CLICKS

    @property
    def dims(self) -> tuple[str, ...]:
        """Dimensions of its array in the entropy store, the first of which is ``object``."""
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
        "H_Std: of the judged proposal alone, of its logits",
        lambda cell: cell.in_identity(cell.at_center(cell.is_judged)),
    ),
    MaskStatistic(
        "h_t",
        "H_T: over the views",
        lambda cell: cell.at_center(cell.is_judged) / cell.n_views,
    ),
)
"""Entropies (Eq. 3) of a mean of masks, in bits, in the order of the entropy store.

The stage takes that of ``h_std``, a single mask, from features, see ``PlannedCell``."""

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
"""Mean Dice of all pairs of masks, cut at 0.5, in the order of the entropy store.

Zenk et al. (Medical Image Analysis 101, 2025; arXiv 2406.03323) find the pairwise Dice of an
ensemble's members to be the strongest simple baseline for failure detection. Roy et al. (NeuroImage
195, 2019) use it first."""


@dataclass(frozen=True)
class MaskScore:
    """A statistic of one mask of an object: the best or the selected proposal for ``center``.

    The view is ``identity``. ``MASK_SCORES``, ``CUT_SCORES`` and ``PIXEL_SCORES`` list them.
    """

    name: str
    """Name of its array in the entropy store."""
    meaning: str
    compute: Callable[[CodeCounts], Float64[np.ndarray, "*values"]]
    """Computes the statistic from ``CodeCounts`` or, to compare a mask with the ground truth, from
    ``TruthCounts``. A comparison is NaN for a region without pixels."""
    unit: str = "1"
    dims: tuple[str, ...] = ("object", "judged", "model")
    """Names of the dimensions of the statistic's array in the entropy store."""


def soft_dice(counts: CodeCounts) -> Float64[np.ndarray, "*batch"]:
    """Soft Dice of a mask's probabilities with the same mask cut at 0.5.

    In [0, 1]; 1 for an all-background map, which has no doubtful pixel.

    >>> counts = np.bincount([0, 75, 75], minlength=76)
    >>> float(soft_dice(counts))
    1.0

    Notes
    -----
    Soft Dice Confidence (Borges et al., arXiv 2402.10665): ``2 Σ p ŷ / (Σ p + Σ ŷ)`` over the
    pixels, where ŷ is 1 in the foreground. If each pixel of the ground truth were foreground with
    probability p, independently, it would approximate the expected Dice of mask and ground truth.
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
"""Statistics of a judged mask alone, in the order of the entropy store."""


def rankseg_iou(counts: TruthCounts) -> Float64[np.ndarray, "*batch"]:
    """IoU with the ground truth of a mask that is cut where its expected IoU is the highest.

    >>> counts = np.zeros((1, 2, N_CODES), int)
    >>> counts[0, 0, 0], counts[0, 1, 36], counts[0, 1, 75] = 3, 1, 2
    >>> rankseg_iou(counts)
    array([1.])

    Notes
    -----
    RankSEG (arXiv 2510.15362), the reciprocal moment approximation for the IoU. With pixels ordered
    by probability, the first k are the foreground, for the k with the highest
    ``c / (k + S - c)``. Here c is the sum of the first k probabilities, and S is the sum of all.
    Pixels of one code are taken together, since the expected IoU is highest at an end of a run of
    equal probabilities. A mask without probability stays empty.
    """
    by_code = counts[..., ::-1]  # the most probable first
    n_px = by_code.sum(axis=-2)
    n_chosen = n_px.cumsum(axis=-1)
    mass = (n_px * _PROBABILITY[::-1]).cumsum(axis=-1)
    expected_iou = mass / np.maximum(n_chosen + mass[..., -1:] - mass, np.finfo(np.float64).tiny)
    cut = expected_iou.argmax(axis=-1)[..., np.newaxis]
    shared = by_code[..., 1, :].cumsum(axis=-1)
    n_truth = shared[..., -1]
    n_foreground, n_shared = (
        np.take_along_axis(n_px_to, cut, axis=-1)[..., 0] for n_px_to in (n_chosen, shared)
    )
    return iou_of_counts(n_foreground, n_truth, n_shared)


def iou_of_counts(
    n_foreground: Int64[np.ndarray, "*batch"],
    n_truth: Int64[np.ndarray, "*#batch"],
    n_shared: Int64[np.ndarray, "*batch"],
) -> Float64[np.ndarray, "*batch"]:
    """IoU of masks with ground truths, from their pixels and ``n_shared``, the pixels in both.

    0 where both are empty.
    """
    # No pixel in either is an IoU of 0: there is no object to find.
    iou: Float64[np.ndarray, "*batch"] = n_shared / np.maximum(n_foreground + n_truth - n_shared, 1)
    return iou


CUT_SCORES: Final = (
    MaskScore(
        "rankseg_iou",
        "IoU with the ground truth of the judged mask, cut where RankSEG expects the highest IoU, "
        "at the size of the masks",
        rankseg_iou,
    ),
)
"""IoUs of the judged mask under other cuts than 0.5, in the order of the entropy store."""


def brier(counts: TruthCounts) -> Float64[np.ndarray, "*batch"]:
    """Brier score: mean squared difference between a pixel's probability and its ground truth.

    The mean is over the pixels of a region; NaN for a region without pixels.
    """
    return _mean(counts, np.stack([_PROBABILITY**2, (1 - _PROBABILITY) ** 2]))


def negative_log_likelihood(counts: TruthCounts) -> Float64[np.ndarray, "*batch"]:
    """Mean negative logarithm of the probability of the ground truth, in nats.

    The mean is over the pixels of a region; NaN for a region without pixels.

    Notes
    -----
    Probabilities are clipped to ``[LEAST_PROBABILITY, 1 - LEAST_PROBABILITY]``, the range that
    codes can tell apart. So one pixel that is certain and wrong costs 11.6 nats, not infinity.
    """
    p = _PROBABILITY.clip(LEAST_PROBABILITY, 1 - LEAST_PROBABILITY)
    return _mean(counts, -np.log(np.stack([1 - p, p])))


def accuracy_versus_uncertainty(counts: TruthCounts) -> Float64[np.ndarray, "*batch"]:
    """Share of a region's pixels that the mask classifies right and surely, or wrong and unsurely.

    NaN for a region without pixels.

    Notes
    -----
    PAvPU (Mukhoti and Gal, arXiv 1811.12709) with patches of one pixel. A pixel is unsure if its
    entropy is above ``UNSURE_BITS``.
    """
    p = _PROBABILITY
    is_right = np.stack([np.arange(N_CODES) < FIRST_FOREGROUND_CODE] * 2)
    is_right[1] = ~is_right[1]
    inside = p.clip(LEAST_PROBABILITY, 1 - LEAST_PROBABILITY)
    is_unsure = -(inside * np.log2(inside) + (1 - inside) * np.log2(1 - inside)) > UNSURE_BITS
    return _mean(counts, (is_right != is_unsure).astype(np.float64))


def bin_probabilities(counts: TruthCounts) -> Float64[np.ndarray, "*batch bin"]:
    """Sum of the foreground probabilities in each bin, divided by the pixels of the region.

    NaN for a region without pixels.
    """
    return _binned(counts.sum(axis=-2) * _PROBABILITY, counts)


def bin_truths(counts: TruthCounts) -> Float64[np.ndarray, "*batch bin"]:
    """Number of object pixels (by ground truth) in each bin, divided by the region's pixels.

    NaN for a region without pixels.
    """
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
"""Comparisons of a judged mask with the ground truth, in the order of the entropy store."""


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
