"""Areas under curves of objects in their order, and where a curve reaches a height."""

from typing import no_type_check

import numpy as np
from numba import njit


@njit(nogil=True, cache=True, error_model="numpy")
@no_type_check
def write_areas(drawn, group, is_last, gains, n_objects, areas):  # noqa: ANN001, ANN201
    """Write the area between each correction curve and its start; first objects go first.

    Parameters
    ----------
    gains
        float64 (object, task), in order.
    n_objects
        float64 (block, lane): objects of each resample.
    areas
        float64 (block, task, lane), written.
    """
    n_tasks, n_lanes = areas.shape[1:]
    gained = np.empty((n_tasks, n_lanes))
    rank, size, height = np.empty(n_lanes), np.empty(n_lanes), np.empty(n_lanes)
    for block in range(drawn.shape[0]):
        n, area = n_objects[block], areas[block]
        gained[:], rank[:], size[:], area[:] = 0, 0, 0, 0
        for i in range(group.size):
            w = drawn[block, group[i]]
            if is_last[i]:
                for lane in range(n_lanes):
                    of_tie = size[lane] + w[lane]
                    rank[lane] += of_tie
                    # n - mean rank + 1/2, as in correction_auc.
                    height[lane] = n[lane] - rank[lane] + of_tie / 2
                    size[lane] = 0
                add_areas(w, gains[i], gained, height, area)
            else:
                add_gains(w, gains[i], size, gained)
        # By slices, the division took two seconds to compile.
        for task in range(n_tasks):
            for lane in range(n_lanes):
                area[task, lane] /= n[lane] ** 2


@njit(nogil=True, cache=True, error_model="numpy")
@no_type_check
def add_gains(w, gains, size, gained):  # noqa: ANN001, ANN201
    """Add an object to its tie."""
    for lane in range(w.size):
        size[lane] += w[lane]
    for task in range(gains.size):
        for lane in range(w.size):
            gained[task, lane] += w[lane] * gains[task]


@njit(nogil=True, cache=True, error_model="numpy")
@no_type_check
def add_areas(w, gains, gained, height, area):  # noqa: ANN001, ANN201
    """Add a tie with its last object, which most often is its only one."""
    for task in range(gains.size):
        for lane in range(w.size):
            area[task, lane] += (gained[task, lane] + w[lane] * gains[task]) * height[lane]
            gained[task, lane] = 0


@njit(nogil=True, cache=True, error_model="numpy")
@no_type_check
def write_aurc(drawn, group, is_last, risk, harmonic, n_objects, areas):  # noqa: ANN001, ANN201
    """Write the area under the risk-coverage curve; first objects are kept first.

    Parameters
    ----------
    risk
        float64 (object,), in order.
    harmonic
        float64 (k,): the harmonic number of k.
    n_objects
        int64 (block, lane): objects of each resample.
    areas
        float64 (block, lane), written.
    """
    # k H_k, whose differences are sums of harmonic numbers.
    scaled = np.arange(harmonic.size) * harmonic
    n_lanes = areas.shape[1]
    kept, size = np.empty(n_lanes, np.uint32), np.empty(n_lanes)
    summed, before, whole = np.empty(n_lanes), np.empty(n_lanes), np.empty(n_lanes)
    for block in range(drawn.shape[0]):
        n, area = n_objects[block], areas[block]
        kept[:], size[:], summed[:], before[:], area[:] = 0, 0, 0, 0, 0
        for lane in range(n_lanes):
            whole[lane] = harmonic[n[lane]] + 1
        for i in range(group.size):
            w = drawn[block, group[i]]
            for lane in range(n_lanes):
                kept[lane] += np.uint32(w[lane])
                size[lane] += w[lane]
                summed[lane] += w[lane] * risk[i]
            if is_last[i]:
                for lane in range(n_lanes):
                    after = scaled[kept[lane]]
                    # A tie of which nothing was drawn has a summed risk of 0.
                    share = (after - before[lane]) / max(size[lane], 1.0)
                    area[lane] += summed[lane] * (whole[lane] - share)
                    before[lane] = after
                    size[lane] = 0
                    summed[lane] = 0
        for lane in range(n_lanes):
            area[lane] /= n[lane]


@njit(nogil=True, cache=True, error_model="numpy")
@no_type_check
def write_shares(drawn, group, is_last, gain, tolerance, shares):  # noqa: ANN001, ANN201
    """Write the smallest share of the objects, the first first, whose gain is nearly that of all.

    Parameters
    ----------
    gain
        float64 (object,), in order.
    tolerance
        What the mean gain may lack.
    shares
        float64 (block, lane), written.
    """
    n_lanes = shares.shape[1]
    n, total, tied, needed = (
        np.empty(n_lanes),
        np.empty(n_lanes),
        np.empty(n_lanes),
        np.empty(n_lanes),
    )
    for block in range(drawn.shape[0]):
        n[:], total[:], tied[:] = 0, 0, 0
        for i in range(group.size):
            w = drawn[block, group[i]]
            for lane in range(n_lanes):
                n[lane] += w[lane]
                tied[lane] += w[lane] * gain[i]
            if is_last[i]:
                for lane in range(n_lanes):
                    total[lane] += tied[lane]
                    tied[lane] = 0
        for lane in range(n_lanes):
            needed[lane] = total[lane] - tolerance * n[lane]
            of_lane = drawn[block, :, lane]
            shares[block, lane] = share_of(of_lane, group, is_last, gain, needed[lane]) / n[lane]


@njit(nogil=True, cache=True, error_model="numpy")
@no_type_check
def share_of(drawn, group, is_last, gain, needed):  # noqa: ANN001, ANN201
    """Objects of one resample, the first first, that gain what is needed."""
    if needed <= 0:
        return 0.0
    sent, gained, size, tied = 0.0, 0.0, 0.0, 0.0
    for i in range(group.size):
        w = np.float64(drawn[group[i]])
        size += w
        tied += w * gain[i]
        if is_last[i]:
            if gained + tied >= needed:
                # Straight from the tie before to the one that reaches it.
                return sent + (needed - gained) / tied * size
            sent += size
            gained += tied
            size, tied = 0.0, 0.0
    return 0.0
