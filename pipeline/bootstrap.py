"""Bootstrap over images, or videos: how far a result would move with others of their kind."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import nan
from typing import Final

import numpy as np
from jaxtyping import Float, Int

LEVEL: Final = 0.95
"""Share of the resamples that an interval holds."""

BLOCK_WEIGHTS: Final = 2**18
"""Weights (resamples x objects) in memory at once: 2 MB, which the caches hold."""


@dataclass(frozen=True)
class Interval:
    """What a value is in the middle ``LEVEL`` of the resamples; NaN where it does not exist."""

    low: float
    high: float


@dataclass(frozen=True)
class Resamples:
    """Groups of objects drawn with replacement, as many as there are.

    A group is an image or, where images are frames, a video: what stands in one is alike, and
    objects drawn one by one would make intervals too narrow.
    """

    n_drawn: Int[np.ndarray, "resample group"]
    """How often each group was drawn."""
    group: Int[np.ndarray, "object"]

    def __len__(self) -> int:
        """Return the number of resamples."""
        return len(self.n_drawn)

    def blocks(self) -> Iterator[Float[np.ndarray, "resample object"]]:
        """How often each object was drawn, some resamples at a time."""
        n_rows = max(1, BLOCK_WEIGHTS // len(self.group))
        # At least one block, so that of no resamples there are arrays, too: empty ones.
        for start in range(0, max(1, len(self)), n_rows):
            yield self.n_drawn[start : start + n_rows][:, self.group].astype(np.float64)


def resample_groups(group: Int[np.ndarray, "object"], n_resamples: int, seed: int) -> Resamples:
    """Draw the groups of objects with replacement; none if there is a single group.

    One group says nothing of others of its kind: it would come out the same in every draw, and make
    intervals without width.

    Raises
    ------
    ValueError
        If there is no object or ``n_resamples`` is below 1.
    """
    if n_resamples < 1 or not len(group):
        raise ValueError(
            f"n_resamples and objects must be at least 1, got {n_resamples} and {len(group)}"
        )
    groups, group = np.unique(group, return_inverse=True)
    n = len(groups)
    generator = np.random.default_rng(seed)
    n_drawn = np.empty((n_resamples if n > 1 else 0, n), np.int32)
    for counts in n_drawn:
        counts[:] = np.bincount(generator.integers(n, size=n), minlength=n)
    return Resamples(n_drawn, group)


def resampled_means(
    columns: Float[np.ndarray, "object column"], resamples: Resamples
) -> Float[np.ndarray, "resample column"]:
    """Mean of each column over the objects of each resample."""
    return np.concatenate(
        [weights @ columns / weights.sum(axis=1, keepdims=True) for weights in resamples.blocks()]
    )


def resampled_areas(
    gains: Float[np.ndarray, "object task"],
    uncertainty: Float[np.ndarray, "object"],
    resamples: Resamples,
) -> Float[np.ndarray, "resample task"]:
    """Area between each task's correction curve and its start, in each resample.

    See Also
    --------
    pipeline.auc.correction_auc : The same of one sample, and why mean ranks give it.

    Notes
    -----
    An object that was drawn w times is a tie of w, and all objects of a tie share its mean rank.
    """
    order = np.argsort(-uncertainty, kind="stable")
    ranked = uncertainty[order]
    is_first = np.concatenate([[True], ranked[1:] != ranked[:-1]])
    tie = np.cumsum(is_first) - 1
    return np.concatenate(
        [
            _areas(gains[order], weights[:, order], np.flatnonzero(is_first), tie)
            for weights in resamples.blocks()
        ]
    )


def interval(values: Float[np.ndarray, "resample"]) -> Interval:
    """Percentile interval; resamples in which the value does not exist (NaN) do not count."""
    values = values[~np.isnan(values)]
    if not len(values):
        return Interval(nan, nan)
    low, high = np.quantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(float(low), float(high))


def _areas(
    gains: Float[np.ndarray, "object task"],
    weights: Float[np.ndarray, "resample object"],
    tie_start: Int[np.ndarray, "tie"],
    tie: Int[np.ndarray, "object"],
) -> Float[np.ndarray, "resample task"]:
    """Areas of objects in their order, most uncertain first."""
    size = np.add.reduceat(weights, tie_start, axis=1)
    last_rank = np.cumsum(size, axis=1)
    n = last_rank[:, -1:]
    # n - mean rank + 1/2, as in correction_auc.
    height = n - last_rank + size / 2
    areas: Float[np.ndarray, "resample task"] = (weights * height[:, tie]) @ gains / n**2
    return areas
