"""Thresholds that keep a promise, and what they keep, over many splits of the images at once.

Besides the arguments of all passes, these take

is_design, is_test
    bool (split, group): whether an image proposes thresholds, or tests them.
share
    float64 (object,), in order: weight of each object.
falls_short
    bool (object,), in order.
"""

from typing import no_type_check

import numpy as np
from numba import njit


@njit(nogil=True, cache=True, error_model="numpy")
@no_type_check
def write_limits(is_calibrated, group, is_last, uncertainty, lost, allowed, thresholds):  # noqa: ANN001, ANN201
    """Write the largest uncertainty of a calibrated object up to which few of all are lost.

    Parameters
    ----------
    is_calibrated
        bool (split, group).
    lost
        float64 (object,), in order: what is lost if an object is kept.
    allowed
        float64 (split,): most that may be lost, and 1 for a new image.
    thresholds
        float64 (split,), written where one holds.
    """
    for s in range(is_calibrated.shape[0]):
        summed, tied = 0.0, 0.0
        is_any = False
        for i in range(group.size):
            if is_calibrated[s, group[i]]:
                tied += lost[i]
                is_any = True
            if is_last[i] and is_any:
                summed += tied
                if summed + 1 > allowed[s]:
                    break
                thresholds[s] = uncertainty[i]
                tied = 0.0
                is_any = False


@njit(nogil=True, cache=True, error_model="numpy")
@no_type_check
def write_proposed(is_design, group, uncertainty, proposed, n_proposed):  # noqa: ANN001, ANN201
    """Write quantiles of the uncertainty of the design images' objects, each value once.

    Parameters
    ----------
    proposed
        float64 (split, threshold), written from the first, as many as differ.
    n_proposed
        int64 (split,), written.
    """
    most = proposed.shape[1]
    values = np.empty(group.size)
    for s in range(is_design.shape[0]):
        n = 0
        for i in range(group.size):
            if is_design[s, group[i]]:
                values[n] = uncertainty[i]
                n += 1
        k = 0
        for rank in range(1, most + 1):
            value = values[int(np.rint(rank * ((n - 1) / most)))]
            if k == 0 or value != proposed[s, k - 1]:
                proposed[s, k] = value
                k += 1
        n_proposed[s] = k


@njit(nogil=True, cache=True, error_model="numpy")
@no_type_check
def write_excess(is_of, group, uncertainty, weight, proposed, n_proposed, excess):  # noqa: ANN001, ANN201
    """Write the weight of the objects that each threshold keeps, by image.

    Parameters
    ----------
    is_of
        bool (split, group): images whose objects count, as many in every split.
    weight
        float64 (object,), in order.
    excess
        float64 (split, threshold, image), zeros, written for the thresholds that there are.
    """
    column = np.empty(is_of.shape[1], np.int64)
    for s in range(is_of.shape[0]):
        n = 0
        for g in range(is_of.shape[1]):
            column[g] = n
            n += is_of[s, g]
        k = 0
        for i in range(group.size):
            while k < n_proposed[s] and uncertainty[i] > proposed[s, k]:
                k += 1
            if k == n_proposed[s]:
                break
            if is_of[s, group[i]]:
                excess[s, k, column[group[i]]] += weight[i]
        # The first threshold that keeps an object; the higher ones keep it, too.
        for k in range(1, n_proposed[s]):
            for c in range(n):
                excess[s, k, c] += excess[s, k - 1, c]


@njit(nogil=True, cache=True, error_model="numpy")
@no_type_check
def write_kept(is_of, group, n_kept, weight, share, kept):  # noqa: ANN001, ANN201
    """Write the weight of the first objects, as part of the share of all.

    Parameters
    ----------
    is_of
        bool (split, group): images whose objects count.
    n_kept
        int64 (split,): number of objects that are kept.
    weight
        float64 (column, object), in order.
    kept
        float64 (column, split), written.
    """
    summed = np.empty(weight.shape[0])
    for s in range(is_of.shape[0]):
        summed[:] = 0
        whole = 0.0
        for i in range(group.size):
            if is_of[s, group[i]]:
                whole += share[i]
                if i < n_kept[s]:
                    for c in range(summed.size):
                        summed[c] += weight[c, i]
        for c in range(summed.size):
            kept[c, s] = summed[c] / whole
