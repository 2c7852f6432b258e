"""Ranks, detected failures and bins of objects in their order."""

from typing import no_type_check

import numpy as np
from numba import njit


@njit(nogil=True, cache=True, error_model="numpy")
@no_type_check
def write_mean_ranks(drawn, group, order, is_last, ranks):  # noqa: ANN001, ANN201
    """Write the rank of each object in one resample, 1 the first; a tie shares its mean rank.

    An object drawn w times counts as w tied objects.

    Parameters
    ----------
    drawn
        int32 (group,): how often each group was drawn.
    order
        int64 (object,): rows of the objects in order.
    ranks
        float64 (object,), written by row.
    """
    rank = 0.0
    size = 0.0
    first = 0
    for i in range(group.size):
        size += drawn[group[i]]
        if is_last[i]:
            mean = rank + (size + 1) / 2
            for j in range(first, i + 1):
                ranks[order[j]] = mean
            rank += size
            size = 0.0
            first = i + 1


@njit(nogil=True, cache=True, error_model="numpy")
@no_type_check
def write_rank_moments(n_drawn, group, orders, are_last, moments):  # noqa: ANN001, ANN201
    """Write the second moments of two values' ranks about their mean, not divided by the number.

    Parameters
    ----------
    group
        int64 (object,): by row, as no single order is meant.
    orders, are_last
        int64 and bool (value, object), of each of the two.
    moments
        float64 (moment, resample), written: of both, of the first, of the second.
    """
    n = group.size
    ranks = np.empty((2, n))
    ordered = np.empty((2, n), np.int64)
    for value in range(2):
        for i in range(n):
            ordered[value, i] = group[orders[value, i]]
    for r in range(n_drawn.shape[0]):
        for value in range(2):
            write_mean_ranks(
                n_drawn[r], ordered[value], orders[value], are_last[value], ranks[value]
            )
        n_objects = 0.0
        for i in range(n):
            n_objects += n_drawn[r, group[i]]
        centre = (n_objects + 1) / 2
        both, first, second = 0.0, 0.0, 0.0
        for i in range(n):
            w = np.float64(n_drawn[r, group[i]])
            a, b = ranks[0, i] - centre, ranks[1, i] - centre
            both += w * a * b
            first += w * a * a
            second += w * b * b
        moments[0, r], moments[1, r], moments[2, r] = both, first, second


@njit(nogil=True, cache=True, error_model="numpy")
@no_type_check
def write_detection(n_drawn, group, is_last, is_failure, n_all, share, found):  # noqa: ANN001, ANN201
    """Write AUROC, average precision and false alarms; first objects are flagged first.

    Parameters
    ----------
    is_failure
        float64 (object,), in order: 1 for a failure.
    n_all
        float64 (kind, resample): sound objects and failures of each resample.
    share
        Share of the failures that is caught where false alarms are counted.
    found
        float64 (statistic, resample), written where a resample has both kinds.
    """
    for r in range(n_drawn.shape[0]):
        n_sound, n_failures = n_all[0, r], n_all[1, r]
        if n_sound == 0 or n_failures == 0:
            continue
        pairs, precision = 0.0, 0.0
        caught, alarms = 0.0, 0.0
        failures, sound = 0.0, 0.0
        at_share = -1.0
        for i in range(group.size):
            w = np.float64(n_drawn[r, group[i]])
            failures += w * is_failure[i]
            sound += w * (1 - is_failure[i])
            if is_last[i]:
                caught += failures
                alarms += sound
                # Sound objects less uncertain than the tie, and half of those within.
                pairs += failures * (n_sound - alarms + sound / 2)
                precision += failures * caught / max(caught + alarms, 1.0)
                if at_share < 0 and caught / n_failures >= share:
                    at_share = alarms
                failures, sound = 0.0, 0.0
        found[0, r] = pairs / (n_failures * n_sound)
        found[1, r] = precision / n_failures
        found[2, r] = at_share / n_sound


@njit(nogil=True, cache=True, error_model="numpy")
@no_type_check
def write_bin_means(n_drawn, group, is_last, columns, n_objects, means):  # noqa: ANN001, ANN201
    """Write the means of columns over bins of equal mass, an object on an edge in both by share.

    Parameters
    ----------
    columns
        float64 (object, column), in order.
    n_objects
        float64 (resample,): objects of each resample.
    means
        float64 (column, resample, bin), written.
    """
    n_columns, _, n_bins = means.shape
    before, tie = np.empty(n_columns), np.empty(n_columns)
    at_edge = np.empty(n_columns)
    for r in range(n_drawn.shape[0]):
        per_bin = n_objects[r] / n_bins
        mass, size = 0.0, 0.0
        before[:] = 0
        tie[:] = 0
        at_edge[:] = 0
        edge = 1
        for i in range(group.size):
            w = np.float64(n_drawn[r, group[i]])
            size += w
            for c in range(n_columns):
                tie[c] += w * columns[i, c]
            if is_last[i]:
                # The last edge lies at the last object, whatever rounding says.
                while edge < n_bins and edge * per_bin <= mass + size:
                    part = (edge * per_bin - mass) / size if size > 0 else 0.0
                    for c in range(n_columns):
                        summed = before[c] + part * tie[c]
                        means[c, r, edge - 1] = (summed - at_edge[c]) / per_bin
                        at_edge[c] = summed
                    edge += 1
                mass += size
                size = 0.0
                for c in range(n_columns):
                    before[c] += tie[c]
                    tie[c] = 0.0
        for c in range(n_columns):
            means[c, r, edge - 1 :] = (before[c] - at_edge[c]) / per_bin
