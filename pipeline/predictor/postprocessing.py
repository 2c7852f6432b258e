"""Changes masks after the decoder as the settings of ``SAM2ImagePredictor`` say."""

import math
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from pipeline.upsampling import Filled, masks_at_image, on_image

PATCH: Final = 10.0
"""Distance from the threshold of the logits that fill holes and remove sprinkles, as in SAM2."""


@dataclass(frozen=True)
class Postprocessing:
    """Settings of the postprocessing of masks, which is SAM2's, with SAM2's names."""

    mask_threshold: float = 0.0
    """Logit above which a pixel belongs to the mask."""
    max_hole_area: float = 0.0
    """Largest area of a hole that is filled, in low-resolution pixels."""
    max_sprinkle_area: float = 0.0
    """Largest area of a component that is removed, in low-resolution pixels."""
    apply_postprocessing: bool = True
    """Whether the selected proposal replaces a single mask that is unstable."""

    @property
    def caution(self) -> str:
        """Why heads may be wrong about the masks; empty if the masks are those of the decoder."""
        if self.mask_threshold or self.max_hole_area > 0 or self.max_sprinkle_area > 0:
            return "the heads know masks that are cut at a logit of 0 and not patched"
        return ""

    def masks_at(
        self,
        logits: Float[Tensor, "prompt proposal y x"],
        size_px: tuple[int, int],
        filled: Filled | None,
    ) -> Bool[np.ndarray, "prompt proposal height width"]:
        """Masks at the size of the image (height, width), cut at ``mask_threshold``.

        The logits are ``patched`` first, at low resolution. ``filled`` is that of their embedding.
        """
        patched = on_image(self.patched(logits), filled)
        cut = patched - self.mask_threshold if self.mask_threshold else patched
        return masks_at_image(cut, size_px)

    def mask_at_cut(
        self,
        logits: Float[Tensor, "y x"],
        cut: float,
        size_px: tuple[int, int],
        filled: Filled | None,
    ) -> Bool[np.ndarray, "height width"]:
        """One mask at the size of the image (height, width), cut at the probability ``cut``.

        Holes and sprinkles are those of the mask at this cut. A ``mask_threshold`` other than 0
        moves the cut.
        """
        shifted = logits - math.log(cut / (1 - cut))
        masks = self.masks_at(shifted[None, None], size_px, filled)
        mask: Bool[np.ndarray, "height width"] = masks[0, 0]
        return mask

    def patched(
        self, logits: Float[Tensor, "prompt proposal y x"]
    ) -> Float[Tensor, "prompt proposal y x"]:
        """Logits with small holes filled and small sprinkles (components of a mask) removed.

        Small is at most ``max_hole_area`` or ``max_sprinkle_area``; if both are 0, the logits stay
        as they are. As ``SAM2Transforms.postprocess_masks``, which changes no mask without CUDA.
        """
        if self.max_hole_area <= 0 and self.max_sprinkle_area <= 0:
            return logits
        inside = (logits > self.mask_threshold).cpu().numpy()
        is_hole = _is_small(~inside, self.max_hole_area)
        is_sprinkle = _is_small(inside, self.max_sprinkle_area)
        filled = torch.where(is_hole.to(logits.device), self.mask_threshold + PATCH, logits)
        return torch.where(is_sprinkle.to(logits.device), self.mask_threshold - PATCH, filled)


def _is_small(
    masks: Bool[np.ndarray, "prompt proposal y x"], max_area: float
) -> Bool[Tensor, "prompt proposal y x"]:
    """Pixels of components of at most ``max_area`` pixels; pixels connect across corners, too."""
    is_small = np.zeros(masks.shape, bool)
    for place in np.ndindex(masks.shape[:2]):
        _, labels, statistics, _ = cv2.connectedComponentsWithStats(masks[place].astype(np.uint8))
        is_small[place] = masks[place] & (statistics[labels, cv2.CC_STAT_AREA] <= max_area)
    return torch.from_numpy(is_small)
