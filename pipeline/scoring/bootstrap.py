"""Bootstrap over images (or videos): how much a result would vary with other images.

Every statistic is computed in each of several *draws* of the objects. The first draw has every
object once: it gives the value of the statistic. The others are resamples: they give its interval.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from math import nan, sqrt
from types import ModuleType
from typing import Final

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

from pipeline.scoring.scores import LEVEL, Interval, Keys, Score

LEAST_GROUPS: Final = 3
"""Fewest groups for an interval: the variation of two groups says too little about others."""

Resampled = Float[np.ndarray, "draw"]
"""A statistic in each draw: first of the objects themselves, then of each resample."""

Measured = tuple[Keys, Mapping[str, Resampled]]
"""Statistics by name, and the keys that identify their scores.

A statistic that has its first value alone, that of the objects themselves, has no interval."""

LANES: Final = 64
"""Number of draws in a block. The weights of all groups of COCO val in a block nearly fit into
a core's cache."""


@dataclass(frozen=True)
class Resamples:
    """Draws of the objects: all objects once, then resamples.

    A resample draws as many groups as there are, with replacement. A group is an image or, where
    images are frames, a video. Objects of one group are similar, so that drawing single objects
    would make intervals too narrow.
    """

    n_drawn: Int[np.ndarray, "draw group"]
    """Number of times that each group was drawn; 1 in the first draw."""
    group: Int[np.ndarray, "object"]
    """Index of each object's group."""

    def __len__(self) -> int:
        return len(self.n_drawn)

    @property
    def n_groups(self) -> int:
        """Number of groups (images or videos), and of groups in each draw."""
        n_groups: int = self.n_drawn.shape[1]
        return n_groups

    @cached_property
    def drawn(self) -> Int[np.ndarray, "block group lane"]:
        """``n_drawn`` in blocks for compiled loops; empty draws fill the last block."""
        n_draws, n_groups = self.n_drawn.shape
        n_lanes = min(LANES, n_draws)
        drawn = np.zeros((-(-n_draws // n_lanes), n_groups, n_lanes), np.int32)
        for block, of_block in enumerate(drawn):
            n_drawn = self.n_drawn[block * n_lanes : (block + 1) * n_lanes]
            of_block[:, : len(n_drawn)] = n_drawn.T
        return drawn

    def by_lane(
        self, values: Shaped[np.ndarray, "*of draw"]
    ) -> Shaped[np.ndarray, "*of block lane"]:
        """Arrange one value per draw in the blocks of ``drawn``; 0 for empty draws."""
        n_blocks, _, n_lanes = self.drawn.shape
        by_lane = np.zeros((*values.shape[:-1], n_blocks * n_lanes), values.dtype)
        by_lane[..., : len(self)] = values
        return by_lane.reshape(*values.shape[:-1], n_blocks, n_lanes)

    def passed(
        self, write: Callable[..., None], *arguments: object, of: tuple[int, ...] = ()
    ) -> Float[np.ndarray, "*of draw"]:
        """Run a compiled loop over the objects (a pass), and return the numbers that it writes.

        Parameters
        ----------
        write
            Function of ``pipeline.scoring.passes``.
        arguments
            Arguments of ``write`` between ``drawn`` and the array of numbers to write.
        of
            Shape of the numbers of one draw; by default, a draw has one number.
        """
        n_blocks, _, n_lanes = self.drawn.shape
        numbers = np.empty((n_blocks, *of, n_lanes))
        write(self.drawn, *arguments, numbers)
        # Empty draws fill the last block: drop them.
        joined = np.moveaxis(numbers, 0, -2).reshape(*of, n_blocks * n_lanes)
        return np.ascontiguousarray(joined[..., : len(self)])

    @cached_property
    def n_objects(self) -> Int[np.ndarray, "draw"]:
        """Number of objects in each draw."""
        n_objects: Int[np.ndarray, "draw"] = self.n_drawn @ np.bincount(self.group)
        return n_objects

    def sums(self, columns: Float[np.ndarray, "object column"]) -> Float[np.ndarray, "draw column"]:
        """Sum of each column over the objects of each draw."""
        by_group = [np.bincount(self.group, column, self.n_groups) for column in columns.T]
        sums: Float[np.ndarray, "draw column"] = self._weight @ np.stack(by_group, axis=1)
        return sums

    def of(self, is_there: Bool[np.ndarray, "object"]) -> "Resamples":
        """The same draws of some of the objects, without groups and draws that have none of these.

        With fewer than ``LEAST_GROUPS`` groups left, there are no resamples.
        """
        groups, group = np.unique(self.group[is_there], return_inverse=True)
        n_drawn = self.n_drawn[: len(self) if len(groups) >= LEAST_GROUPS else 1, groups]
        return Resamples(n_drawn[n_drawn.any(axis=1)], group)

    @cached_property
    def _weight(self) -> Float[np.ndarray, "draw group"]:
        """``n_drawn`` in double precision; each product of matrices would convert it again."""
        return self.n_drawn.astype(np.float64)


def ranked(
    values: Float[np.ndarray, "object"],
) -> tuple[Int[np.ndarray, "object"], Bool[np.ndarray, "object"]]:
    """Order of the objects, the lowest value first, and whether each object ends a tie.

    The second array is in that order. Statistics sum by tie, so that they do not depend on the
    order within a tie. A value may be infinite, but not NaN.
    """
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    return order, np.append(ordered[1:] != ordered[:-1], [True])


def resample_groups(group: Int[np.ndarray, "object"], n_resamples: int, seed: int) -> Resamples:
    """Draw all objects once, then resamples: none with fewer than ``LEAST_GROUPS`` groups.

    ``group`` has the index of each object's image, or video; ``seed`` fixes the draws.
    """
    groups, group = np.unique(group, return_inverse=True)
    n = len(groups)
    generator = np.random.default_rng(seed)
    n_drawn = np.ones((1 + (n_resamples if n >= LEAST_GROUPS else 0), n), np.int32)
    for counts in n_drawn[1:]:
        counts[:] = np.bincount(generator.integers(n, size=n), minlength=n)
    return Resamples(n_drawn, group)


def resampled_means(
    columns: Float[np.ndarray, "object column"], resamples: Resamples
) -> Float[np.ndarray, "draw column"]:
    """Mean of each column over the objects of each draw."""
    means: Float[np.ndarray, "draw column"] = (
        resamples.sums(columns) / resamples.n_objects[:, np.newaxis]
    )
    return means


def resampled_areas(
    gains: Float[np.ndarray, "object task"],
    uncertainty: Float[np.ndarray, "object"],
    resamples: Resamples,
) -> Float[np.ndarray, "draw task"]:
    """Area between each task's correction curve and its start, in each draw.

    As in ``pipeline.scoring.auc.correction_auc``; an object drawn w times counts as w tied objects.
    """
    order, is_last = ranked(-uncertainty)
    areas = resamples.passed(
        passes().write_areas,
        resamples.group[order],
        is_last,
        np.ascontiguousarray(gains[order], np.float64),
        resamples.by_lane(resamples.n_objects.astype(np.float64)),
        of=(gains.shape[1],),
    )
    return areas.T


def passes() -> ModuleType:
    """Import the compiled loops over resampled objects at their first use: Numba loads in 0.5 s."""
    from pipeline.scoring import passes  # noqa: PLC0415

    return passes


def scores(measured: Iterable[Measured], n_groups: int) -> Iterator[Score]:
    """Yield a score for each statistic: its value, and its interval over the resamples."""
    for keys, statistics in measured:
        rows = np.full((len(statistics), max(map(len, statistics.values()))), nan)
        for row, values in zip(rows, statistics.values(), strict=True):
            row[: len(values)] = values
        for name, row, bounds in zip(statistics, rows, intervals(rows, n_groups), strict=True):
            yield Score(keys, name, float(row[0]), bounds)


def interval(values: Resampled, n_groups: int) -> Interval:
    """95 % interval of a statistic, by ``intervals``."""
    return intervals(values[np.newaxis], n_groups)[0]


def intervals(values: Float[np.ndarray, "row draw"], n_groups: int) -> list[Interval]:
    """95 % interval of each row, a statistic, from its values in the resamples.

    Values that are NaN are left out. A row without other values has NaN for both ends. ``n_groups``
    is the number of groups in each draw.
    """
    resampled = values[:, 1:]
    exists = ~np.isnan(resampled)
    is_there = exists.any(axis=1)
    is_whole = is_there & exists.all(axis=1)
    ends = np.full((2, len(values)), nan)
    if is_whole.any():
        ends[:, is_whole] = np.quantile(resampled[is_whole], shares_below(n_groups), axis=1)
    for row in np.flatnonzero(is_there & ~is_whole):
        ends[:, row] = np.quantile(resampled[row, exists[row]], shares_below(n_groups))
    return [Interval(low, high) for low, high in ends.T.tolist()]


@cache
def shares_below(n_groups: int) -> tuple[float, float]:
    """Shares of resampled values below the low end, and below the high end, of a 95 % interval.

    >>> [round(100 * share, 2) for share in shares_below(13)], round(shares_below(10**6)[0], 4)
    ([1.17, 98.83], 0.025)

    Notes
    -----
    Expanded percentile intervals (Hesterberg, The American Statistician 2015, section 5.2): groups
    drawn with replacement vary less than new groups by a factor sqrt((n - 1) / n), and Student's t
    of n - 1 degrees of freedom replaces the normal distribution. Intervals of plain percentiles
    would contain the true value for only 90.5 % of samples of 13 groups.
    """
    # Imported here: SciPy loads in half a second, and commands that import this module for the
    # names of statistics need no interval.
    from scipy.special import ndtr, stdtrit  # noqa: PLC0415

    width = -stdtrit(n_groups - 1, (1 - LEVEL) / 2) * sqrt(n_groups / (n_groups - 1))
    return float(ndtr(-width)), float(ndtr(width))


def p_values(differences: Float[np.ndarray, "row draw"], n_groups: int) -> list[float]:
    """Two-sided p-value of each difference from 0; 1 without resamples, or if these are equal.

    Differences in resamples that are NaN are left out. ``n_groups`` is the number of groups in each
    draw.

    Notes
    -----
    Student's t of n - 1 degrees of freedom, with the standard deviation of the resamples times
    sqrt(n / (n - 1)), as in ``shares_below``. With the normal distribution and without the factor,
    25 % of reports on 13 images call noise significant.
    """
    from scipy.special import stdtr  # noqa: PLC0415

    p_by_row = []
    for values in differences:
        resampled = values[1:][~np.isnan(values[1:])]
        error = resampled.std() * sqrt(n_groups / (n_groups - 1)) if len(resampled) else 0.0
        t = abs(values[0]) / error if error > 0 else 0.0
        p_by_row.append(float(2 * stdtr(n_groups - 1, -t)) if t > 0 else 1.0)
    return p_by_row
