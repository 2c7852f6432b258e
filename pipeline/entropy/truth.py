"""The ground truth at the size of the masks, and the pixels near its outline."""

from typing import Final

import cv2
import numpy as np
from jaxtyping import Bool

BAND_SHARE: Final = 0.02
"""Reach of the band to either side of the outline, as a share of the mask's diagonal."""

Mask = Bool[np.ndarray, "h w"]


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
