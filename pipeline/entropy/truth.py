"""The ground truth at the size of the masks, and the pixels of judged masks counted beside it."""

from typing import Final

import cv2
import numpy as np
from jaxtyping import Bool, Int, Int64, UInt8

from pipeline.entropy.kernels import count_codes
from pipeline.masks import N_CODES
from pipeline.vocabulary import JUDGED, SINGLE_CLICKS

BAND_SHARE: Final = 0.02
"""Reach of the band to either side of the outline, as a share of the mask's diagonal."""

Mask = Bool[np.ndarray, "h w"]


JudgedCounts = Int64[np.ndarray, "object judged band truth code"]
"""Pixels of judged masks: far from the outline of the ground truth or near it, of the background
or of the object, of each code."""

_CENTER: Final = SINGLE_CLICKS.index("center")


def truth_at_size(mask: Mask, height: int, width: int) -> Bool[np.ndarray, "y x"]:
    """Ground truth of an image at another size: foreground where more than half of a pixel is.

    Where none is, as for a thin or tiny object, the pixels with the largest share of it.

    Raises
    ------
    ValueError
        If the mask is empty.
    """
    if not mask.any():
        raise ValueError("ground truth must have foreground, got an empty mask")
    # One axis at a time: OpenCV averages areas only where both axes shrink, or both grow.
    wide = cv2.resize(mask.astype(np.float32), (width, len(mask)), interpolation=cv2.INTER_AREA)
    share = np.asarray(cv2.resize(wide, (width, height), interpolation=cv2.INTER_AREA))
    is_foreground = share > 0.5  # noqa: PLR2004 - half
    return is_foreground if is_foreground.any() else share == share.max()


def outline_band(truth: Bool[np.ndarray, "y x"]) -> Bool[np.ndarray, "y x"]:
    """Pixels near the outline of the ground truth, on either side.

    Notes
    -----
    Those whose square of ``2 d + 1`` pixels, within the frame, holds both foreground and
    background. ``d`` is 2 % of the diagonal, at least 1: 7 of 256 x 256 pixels, 2 of 64 x 64. This
    is the distance of Boundary IoU (Cheng et al., arXiv 2103.16562), which looks at the inner side
    alone and takes the frame's edge for an outline. Empty where the truth fills the frame.
    """
    reach_px = max(1, round(BAND_SHARE * float(np.hypot(*truth.shape))))
    kernel = np.ones((2 * reach_px + 1, 2 * reach_px + 1), np.uint8)
    code = truth.astype(np.uint8)
    # Beyond the frame, OpenCV assumes what changes nothing.
    return np.asarray(cv2.dilate(code, kernel) != cv2.erode(code, kernel))


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
