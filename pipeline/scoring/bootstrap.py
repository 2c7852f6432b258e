"""Bootstrap over images, or videos: how much a result would vary with others of their kind."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import nan
from typing import Final

import numpy as np
from jaxtyping import Bool, Float, Int

LEVEL: Final = 0.95
"""Share of the resamples that an interval holds."""

BLOCK_WEIGHTS: Final = 2**15
"""Weights (resamples x objects) in memory at once: 256 KB, which a core's cache holds."""


@dataclass(frozen=True)
class Interval:
    """Range of a value in the middle ``LEVEL`` of the resamples; NaN where it does not exist."""

    low: float
    high: float


@dataclass(frozen=True)
class Resamples:
    """Groups of objects drawn with replacement, as many as there are.

    A group is an image or, where images are frames, a video: objects of one group are alike,
    and drawing them one by one would make intervals too narrow.
    """

    n_drawn: Int[np.ndarray, "resample group"]
    """How often each group was drawn."""
    group: Int[np.ndarray, "object"]

    def __len__(self) -> int:
        """Return the number of resamples."""
        return len(self.n_drawn)

    def blocks(
        self, order: Int[np.ndarray, "object"] | None = None
    ) -> Iterator[Float[np.ndarray, "resample object"]]:
        """How often each object was drawn, objects in the given order; some resamples at a time."""
        group = self.group if order is None else self.group[order]
        n_rows = max(1, BLOCK_WEIGHTS // len(group))
        # At least one block: without resamples, callers get empty arrays.
        for start in range(0, max(1, len(self)), n_rows):
            drawn = self.n_drawn[start : start + n_rows].astype(np.float64)
            yield np.take(drawn, group, axis=1)


def resample_groups(group: Int[np.ndarray, "object"], n_resamples: int, seed: int) -> Resamples:
    """Draw the groups of objects with replacement; none if there is a single group.

    One group says nothing about others of its kind: every draw would be the same, and intervals
    would have no width.

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


def each_once(n_objects: int) -> Resamples:
    """Draw every object once, to take a statistic of the objects themselves."""
    return Resamples(np.ones((1, 1), np.int32), np.zeros(n_objects, np.int64))


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
    pipeline.auc.correction_auc : The same for one sample, and why mean ranks give it.

    Notes
    -----
    An object drawn w times counts as w tied objects, and tied objects share their mean rank.
    """
    order = np.argsort(-uncertainty, kind="stable")
    ranked = uncertainty[order]
    ties = _Ties.of(np.concatenate([[True], ranked[1:] != ranked[:-1]]))
    ordered = gains[order]
    return np.concatenate([_areas(ordered, weights, ties) for weights in resamples.blocks(order)])


def interval(values: Float[np.ndarray, "resample"]) -> Interval:
    """Percentile interval; resamples in which the value does not exist (NaN) do not count."""
    values = values[~np.isnan(values)]
    if not len(values):
        return Interval(nan, nan)
    low, high = np.quantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(float(low), float(high))


@dataclass(frozen=True)
class _Ties:
    """Runs of objects with the same uncertainty."""

    start: Int[np.ndarray, "tie"]
    number: Int[np.ndarray, "object"]
    """The tie of each object."""

    @classmethod
    def of(cls, is_first: Bool[np.ndarray, "object"]) -> "_Ties | None":
        """Ties by their first objects; None where no objects tie, as with most scores."""
        if is_first.all():
            return None
        return cls(np.flatnonzero(is_first), np.cumsum(is_first) - 1)


def _areas(
    gains: Float[np.ndarray, "object task"],
    weights: Float[np.ndarray, "resample object"],
    ties: _Ties | None,
) -> Float[np.ndarray, "resample task"]:
    """Areas of objects in their order, most uncertain first."""
    size = weights if ties is None else np.add.reduceat(weights, ties.start, axis=1)
    last_rank = np.cumsum(size, axis=1)
    n = last_rank[:, -1:]
    # n - mean rank + 1/2, as in correction_auc.
    height = n - last_rank + size / 2
    if ties is not None:
        height = np.take(height, ties.number, axis=1)
    areas: Float[np.ndarray, "resample task"] = (weights * height) @ gains / n**2
    return areas
