"""Promises about kept masks: thresholds by each measure, checked on other images."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import count, product
from math import ceil, log1p
from typing import Final

import numpy as np
from jaxtyping import Float, Int

from pipeline.scoring.bootstrap import Interval, interval
from pipeline.scoring.measured import JudgedMasks
from pipeline.scoring.risk_control import (
    CONFIDENCE,
    DESIGN_SHARE,
    LARGEST_BET,
    Check,
    Judged,
    check,
    threshold_of_all,
    threshold_of_kept,
)
from pipeline.scoring.statistics import FAILURE_IOUS

PROMISES: Final = ("all", "kept")
"""At most a share alpha of all masks is kept and falls short, or of the kept masks falls short."""

ALPHAS: Final = (0.1, 0.2)
"""Shares alpha in tables."""


@dataclass(frozen=True)
class Promise:
    """What is promised about kept masks."""

    of: str
    """One of ``PROMISES``."""
    iou: float
    """A mask falls short below it."""
    alpha: float


@dataclass(frozen=True)
class PromiseRow:
    """A promise by one measure, and how it held on images that it was not calibrated on."""

    protocol: str
    train_split: str
    """Train split of the heads; empty for a measure without."""
    model: str
    measure: str
    promise: Promise
    held: float
    """Share of all masks that are not kept wrongly, or of the kept masks that do not fall short;
    1 - alpha is promised. NaN where nothing was ever kept."""
    held_interval: Interval
    """Middle 95 % of the splits that kept something."""
    kept: float
    """Share of the masks that is kept."""
    kept_interval: Interval
    """Middle 95 % of the splits."""


def promise_rows(
    masks: Iterable[JudgedMasks],
    group: Int[np.ndarray, "object"],
    n_splits: int,
    *,
    seed: int,
    advance: Callable[[int], None] = lambda _: None,
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
    """
    if len(np.unique(group)) == 1:
        return
    promises = [Promise(*one) for one in product(PROMISES, FAILURE_IOUS, ALPHAS)]
    for asked, ((train_split, measure), uncertainty) in (
        (one, found) for one in masks for found in one.measures.items()
    ):
        for promise in promises:
            judged = Judged.masks(uncertainty, asked.iou < promise.iou, group)
            generator = np.random.default_rng(seed)
            found = check(judged, _threshold(promise, generator), n_splits, generator)
            yield PromiseRow(
                asked.protocol,
                train_split,
                asked.model,
                measure,
                promise,
                found.held_of_all if promise.of == "all" else found.held_of_kept,
                interval(_held(found, promise)),
                float(found.kept.mean()),
                interval(found.kept),
            )
        advance(1)


def threshold(judged: Judged, promise: Promise, seed: int) -> float:
    """Uncertainty up to which masks may be kept under a promise, calibrated on all images.

    Raises
    ------
    ValueError
        As ``threshold_of_all``, or if the promise is none of ``PROMISES``.
    """
    return _threshold(promise, np.random.default_rng(seed))(judged)


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


def _threshold(promise: Promise, generator: np.random.Generator) -> Callable[[Judged], float]:
    if promise.of not in PROMISES:
        raise ValueError(f"promise must be one of {', '.join(PROMISES)}, got {promise.of!r}")
    if promise.of == "all":
        return partial(threshold_of_all, alpha=promise.alpha)
    return partial(threshold_of_kept, alpha=promise.alpha, generator=generator)


def _held(found: Check, promise: Promise) -> Float[np.ndarray, "split"]:
    if promise.of == "all":
        return 1 - found.fell_short
    is_any = found.kept > 0
    held: Float[np.ndarray, "split"] = 1 - found.fell_short[is_any] / found.kept[is_any]
    return held
