"""Pixels of judged masks, counted: all that scores of single masks are computed from."""

from typing import Final

import numpy as np
from jaxtyping import Bool, Int, Int64, UInt8

from pipeline.entropy.kernels import count_codes
from pipeline.entropy.truth import outline_band
from pipeline.masks import N_CODES
from pipeline.vocabulary import JUDGED, SINGLE_CLICKS

JudgedCounts = Int64[np.ndarray, "object judged band truth code"]
"""Pixels of judged masks: far from the outline of the ground truth or near it, of the background
or of the object, of each code."""

_CENTER: Final = SINGLE_CLICKS.index("center")


def judged_counts(
    mask_code: UInt8[np.ndarray, "object prompt proposal y x"],
    judged: Int[np.ndarray, "object judged"],
    label: UInt8[np.ndarray, "object pixel"],
) -> JudgedCounts:
    """Count the pixels of the judged masks of the click ``center``, in the order of ``JUDGED``.

    Parameters
    ----------
    judged
        The proposals.
    label
        As ``pixel_labels`` gives them.
    """
    n_objects, n_px = label.shape
    counts = np.zeros((n_objects, len(JUDGED), 4, N_CODES), np.int64)
    for place, proposal in enumerate(judged.T):
        judged_code = mask_code[np.arange(n_objects), _CENTER, proposal]
        count_codes(judged_code.reshape(n_objects, n_px), label, counts[:, place])
    return counts.reshape(n_objects, len(JUDGED), 2, 2, N_CODES)


def pixel_labels(truth: Bool[np.ndarray, "object y x"]) -> UInt8[np.ndarray, "object pixel"]:
    """1 for pixels of the object, 2 for those near its outline, 3 for both, 0 for neither."""
    label = np.empty(truth.shape, np.uint8)
    for of_object, row in zip(truth, label, strict=True):
        row[...] = of_object + 2 * outline_band(of_object)
    n_objects, height, width = truth.shape
    return label.reshape(n_objects, height * width)
