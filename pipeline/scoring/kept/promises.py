"""Promises about kept masks: thresholds by each measure, checked on other images."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import count, product
from math import ceil, log1p, nan, sqrt
from types import MappingProxyType
from typing import Final

import numpy as np
from jaxtyping import Float, Int
from scipy.special import bdtr, ndtri

from pipeline.result_rows import PromiseRow
from pipeline.scoring.bootstrap import LEVEL, interval
from pipeline.scoring.evidence import Values
from pipeline.scoring.kept.images import DESIGN_SHARE, Judged, Splits, all_images, random_halves
from pipeline.scoring.kept.risk_control import (
    CONFIDENCE,
    LARGEST_BET,
    Check,
    check,
    thresholds_of_all,
    thresholds_of_kept,
)
from pipeline.scoring.measured import Each, JudgedMasks, one_by_one
from pipeline.scoring.statistics import FAILURE_IOUS

CALIBRATIONS: Final = MappingProxyType({"all": thresholds_of_all, "kept": thresholds_of_kept})
"""How the thresholds of each promise are found."""

PROMISES: Final = tuple(CALIBRATIONS)
"""At most a share alpha of all masks is kept and falls short, or of the kept masks falls short."""

ALPHAS: Final = (0.1, 0.2)
"""Shares alpha in tables."""

ROUNDING: Final = 1e-12
"""Excess that is none: sums of shares are not exact."""


@dataclass(frozen=True)
class Promise:
    """What is promised about kept masks."""

    of: str
    """One of ``PROMISES``."""
    iou: float
    """A mask falls short below it."""
    alpha: float


def promise_rows(
    masks: Iterable[JudgedMasks],
    group: Int[np.ndarray, "object"],
    n_splits: int,
    *,
    seed: int,
    advance: Callable[[int], None] = lambda _: None,
    each: Each = one_by_one,
) -> Iterator[PromiseRow]:
    """Every promise by every measure.

    Parameters
    ----------
    masks
        Each protocol's own.
    group
        Image, or video, of each object.
    n_splits
        Number of random halves of the images to calibrate on; the other halves check.
    seed
        For the halves, which are the same for every measure.
    advance
        Called with 1 after each measure of the masks. A single image gives no rows.
    each
        How the measures are gone through.
    """
    if len(np.unique(group)) == 1:
        return
    asked_of, measured = _measured(masks)
    work = partial(_checked, group=group, splits=_splits(group, n_splits, seed))
    for (asked, train_split, measure), checks in zip(asked_of, each(work, measured), strict=True):
        for promise, found in checks.items():
            yield PromiseRow(
                asked.protocol,
                train_split,
                asked.model,
                measure,
                promise.of,
                promise.iou,
                promise.alpha,
                found.held_of_all if promise.of == "all" else found.held_of_kept,
                interval(_held(found, promise)),
                float(found.kept.mean()),
                interval(found.kept),
                *reached(found, promise),
            )
        advance(1)


def _measured(
    masks: Iterable[JudgedMasks],
) -> tuple[list[tuple[JudgedMasks, str, str]], list[tuple[Values, Values]]]:
    """Masks with each train split and measure of theirs; and their true IoUs and uncertainties."""
    asked_of, measured = [], []
    for one in masks:
        iou = one.iou
        for (train_split, measure), uncertainty in one.measures.items():
            asked_of.append((one, train_split, measure))
            measured.append((iou, uncertainty))
    return asked_of, measured


def _splits(group: Int[np.ndarray, "object"], n_splits: int, seed: int) -> dict[str, Splits]:
    """Halves of the images by promise, the same for every measure."""
    n_images = len(np.unique(group))
    return {
        of: random_halves(n_images, n_splits, np.random.default_rng(seed), has_design=of == "kept")
        for of in PROMISES
    }


def _checked(
    measured: tuple[Values, Values],
    group: Int[np.ndarray, "object"],
    splits: Mapping[str, Splits],
) -> dict[Promise, Check]:
    """Check every promise by one measure; of each mask, its true IoU and its uncertainty."""
    true_iou, uncertainty = measured
    judged = {iou: Judged.masks(uncertainty, true_iou < iou, group) for iou in FAILURE_IOUS}
    checks = {}
    for promise in (Promise(*one) for one in product(PROMISES, FAILURE_IOUS, ALPHAS)):
        seen, halves = judged[promise.iou], splits[promise.of]
        thresholds = CALIBRATIONS[promise.of](seen, halves, promise.alpha)
        checks[promise] = check(seen, halves, thresholds, promise.alpha)
    return checks


def reached(found: Check, promise: Promise) -> tuple[float, float]:
    """What came of a guarantee over splits, and the lowest value that chance leaves to it.

    Notes
    -----
    Given the images of a data set, random splits are independent of each other, and the images of
    one split exchangeable, which is all that both guarantees need. They hold for the splits of
    these images, then, not only for new ones:

    - ``all``: the share of masks that is kept wrongly, averaged over the checked images, has an
      expectation of at most alpha. Its mean over the splits is compared with alpha by its standard
      error.
    - ``kept``: with the images that proposed set apart, the tested ones are drawn from the rest
      without replacement. The product of ``1 - bet x``, x the excess of an image, then has an
      expectation of at most the n-th power of its mean over the rest (Maclaurin's inequality), so
      that the test holds for the rest as it does for a distribution: a split leaves the rest with
      an excess above 0 with a probability of at most ``1 - CONFIDENCE``. The number of splits that
      do not is binomial.
    """
    lowest = (1 - LEVEL) / 2
    n_splits = len(found.kept)
    if promise.of == "all":
        deviation = found.fell_short.std(ddof=1) if n_splits > 1 else nan
        least = 1 - promise.alpha + ndtri(lowest) * deviation / sqrt(n_splits)
        return found.held_of_all, float(least)
    cumulated = bdtr(np.arange(n_splits + 1), n_splits, CONFIDENCE)
    share = float((found.excess <= ROUNDING).mean())
    return share, float(np.searchsorted(cumulated, lowest) / n_splits)


def threshold(judged: Judged, promise: Promise, seed: int) -> float:
    """Uncertainty up to which masks may be kept under a promise, calibrated on all images.

    Raises
    ------
    ValueError
        As ``thresholds_of_all``, or if the promise is none of ``PROMISES``.
    """
    if promise.of not in PROMISES:
        raise ValueError(f"promise must be one of {', '.join(PROMISES)}, got {promise.of!r}")
    generator = np.random.default_rng(seed) if promise.of == "kept" else None
    (found,) = CALIBRATIONS[promise.of](judged, all_images(judged, generator), promise.alpha)
    return float(found)


def least_images(promise: Promise) -> int:
    """Fewest images that can show a promise to hold, with masks that never fall short.

    >>> least_images(Promise("all", 0.8, 0.1)), least_images(Promise("kept", 0.8, 0.1))
    (9, 31)
    """
    if promise.of == "all":
        return ceil(1 / promise.alpha - 1)
    each = log1p(LARGEST_BET * promise.alpha / (1 - promise.alpha))
    n_tests = ceil(-log1p(-CONFIDENCE) / each)
    # Counted up, because the number of design images is rounded.
    return next(n for n in count(n_tests) if n - round(DESIGN_SHARE * n) >= n_tests)


def _held(found: Check, promise: Promise) -> Float[np.ndarray, "split"]:
    if promise.of == "all":
        return 1 - found.fell_short
    is_any = found.kept > 0
    held: Float[np.ndarray, "split"] = 1 - found.fell_short[is_any] / found.kept[is_any]
    return held
