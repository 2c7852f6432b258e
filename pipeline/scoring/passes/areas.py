"""Areas under curves of objects in their order, and where a curve reaches a height."""

from typing import no_type_check

import numpy as np
from numba import njit


@njit(nogil=True, cache=True, error_model="numpy")
@no_type_check
def write_areas(n_drawn, group, is_last, gains, n_objects, areas):  # noqa: ANN001, ANN201
    """Write the area between each correction curve and its start; first objects go first.

    Parameters
    ----------
    gains
        float64 (object, task), in order.
    n_objects
        float64 (resample,): objects of each resample.
    areas
        float64 (resample, task), written.
    """
    gained = np.empty(gains.shape[1])
    for r in range(n_drawn.shape[0]):
        n = n_objects[r]
        rank = 0.0
        size = 0.0
        gained[:] = 0
        areas[r] = 0
        for i in range(group.size):
            w = np.float64(n_drawn[r, group[i]])
            size += w
            for task in range(gained.size):
                gained[task] += w * gains[i, task]
            if is_last[i]:
                rank += size
                # n - mean rank + 1/2, as in correction_auc.
                height = n - rank + size / 2
                for task in range(gained.size):
                    areas[r, task] += gained[task] * height
                    gained[task] = 0
                size = 0.0
        for task in range(gained.size):
            areas[r, task] /= n**2


@njit(nogil=True, cache=True, error_model="numpy")
@no_type_check
def write_aurc(n_drawn, group, is_last, risk, harmonic, n_objects, areas):  # noqa: ANN001, ANN201
    """Write the area under the risk-coverage curve; first objects are kept first.

    Parameters
    ----------
    risk
        float64 (object,), in order.
    harmonic
        float64 (k,): the harmonic number of k.
    n_objects
        int64 (resample,): objects of each resample.
    areas
        float64 (resample,), written.
    """
    # k H_k, whose differences are sums of harmonic numbers.
    scaled = np.arange(harmonic.size) * harmonic
    for r in range(n_drawn.shape[0]):
        whole = harmonic[n_objects[r]] + 1
        kept = 0
        size = 0
        summed = 0.0
        area = 0.0
        for i in range(group.size):
            w = n_drawn[r, group[i]]
            size += w
            summed += w * risk[i]
            if is_last[i]:
                # A tie of which nothing was drawn has a summed risk of 0.
                share = (scaled[kept + size] - scaled[kept]) / max(size, 1)
                area += summed * (whole - share)
                kept += size
                size = 0
                summed = 0.0
        areas[r] = area / n_objects[r]


@njit(nogil=True, cache=True, error_model="numpy")
@no_type_check
def write_shares(n_drawn, group, is_last, gain, tolerance, shares):  # noqa: ANN001, ANN201
    """Write the smallest share of the objects, the first first, whose gain is nearly that of all.

    Parameters
    ----------
    gain
        float64 (object,), in order.
    tolerance
        What the mean gain may lack.
    shares
        float64 (resample,), written.
    """
    for r in range(n_drawn.shape[0]):
        n, total, tied = 0.0, 0.0, 0.0
        for i in range(group.size):
            w = np.float64(n_drawn[r, group[i]])
            n += w
            tied += w * gain[i]
            if is_last[i]:
                total += tied
                tied = 0.0
        needed = total - tolerance * n
        sent, gained, size = 0.0, 0.0, 0.0
        shares[r] = 0.0
        if needed <= 0:
            continue
        for i in range(group.size):
            w = np.float64(n_drawn[r, group[i]])
            size += w
            tied += w * gain[i]
            if is_last[i]:
                if gained + tied >= needed:
                    # Straight from the tie before to the one that reaches it.
                    shares[r] = (sent + (needed - gained) / tied * size) / n
                    break
                sent += size
                gained += tied
                size, tied = 0.0, 0.0
