"""Inner loops of the statistics of resamples, compiled by Numba; they release the GIL.

Each loop passes over the ranked objects once for a block of resamples, so that no array holds the
weights of all objects in all resamples. A lane is a resample of a block. Loops over lanes become
vector instructions, and each lane sums in the same order as a single resample would. All functions
take ``drawn``, int32 (block, group, lane), how often each group was drawn; ``group``, int64
(object,), the group of each ranked object; and ``is_last``, bool (object,), whether a ranked object
is the last of its tie: sums are taken by tie. ``n_objects``, float64 (block, lane), is the number
of objects of each resample.

Shape checkers cannot wrap compiled functions, hence ``no_type_check``: the callers state and check
the shapes.
"""

from typing import no_type_check

import numpy as np
from numba import njit


@njit(nogil=True, cache=True, error_model="numpy")
@no_type_check
def write_areas(drawn, group, is_last, gains, n_objects, areas):  # noqa: ANN001, ANN201
    """Write the area between each correction curve and its start, for each resample.

    Objects are corrected in their order. ``gains`` is float64 (object, task), of the ranked
    objects; ``areas`` float64 (block, task, lane), written.
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
                add_object(w, gains[i], size, gained)
        # Loops, because a division of slices takes two seconds to compile.
        for task in range(n_tasks):
            for lane in range(n_lanes):
                area[task, lane] /= n[lane] ** 2


@njit(nogil=True, cache=True, error_model="numpy")
@no_type_check
def add_areas(w, gains, gained, height, area):  # noqa: ANN001, ANN201
    """Add the weighted gains of a tie, times ``height``, to ``area``, and set ``gained`` to 0.

    ``height`` is the weight of the tie's gains in the area. ``gained`` (task, lane) is the sum over
    the tie's objects but the last. ``gains`` (task,) and the weight ``w`` (lane,) are the last
    object's: most ties have no other object.
    """
    for task in range(gains.size):
        for lane in range(w.size):
            area[task, lane] += (gained[task, lane] + w[lane] * gains[task]) * height[lane]
            gained[task, lane] = 0


@njit(nogil=True, cache=True, error_model="numpy")
@no_type_check
def write_aurc(drawn, group, is_last, risk, harmonic, n_objects, areas):  # noqa: ANN001, ANN201
    """Write the area under the risk-coverage curve of each resample; first objects are kept first.

    ``risk`` is float64 (object,), of the ranked objects; ``harmonic`` float64 (k,), the harmonic
    number of k; ``n_objects`` int64; ``areas`` float64 (block, lane), written.
    """
    # k H_k: see the formula of ``usefulness.aurc``.
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
                    # If no object of a tie was drawn, its summed risk is 0.
                    share = (after - before[lane]) / max(size[lane], 1.0)
                    area[lane] += summed[lane] * (whole[lane] - share)
                    before[lane] = after
                    size[lane] = 0
                    summed[lane] = 0
        for lane in range(n_lanes):
            area[lane] /= n[lane]


@njit(nogil=True, cache=True, error_model="numpy")
@no_type_check
def write_bin_means(drawn, group, is_last, columns, n_objects, means):  # noqa: ANN001, ANN201
    """Write the means of columns over bins that hold equal numbers of objects, by resample.

    The first bin has the first ranked objects. Where one bin ends and the next begins within a tie,
    the tie counts in both, by its share in each. ``columns`` is float64 (object, column), of the
    ranked objects; ``means`` float64 (block, column, bin, lane), written.
    """
    _, n_columns, n_bins, n_lanes = means.shape
    # Number of objects, and sums of the columns: of all objects before a tie, then of the tie.
    n_before, tie_size = np.empty(n_lanes), np.empty(n_lanes)
    sums_before, tie_sums = np.empty((n_columns, n_lanes)), np.empty((n_columns, n_lanes))
    # Number of bins whose last object was passed, and sums of the columns over these bins.
    n_full, sums_of_full = np.empty(n_lanes, np.int64), np.empty((n_columns, n_lanes))
    for block in range(drawn.shape[0]):
        bin_size = n_objects[block] / n_bins
        n_before[:], tie_size[:], sums_before[:], tie_sums[:] = 0, 0, 0, 0
        n_full[:], sums_of_full[:] = 0, 0
        for i in range(group.size):
            add_object(drawn[block, group[i]], columns[i], tie_size, tie_sums)
            if is_last[i]:
                if fills_a_bin(n_full, bin_size, n_before, tie_size):
                    seen = (n_before, tie_size, sums_before, tie_sums)
                    write_full_bins(seen, n_full, sums_of_full, bin_size, means[block])
                for lane in range(n_lanes):
                    n_before[lane] += tie_size[lane]
                    tie_size[lane] = 0
                for c in range(n_columns):
                    for lane in range(n_lanes):
                        sums_before[c, lane] += tie_sums[c, lane]
                        tie_sums[c, lane] = 0
        for lane in range(n_lanes):
            for c in range(n_columns):
                in_last = sums_before[c, lane] - sums_of_full[c, lane]
                means[block, c, n_full[lane] :, lane] = in_last / bin_size[lane]


@njit(nogil=True, cache=True, error_model="numpy")
@no_type_check
def add_object(w, values, size, sums):  # noqa: ANN001, ANN201
    """Add an object to its tie: its weight ``w`` to ``size``, its weighted values to ``sums``.

    ``w`` (lane,) is how often each resample drew the object; ``values`` (column,) and ``sums``
    (column, lane).
    """
    for lane in range(w.size):
        size[lane] += w[lane]
    for c in range(values.size):
        for lane in range(w.size):
            sums[c, lane] += w[lane] * values[c]


@njit(nogil=True, cache=True, error_model="numpy")
@no_type_check
def fills_a_bin(n_full, bin_size, n_before, tie_size):  # noqa: ANN001, ANN201
    """Whether the next bin ends within a tie, in any lane: most ties end no bin.

    ``n_full`` bins are full, of ``bin_size`` objects each. ``n_before`` objects come before the
    tie, which has ``tie_size`` objects.
    """
    n_filled = 0
    for lane in range(n_full.size):
        end = (n_full[lane] + 1) * bin_size[lane]
        n_filled += end <= n_before[lane] + tie_size[lane]
    return n_filled > 0


@njit(nogil=True, cache=True, error_model="numpy")
@no_type_check
def write_full_bins(seen, n_full, sums_of_full, bin_size, means):  # noqa: ANN001, ANN201
    """Write the means of all bins that end within a tie, in each lane, for ``write_bin_means``.

    ``seen`` has the number of objects before the tie and in the tie, then their sums of columns.
    ``n_full`` and ``sums_of_full``, the number of full bins and the sums over them, are raised.
    """
    n_before, tie_size, sums_before, tie_sums = seen
    n_columns, n_bins, n_lanes = means.shape
    for lane in range(n_lanes):
        n_seen = n_before[lane] + tie_size[lane]
        end = (n_full[lane] + 1) * bin_size[lane]
        # The last bin always ends at the last object, in spite of rounding.
        while n_full[lane] < n_bins - 1 and end <= n_seen:
            share_of_tie = (end - n_before[lane]) / max(tie_size[lane], 1.0)
            for c in range(n_columns):
                sums = sums_before[c, lane] + share_of_tie * tie_sums[c, lane]
                means[c, n_full[lane], lane] = (sums - sums_of_full[c, lane]) / bin_size[lane]
                sums_of_full[c, lane] = sums
            n_full[lane] += 1
            end = (n_full[lane] + 1) * bin_size[lane]
