"""Promises about kept masks: thresholds by each measure, calibrated on all images of a split."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import count, product
from math import ceil, log1p
from typing import Final

import numpy as np
from jaxtyping import Int

from pipeline.result_rows import PromiseRow
from pipeline.scoring.measured import JudgedMasks
from pipeline.scoring.risk_control import (
    CONFIDENCE,
    DESIGN_SHARE,
    LARGEST_BET,
    Judged,
    design_images,
    threshold_of_all,
    threshold_of_kept,
)
from pipeline.scoring.statistics import FAILURE_IOUS

PROMISES: Final = ("all", "kept")
"""At most a share alpha of all masks is kept and falls short, or of the kept masks falls short."""

ALPHAS: Final = (0.1, 0.2)
"""Shares alpha in tables."""

SEED: Final = 0
"""For drawing the images that propose thresholds."""


@dataclass(frozen=True)
class Promise:
    """What is promised about kept masks."""

    of: str
    """One of ``PROMISES``."""
    iou: float
    """A mask falls short below it."""
    alpha: float


def promise_rows(
    masks: Iterable[JudgedMasks], group: Int[np.ndarray, "object"]
) -> Iterator[PromiseRow]:
    """Every promise by every measure, of those that keep something.

    Parameters
    ----------
    masks
        Each protocol's own.
    group
        Image, or video, of each object.
    """
    for one in masks:
        true_iou = one.iou
        for (train_split, measure), uncertainty in one.measures.items():
            judged = {iou: Judged.masks(uncertainty, true_iou < iou, group) for iou in FAILURE_IOUS}
            for promise in (Promise(*parts) for parts in product(PROMISES, FAILURE_IOUS, ALPHAS)):
                limit = threshold(judged[promise.iou], promise)
                kept = float((uncertainty <= limit).mean())
                if kept:
                    yield PromiseRow(
                        one.protocol,
                        train_split,
                        one.model,
                        measure,
                        promise.of,
                        promise.iou,
                        promise.alpha,
                        kept,
                    )


def threshold(judged: Judged, promise: Promise, seed: int = SEED) -> float:
    """Uncertainty up to which masks may be kept under a promise, calibrated on all images.

    Raises
    ------
    ValueError
        As ``threshold_of_all``, or if the promise is none of ``PROMISES``.
    """
    if promise.of not in PROMISES:
        raise ValueError(f"promise must be one of {', '.join(PROMISES)}, got {promise.of!r}")
    if promise.of == "all":
        return threshold_of_all(judged, promise.alpha)
    is_design = design_images(judged, np.random.default_rng(seed))
    return threshold_of_kept(judged, is_design, promise.alpha)


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
