"""Bootstrap over images, or videos: how much a result would vary with others of their kind."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from math import nan
from types import ModuleType
from typing import Final

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

from pipeline.scoring.scores import LEVEL, Interval

ENDS: Final = ((1 - LEVEL) / 2, (1 + LEVEL) / 2)
"""Share of the resamples below either end of an interval."""

Resampled = Float[np.ndarray, "resample"]
"""A value of each resample."""

LANES: Final = 64
"""Resamples of a block: their weights of all groups of COCO val nearly fit a core's own cache."""


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

    @cached_property
    def drawn(self) -> Int[np.ndarray, "block group lane"]:
        """``n_drawn`` as the compiled passes read it; resamples of nothing fill the last block."""
        n_resamples, n_groups = self.n_drawn.shape
        n_lanes = max(1, min(LANES, n_resamples))
        drawn = np.zeros((-(-n_resamples // n_lanes), n_groups, n_lanes), np.int32)
        for block, of_block in enumerate(drawn):
            n_drawn = self.n_drawn[block * n_lanes : (block + 1) * n_lanes]
            of_block[:, : len(n_drawn)] = n_drawn.T
        return drawn

    def by_lane(
        self, values: Shaped[np.ndarray, "*of resample"]
    ) -> Shaped[np.ndarray, "*of block lane"]:
        """A value of each resample, in blocks as ``drawn`` has them; 0 where these are filled."""
        n_blocks, _, n_lanes = self.drawn.shape
        by_lane = np.zeros((*values.shape[:-1], n_blocks * n_lanes), values.dtype)
        by_lane[..., : len(self)] = values
        return by_lane.reshape(*values.shape[:-1], n_blocks, n_lanes)

    def passed(
        self, write: Callable[..., None], *arguments: object, of: tuple[int, ...] = ()
    ) -> Float[np.ndarray, "*of resample"]:
        """Numbers that a compiled pass over the objects writes.

        Parameters
        ----------
        arguments
            Arguments of the pass after ``drawn``, without the last one, which it writes to.
        of
            Shape of the numbers of a resample.
        """
        n_blocks, _, n_lanes = self.drawn.shape
        numbers = np.empty((n_blocks, *of, n_lanes))
        write(self.drawn, *arguments, numbers)
        # The last block is filled up.
        joined = np.moveaxis(numbers, 0, -2).reshape(*of, n_blocks * n_lanes)
        return np.ascontiguousarray(joined[..., : len(self)])

    @cached_property
    def n_objects(self) -> Int[np.ndarray, "resample"]:
        """Objects of each resample."""
        n_objects: Int[np.ndarray, "resample"] = self.n_drawn @ np.bincount(self.group)
        return n_objects

    def sums(
        self, columns: Float[np.ndarray, "object column"]
    ) -> Float[np.ndarray, "resample column"]:
        """Sum of each column over the objects of each resample."""
        n_groups = self.n_drawn.shape[1]
        by_group = [np.bincount(self.group, column, n_groups) for column in columns.T]
        sums: Float[np.ndarray, "resample column"] = self._weight @ np.stack(by_group, axis=1)
        return sums

    @cached_property
    def _weight(self) -> Float[np.ndarray, "resample group"]:
        """``n_drawn`` as a product of matrices takes it, which would convert it each time."""
        return self.n_drawn.astype(np.float64)


def ranked(
    values: Float[np.ndarray, "object"],
) -> tuple[Int[np.ndarray, "object"], Bool[np.ndarray, "object"]]:
    """Rows of the objects, the lowest value first, and whether each in that order ends a tie.

    Sums are taken by tie, so that no result depends on the order within one. A value may be
    infinite, but not NaN.
    """
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    return order, np.append(ordered[1:] != ordered[:-1], [True])


def resample_groups(group: Int[np.ndarray, "object"], n_resamples: int, seed: int) -> Resamples:
    """Draw the groups of objects with replacement; none if there is a single group.

    One group says nothing about others of its kind: every draw would be the same, and intervals
    would have no width.
    """
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
    means: Float[np.ndarray, "resample column"] = (
        resamples.sums(columns) / resamples.n_objects[:, np.newaxis]
    )
    return means


def resampled_areas(
    gains: Float[np.ndarray, "object task"],
    uncertainty: Float[np.ndarray, "object"],
    resamples: Resamples,
) -> Float[np.ndarray, "resample task"]:
    """Area between each task's correction curve and its start, in each resample.

    See Also
    --------
    pipeline.scoring.auc.correction_auc : The same for one sample, and why mean ranks give it.

    Notes
    -----
    An object drawn w times counts as w tied objects, and tied objects share their mean rank.
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
    """Compiled passes, imported late: Numba takes 0.5 s to load."""
    from pipeline.scoring import passes  # noqa: PLC0415

    return passes


def interval(values: Resampled) -> Interval:
    """Percentile interval of one value, as ``intervals``."""
    return intervals(values[np.newaxis])[0]


def intervals(values: Float[np.ndarray, "row resample"]) -> list[Interval]:
    """Percentile interval of each row; resamples in which its value is NaN do not count."""
    exists = ~np.isnan(values)
    is_there = exists.any(axis=1)
    is_whole = is_there & exists.all(axis=1)
    ends = np.full((2, len(values)), nan)
    if is_whole.any():
        ends[:, is_whole] = np.quantile(values[is_whole], ENDS, axis=1)
    for row in np.flatnonzero(is_there & ~is_whole):
        ends[:, row] = np.quantile(values[row, exists[row]], ENDS)
    return [Interval(low, high) for low, high in ends.T.tolist()]
